package status

import (
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/disk"
	"laurel/cluster/peer"
)

// roomAges is for how many times the usual age of a report a voter that is not heard is taken
// to lack room, if it did.
const roomAges = 10

// WithoutRoom returns the voters without room for posts on their disks, if without them too
// few are left to store a post; else nil. A voter that does not answer cannot store one
// either, and for a while still lacks room if it did when it was last heard: it may answer
// again before it is asked. One that reports nothing of its disk counts as having room.
func (s *Source) WithoutRoom() (lacking []string) {
	voters := peer.Voters(s.Raft)
	able := 0
	for _, v := range voters {
		var state *disk.State
		if v.ID == s.Self {
			state = s.Disk()
		} else {
			last, heard, fresh := s.Reports.heardOf(v.ID)
			state = last.Disk
			lacked := state != nil && !state.Room && time.Since(heard) < roomAges*s.Reports.maxAge
			if !fresh && !lacked {
				continue
			}
		}
		if state != nil && !state.Room {
			lacking = append(lacking, peer.MemberID(v.ID))
		} else {
			able++
		}
	}
	if able*2 > len(voters) {
		return nil
	}
	return lacking
}

// HasRoom reports whether a member lately reported room for posts on its disk. One that reports
// nothing of its disk counts as having room.
func (r *Reports) HasRoom(id raft.ServerID) bool {
	last, fresh := r.Last(id)
	return fresh && (last.Disk == nil || last.Disk.Room)
}
