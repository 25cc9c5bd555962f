package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"laurel/cluster/disk"
)

const (
	testSegmentSize = 256 << 10
	// perSegment is the number of test entries that fill a segment; the last of them
	// seals it.
	perSegment = 8
)

var noLog = slog.New(slog.DiscardHandler)

func testEntry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, testSegmentSize/perSegment)}
}

func mustOpenWAL(t *testing.T, dir string) *walLog {
	t.Helper()
	l, err := openWAL(dir, testSegmentSize, disk.NewReserve(dir), noLog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func appendEntries(t *testing.T, l *walLog, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := l.StoreLog(testEntry(i)); err != nil {
			t.Fatalf("append entry %d: %v", i, err)
		}
	}
}

// checkEntries checks that the log has exactly the entries from first to last.
func checkEntries(t *testing.T, l *walLog, first, last uint64) {
	t.Helper()
	gotFirst, err := l.FirstIndex()
	gotLast, err2 := l.LastIndex()
	if err := errors.Join(err, err2); err != nil || gotFirst != first || gotLast != last {
		t.Fatalf("the log has entries %d to %d, %v; want %d to %d", gotFirst, gotLast, err, first, last)
	}
	for i := max(first, 1); i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil || !bytes.Equal(e.Data, testEntry(i).Data) {
			t.Fatalf("entry %d is not the one that was written: %v", i, err)
		}
	}
	for _, i := range []uint64{max(first, 1) - 1, last + 1} {
		if err := l.GetLog(i, new(raft.Log)); err != raft.ErrLogNotFound { // Raft compares it like this
			t.Errorf("entry %d, which does not exist, gives %v", i, err)
		}
	}
}

func segmentFile(dir string, base, id uint64) string {
	return filepath.Join(dir, segment.FileName(types.SegmentInfo{BaseIndex: base, ID: id}))
}

func patchFile(t *testing.T, path string, at int64, b ...byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(b, at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLogReadsWhatWasWrittenAfterARestart(t *testing.T) {
	dir := t.TempDir()
	l := mustOpenWAL(t, dir)
	appendEntries(t, l, 1, 3*perSegment)
	checkEntries(t, l, 1, 3*perSegment)
	for what, shorten := range map[string]func() error{
		"the oldest": func() error { return l.DeleteRange(1, perSegment+2) },
		"the newest": func() error { return l.DeleteRange(3*perSegment-2, 3*perSegment) },
	} {
		if err := shorten(); err != nil {
			t.Fatalf("remove %s: %v", what, err)
		}
	}
	checkEntries(t, l, perSegment+3, 3*perSegment-3)
	for range 2 {
		l.Close()
		l = mustOpenWAL(t, dir)
		checkEntries(t, l, perSegment+3, 3*perSegment-3)
	}
	appendEntries(t, l, 3*perSegment-2, 4*perSegment)
	for _, first := range []uint64{2*perSegment + 1, 4*perSegment - 1} {
		if err := l.DeleteRange(1, first-1); err != nil {
			t.Fatal(err)
		}
		checkEntries(t, l, first, 4*perSegment)
	}
	if err := clearLog(l); err != nil {
		t.Fatal(err)
	}
	checkEntries(t, l, 0, 0)
	appendEntries(t, l, 1000, 1000+perSegment) // after a snapshot
	l.Close()
	checkEntries(t, mustOpenWAL(t, dir), 1000, 1000+perSegment)
}

func TestLogContinuesAfterACrashWhileASegmentWasSealed(t *testing.T) {
	for _, torn := range []bool{false, true} {
		t.Run(fmt.Sprintf("the last write torn %t", torn), func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenWAL(t, dir)
			appendEntries(t, l, 1, 1)
			before, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
			if err != nil {
				t.Fatal(err)
			}
			appendEntries(t, l, 2, perSegment)
			l.Close()
			if err := os.WriteFile(filepath.Join(dir, metadb.FileName), before, 0o600); err != nil {
				t.Fatal(err)
			}
			last := uint64(perSegment)
			if torn {
				patchFile(t, segmentFile(dir, 1, 0), int64(testSegmentSize-testSegmentSize/perSegment/2), 0, 0, 0, 0)
				last--
			}
			for range 2 {
				l = mustOpenWAL(t, dir)
				checkEntries(t, l, 1, last)
				l.Close()
			}
			l = mustOpenWAL(t, dir)
			appendEntries(t, l, last+1, 3*perSegment)
			l.Close()
			checkEntries(t, mustOpenWAL(t, dir), 1, 3*perSegment)
		})
	}
}

// raft-wal lists a new segment before it makes the file. The segment before it is on the disk then.
func TestLogContinuesAfterACrashBeforeItsNextFileWasMade(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run(fmt.Sprintf("the file has a name %t", empty), func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenWAL(t, dir)
			appendEntries(t, l, 1, perSegment)
			next := segmentFile(dir, perSegment+1, 1)
			eventually(t, "no next file is made", func() bool {
				_, err := os.Stat(next)
				return err == nil
			})
			l.Close()
			err := os.Remove(next)
			if empty {
				err = os.WriteFile(next, nil, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			l = mustOpenWAL(t, dir)
			checkEntries(t, l, 1, perSegment)
			appendEntries(t, l, perSegment+1, 3*perSegment)
			l.Close()
			checkEntries(t, mustOpenWAL(t, dir), 1, 3*perSegment)
		})
	}
}

// A segment's table of entries is the end of the write that fills it, and may not be whole after a
// loss of power. It must not be used then.
func TestLogSurvivesATornTable(t *testing.T) {
	for name, big := range map[string]bool{"after small entries": false, "after the first entry": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenWAL(t, dir)
			appendEntries(t, l, 1, perSegment)
			path, last := segmentFile(dir, 1, 0), uint64(perSegment-1)
			before, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
			if big {
				big := &raft.Log{Index: perSegment + 1, Term: 1, Data: make([]byte, testSegmentSize)}
				err = errors.Join(l.StoreLog(testEntry(perSegment+1)), l.DeleteRange(perSegment+1, perSegment+1))
				before, _ = os.ReadFile(filepath.Join(dir, metadb.FileName))
				files, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
				path, last = files[len(files)-1], perSegment
				err = errors.Join(err, l.StoreLog(big))
			}
			l.Close()
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !big { // as before the segment was listed as full
				before = listOf(t, 1, perSegment-1)
			}
			table := bytes.LastIndex(b, []byte{segment.FrameIndex, 0, 0, 0})
			patchFile(t, path, int64(table+frameHeaderBytes), make([]byte, len(b)-table-frameHeaderBytes)...)
			if err := os.WriteFile(filepath.Join(dir, metadb.FileName), before, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				l = mustOpenWAL(t, dir)
				checkEntries(t, l, 1, last)
				l.Close()
			}
			appendEntries(t, mustOpenWAL(t, dir), last+1, 3*perSegment)
		})
	}
}

// listOf returns the list of segments of a log with the entries.
func listOf(t *testing.T, first, last uint64) []byte {
	t.Helper()
	dir := t.TempDir()
	l := mustOpenWAL(t, dir)
	appendEntries(t, l, first, last)
	l.Close()
	b, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSegmentThatCannotBeMadeFailsTheNextWriteAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	l := mustOpenWAL(t, dir)
	if err := os.WriteFile(segmentFile(dir, perSegment+1, 1), nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	appendEntries(t, l, 1, perSegment)
	if err := l.StoreLog(testEntry(perSegment + 1)); !errors.Is(err, os.ErrExist) {
		t.Errorf("the write got %v", err)
	}
	l.Close()
	l = mustOpenWAL(t, dir)
	appendEntries(t, l, perSegment+1, 2*perSegment)
	checkEntries(t, l, 1, 2*perSegment)
}

func TestFullSegmentKeepsNoBuffers(t *testing.T) {
	l := mustOpenWAL(t, t.TempDir())
	w, err := l.segments.Create(types.SegmentInfo{
		ID: 77, BaseIndex: 1, MinIndex: 1, SizeLimit: 1000, Codec: wal.CodecBinaryV1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Append([]types.LogEntry{{Index: 1, Data: make([]byte, 2000)}}); err != nil {
		t.Fatal(err)
	}
	if file := w.(*tailSegment); file.w != nil || file.sealed == nil {
		t.Error("the writer is kept")
	}
}

func TestDamagedEntryIsNotReturned(t *testing.T) {
	for name, last := range map[string]uint64{
		"in the last segment": perSegment / 2,
		"in a full segment":   2 * perSegment,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenWAL(t, dir)
			appendEntries(t, l, 1, last)
			l.Close()
			patchFile(t, segmentFile(dir, 1, 0), int64(testSegmentSize/perSegment/2), 0xff) // within entry 1
			l = mustOpenWAL(t, dir)
			err := l.GetLog(1, new(raft.Log))
			if !errors.Is(err, wal.ErrCorrupt) {
				t.Errorf("the damaged entry gives %v", err)
			}
			if err := l.GetLog(2, new(raft.Log)); err != nil {
				t.Errorf("the entry after it gives %v", err)
			}
		})
	}
}

func TestLogWithAMissingFileIsRefused(t *testing.T) {
	for name, file := range map[string]string{
		"the list of segments": metadb.FileName,
		"a full segment":       segment.FileName(types.SegmentInfo{BaseIndex: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenWAL(t, dir)
			appendEntries(t, l, 1, 2*perSegment)
			l.Close()
			if err := os.Remove(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := openWAL(dir, testSegmentSize, disk.NewReserve(dir), noLog)
				if err == nil || !strings.Contains(err.Error(), remedy) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}
