package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The layout of raft-wal's segments that lostCommit reads (segment/format.go of raft-wal
// v0.4.1). A segment begins with a header. Frames follow it, each with a header of a
// type, three zero bytes and a length or, in a commit frame, the checksum of everything
// since the previous commit frame.
const (
	segmentHeaderBytes = 32
	frameHeaderBytes   = 8
	// maxCommitStarts bounds how many places lostCommit tries as the start of one commit,
	// so that a segment full of bytes that look like commit frames does not take
	// quadratic time.
	maxCommitStarts = 16
)

// lostCommit returns an error if b, the content of the last segment, has a complete
// commit after the place where raft-wal stops reading. raft-wal takes any frame header
// that it cannot read for a write that a crash has torn, and drops everything after it.
// Each write is on the disk before the next one begins, so nothing complete can follow a
// torn write. A complete commit there means that entries which may have been acknowledged
// are damaged.
func lostCommit(b []byte) error {
	end, stop := walkFrames(b)
	// A commit can begin where the one before it ends. It can also begin after the header
	// at which the reading stopped, if that is the header of a damaged commit frame.
	starts := []int{stop + frameHeaderBytes}
	for at := end; at+frameHeaderBytes <= len(b); at += frameHeaderBytes {
		if !isCommit(b[at:]) {
			continue
		}
		sum := binary.LittleEndian.Uint32(b[at+4:])
		for _, start := range starts[max(0, len(starts)-maxCommitStarts):] {
			if start < at && crc32.Checksum(b[start:at], castagnoli) == sum {
				return fmt.Errorf("%w: the frame at byte %d of the last file cannot be read, "+
					"and a complete write ends at byte %d after it", types.ErrCorrupt, stop, at)
			}
		}
		starts = append(starts, at+frameHeaderBytes)
	}
	return nil
}

// walkFrames reads the frames of a segment as raft-wal does. It returns the end of the
// last commit that raft-wal keeps, and where the reading stopped.
func walkFrames(b []byte) (end, stop int) {
	end, stop = segmentHeaderBytes, segmentHeaderBytes
	start, previous := 0, segmentHeaderBytes // of the last commit read, and the end of the one before it
	complete := true
	for at := segmentHeaderBytes; at+frameHeaderBytes <= len(b); {
		length := 0
		switch b[at] {
		case segment.FrameEntry, segment.FrameIndex:
			length = int(binary.LittleEndian.Uint32(b[at+4:]))
		case segment.FrameCommit:
			complete = crc32.Checksum(b[start:at], castagnoli) == binary.LittleEndian.Uint32(b[at+4:])
			previous, end, start = end, at+frameHeaderBytes, at+frameHeaderBytes
		default:
			stop = at
			if !complete {
				end = previous
			}
			return end, stop
		}
		at += frameHeaderBytes + (length+frameHeaderBytes-1)&^(frameHeaderBytes-1)
		stop = at
	}
	if !complete {
		end = previous
	}
	return end, stop
}

// isCommit reports whether b begins with bytes that can be the header of a commit frame.
func isCommit(b []byte) bool {
	return b[0] == segment.FrameCommit && b[1] == 0 && b[2] == 0 && b[3] == 0
}
