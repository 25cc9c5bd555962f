package cluster

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The layout of raft-wal's files that lostCommit reads (segment/format.go of raft-wal v0.4.1). A
// file begins with a header. Frames follow it, each with a header of a type, three zero bytes and
// a length or, in a commit frame, the checksum of everything since the previous commit frame.
const (
	walFileHeader  = 32
	walFrameHeader = 8
	// walStarts bounds how many places lostCommit tries as the start of one commit, so that a
	// file full of bytes that look like commit frames does not cost a quadratic time.
	walStarts = 16
)

// lostCommit reports an error if b, the content of the log's last file, has a whole commit behind
// the place where raft-wal stops reading. raft-wal takes any frame header that it cannot read for
// a write that a crash has torn, and drops everything behind it. A torn write has nothing whole
// behind it, because each write is on the disk before the next one begins. So a whole commit
// there means that entries which may be acknowledged are damaged.
func lostCommit(b []byte) error {
	end, stop := walkFrames(b)
	// A commit can begin where one before it ends. It can also begin behind the header at which
	// the reading stopped, if that header is a damaged commit frame's.
	starts := []int{stop + walFrameHeader}
	for at := end; at+walFrameHeader <= len(b); at += walFrameHeader {
		if !isCommit(b[at:]) {
			continue
		}
		sum := binary.LittleEndian.Uint32(b[at+4:])
		for _, start := range starts[max(0, len(starts)-walStarts):] {
			if start < at && crc32.Checksum(b[start:at], castagnoli) == sum {
				return fmt.Errorf("%w: the frame at byte %d of the last file cannot be read, and a whole write ends at byte %d behind it",
					types.ErrCorrupt, stop, at)
			}
		}
		starts = append(starts, at+walFrameHeader)
	}
	return nil
}

// walkFrames reads the frames of a file as raft-wal does. It returns the end of the last commit
// that raft-wal keeps, and where the reading stopped.
func walkFrames(b []byte) (end, stop int) {
	end, stop = walFileHeader, walFileHeader
	start, previous := 0, walFileHeader // of the last commit read, and the end of the one before it
	whole := true
	for at := walFileHeader; at+walFrameHeader <= len(b); {
		length := 0
		switch b[at] {
		case segment.FrameEntry, segment.FrameIndex:
			length = int(binary.LittleEndian.Uint32(b[at+4:]))
		case segment.FrameCommit:
			whole = crc32.Checksum(b[start:at], castagnoli) == binary.LittleEndian.Uint32(b[at+4:])
			previous, end, start = end, at+walFrameHeader, at+walFrameHeader
		default:
			stop = at
			if !whole {
				end = previous
			}
			return end, stop
		}
		at += walFrameHeader + (length+walFrameHeader-1)&^(walFrameHeader-1)
		stop = at
	}
	if !whole {
		end = previous
	}
	return end, stop
}

// isCommit reports whether b begins with what can be the header of a commit frame.
func isCommit(b []byte) bool {
	return b[0] == segment.FrameCommit && b[1] == 0 && b[2] == 0 && b[3] == 0
}
