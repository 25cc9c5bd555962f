package cluster

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
)

// perFile is how many of a test's entries fill a file of the log; the last of them ends it.
const perFile = 8

func logEntry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, segmentSize/perFile)}
}

func mustOpenLog(t *testing.T, dir string) *segmentedLog {
	t.Helper()
	l, err := openLog(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func appendTo(t *testing.T, l *segmentedLog, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := l.StoreLog(logEntry(i)); err != nil {
			t.Fatalf("append entry %d: %v", i, err)
		}
	}
}

// expectLog reads all entries from first to last, and that there are no others.
func expectLog(t *testing.T, l *segmentedLog, first, last uint64) {
	t.Helper()
	gotFirst, err := l.FirstIndex()
	gotLast, err2 := l.LastIndex()
	if err := errors.Join(err, err2); err != nil || gotFirst != first || gotLast != last {
		t.Fatalf("the log has entries %d to %d, %v; want %d to %d", gotFirst, gotLast, err, first, last)
	}
	for i := max(first, 1); i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil || !bytes.Equal(e.Data, logEntry(i).Data) {
			t.Fatalf("entry %d is not what was written: %v", i, err)
		}
	}
	for _, i := range []uint64{max(first, 1) - 1, last + 1} {
		if err := l.GetLog(i, new(raft.Log)); err != raft.ErrLogNotFound { // Raft compares it so
			t.Errorf("entry %d, which is not there, gives %v", i, err)
		}
	}
}

func segmentFile(dir string, base, id uint64) string {
	return filepath.Join(dir, segment.FileName(types.SegmentInfo{BaseIndex: base, ID: id}))
}

func patch(t *testing.T, path string, at int64, b ...byte) {
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

func TestTheLogIsReadAsItWasWrittenAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	l := mustOpenLog(t, dir)
	appendTo(t, l, 1, 3*perFile)
	expectLog(t, l, 1, 3*perFile)
	for what, shorten := range map[string]func() error{
		"the oldest": func() error { return l.DeleteRange(1, perFile+2) },
		"the newest": func() error { return l.DeleteRange(3*perFile-2, 3*perFile) },
	} {
		if err := shorten(); err != nil {
			t.Fatalf("remove %s: %v", what, err)
		}
	}
	expectLog(t, l, perFile+3, 3*perFile-3)
	for range 2 {
		l.Close()
		l = mustOpenLog(t, dir)
		expectLog(t, l, perFile+3, 3*perFile-3)
	}
	appendTo(t, l, 3*perFile-2, 4*perFile)
	for _, first := range []uint64{2*perFile + 1, 4*perFile - 1} {
		if err := l.DeleteRange(1, first-1); err != nil {
			t.Fatal(err)
		}
		expectLog(t, l, first, 4*perFile)
	}
	if err := clearLog(l); err != nil {
		t.Fatal(err)
	}
	expectLog(t, l, 0, 0)
	appendTo(t, l, 1000, 1000+perFile) // after a snapshot
	l.Close()
	expectLog(t, mustOpenLog(t, dir), 1000, 1000+perFile)
}

func TestTheLogGoesOnAfterACrashWhileAFileEnded(t *testing.T) {
	for _, torn := range []bool{false, true} {
		t.Run(fmt.Sprintf("the last write torn %t", torn), func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenLog(t, dir)
			appendTo(t, l, 1, 1)
			before, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, l, 2, perFile)
			l.Close()
			if err := os.WriteFile(filepath.Join(dir, metadb.FileName), before, 0o600); err != nil {
				t.Fatal(err)
			}
			last := uint64(perFile)
			if torn {
				patch(t, segmentFile(dir, 1, 0), int64(segmentSize-segmentSize/perFile/2), 0, 0, 0, 0)
				last--
			}
			for range 2 {
				l = mustOpenLog(t, dir)
				expectLog(t, l, 1, last)
				l.Close()
			}
			l = mustOpenLog(t, dir)
			appendTo(t, l, last+1, 3*perFile)
			l.Close()
			expectLog(t, mustOpenLog(t, dir), 1, 3*perFile)
		})
	}
}

func TestAFileOfTheLogThatCannotBeMadeFailsTheNextWriteAndNoneIsLost(t *testing.T) {
	dir := t.TempDir()
	l := mustOpenLog(t, dir)
	if err := os.WriteFile(segmentFile(dir, perFile+1, 1), nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	appendTo(t, l, 1, perFile)
	if err := l.StoreLog(logEntry(perFile + 1)); !errors.Is(err, os.ErrExist) {
		t.Errorf("the write got %v", err)
	}
	l.Close()
	l = mustOpenLog(t, dir)
	appendTo(t, l, perFile+1, 2*perFile)
	expectLog(t, l, 1, 2*perFile)
}

func TestAFullFileOfTheLogHoldsNoBuffers(t *testing.T) {
	l := mustOpenLog(t, t.TempDir())
	w, err := l.filer.Create(types.SegmentInfo{ID: 77, BaseIndex: 1, MinIndex: 1, SizeLimit: 1000, Codec: wal.CodecBinaryV1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Append([]types.LogEntry{{Index: 1, Data: make([]byte, 2000)}}); err != nil {
		t.Fatal(err)
	}
	if file := w.(*tail); file.w != nil || file.full == nil {
		t.Error("the writer is kept")
	}
}

func TestADamagedEntryOfTheLogIsNotHandedOut(t *testing.T) {
	for name, last := range map[string]uint64{"in the last file": perFile / 2, "in a full file": 2 * perFile} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenLog(t, dir)
			appendTo(t, l, 1, last)
			l.Close()
			patch(t, segmentFile(dir, 1, 0), int64(segmentSize/perFile/2), 0xff) // within entry 1
			l = mustOpenLog(t, dir)
			err := l.GetLog(1, new(raft.Log))
			if !errors.Is(err, wal.ErrCorrupt) {
				t.Errorf("the damaged entry gives %v", err)
			}
			if err := l.GetLog(2, new(raft.Log)); err != nil {
				t.Errorf("the one after it gives %v", err)
			}
		})
	}
}

func TestALogOfWhichAPartIsGoneIsRefused(t *testing.T) {
	for name, gone := range map[string]string{"the list of its files": metadb.FileName, "a full file": segment.FileName(types.SegmentInfo{BaseIndex: 1})} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpenLog(t, dir)
			appendTo(t, l, 1, 2*perFile)
			l.Close()
			if err := os.Remove(filepath.Join(dir, gone)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := openLog(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), remedy) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

func TestAnEntryThatCannotBeReadEndsTheMember(t *testing.T) {
	failed := make(chan error, 1)
	d := newDisk(damaged{}, Options{TimeScale: 1}, newMetrics(nil), func(err error) { failed <- err })
	d.release()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.GetLog(7, new(raft.Log))
		t.Error("the error came back, and Raft would panic")
	}()
	<-done
	if err := <-failed; !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("it ended with %v", err)
	}
}

// damaged is a store of which nothing can be read.
type damaged struct{ store }

func (damaged) GetLog(uint64, *raft.Log) error { return wal.ErrCorrupt }
