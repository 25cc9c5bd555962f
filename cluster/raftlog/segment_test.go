package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/segment"

	"laurel/cluster/disk"
)

// smallWrites writes entries to a new log, each with a write of its own. It returns the
// path of the segment and where the frame of each write begins.
func smallWrites(t *testing.T, dir string, count int) (path string, frames []int) {
	t.Helper()
	l := mustOpenWAL(t, dir)
	for i := 1; i <= count; i++ {
		e := &raft.Log{Index: uint64(i), Term: 1, Data: bytes.Repeat([]byte{byte(i)}, 50)}
		if err := l.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	path = segmentFile(dir, 1, 0)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := segmentHeaderBytes; b[at] == segment.FrameEntry; {
		frames = append(frames, at)
		length := int(binary.LittleEndian.Uint32(b[at+4:]))
		at += frameHeaderBytes + (length+7)&^7 + frameHeaderBytes // its commit frame follows it
	}
	if len(frames) != count {
		t.Fatalf("the file has %d writes", len(frames))
	}
	return path, frames
}

func TestDamagedFrameBeforeACompleteWriteIsRefused(t *testing.T) {
	const count = 6
	for name, at := range map[string]func(frames []int) int{
		"an entry's type":         func(f []int) int { return f[1] },
		"an entry's length":       func(f []int) int { return f[1] + 7 },
		"the first entry's type":  func(f []int) int { return f[0] },
		"a commit's type":         func(f []int) int { return f[2] - frameHeaderBytes },
		"the last commit but one": func(f []int) int { return f[count-1] - frameHeaderBytes },
		"the last entry but one":  func(f []int) int { return f[count-2] },
		"the last commit but two": func(f []int) int { return f[count-2] - frameHeaderBytes },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, frames := smallWrites(t, dir, count)
			patchFile(t, path, int64(at(frames)), 0x77)
			for range 2 {
				_, err := openWAL(dir, testSegmentSize, disk.NewReserve(dir), noLog)
				if err == nil || !strings.Contains(err.Error(), "is damaged") ||
					!strings.Contains(err.Error(), remedy) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

// A crash can tear the last write anywhere; the log then ends before it. The remains of a
// torn write after the writes of the next start must not be taken for damage either.
func TestTornWriteIsNotTakenForDamage(t *testing.T) {
	const count = 5
	for torn := range 9 {
		t.Run(fmt.Sprintf("8 bytes torn at %d", torn*frameHeaderBytes), func(t *testing.T) {
			dir := t.TempDir()
			path, frames := smallWrites(t, dir, count)
			patchFile(t, path, int64(frames[count-1]+torn*frameHeaderBytes), bytes.Repeat([]byte{0xee}, 8)...)
			l := mustOpenWAL(t, dir)
			if last, err := l.LastIndex(); err != nil || last != count-1 {
				t.Fatalf("the log ends at entry %d, %v", last, err)
			}
			if err := l.StoreLog(&raft.Log{Index: count, Term: 2}); err != nil {
				t.Fatal(err)
			}
			l.Close()
			l = mustOpenWAL(t, dir)
			var e raft.Log
			if err := l.GetLog(count, &e); err != nil || e.Term != 2 {
				t.Errorf("the entry written after the crash is %+v, %v", e, err)
			}
		})
	}
}
