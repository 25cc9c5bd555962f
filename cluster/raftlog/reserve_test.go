package raftlog

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"laurel/cluster/disk"
)

// fullFiles has room for new files while full is false, or once the reserve has given
// something.
type fullFiles struct {
	types.VFS
	full    atomic.Bool
	reserve *disk.Reserve
	whole   int64
}

func (f *fullFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if f.full.Load() && f.reserve.Size() == f.whole {
		if file, err := os.Create(filepath.Join(dir, name)); err == nil { // raft-wal leaves it
			file.Close()
		}
		return nil, syscall.ENOSPC
	}
	return f.VFS.Create(dir, name, size)
}

func TestOnAFullDiskTheLogGetsWhatWasKeptAside(t *testing.T) {
	dir := t.TempDir()
	reserve := disk.NewReserve(dir)
	if err := os.WriteFile(filepath.Join(dir, disk.ReserveFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, disk.ReserveFile), 32<<20); err != nil {
		t.Fatal(err)
	}
	files := &fullFiles{VFS: walfs.New(), reserve: reserve, whole: reserve.Size()}
	l, err := openWALOn(files, filepath.Join(dir, "wal"), testSegmentSize, reserve, noLog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	files.full.Store(true)
	appendEntries(t, l, 1, 3*perSegment)
	checkEntries(t, l, 1, 3*perSegment)
	if got := reserve.Size(); got != files.whole/2 {
		t.Errorf("the reserve holds %d bytes; want half of %d", got, files.whole)
	}
}

func TestALogIsShortenedWhenItsDiskLacksRoom(t *testing.T) {
	bounds := small
	bounds.Snapshot, bounds.Log = 1<<30, 1<<31 // no other reason for a snapshot
	s := openStore(t, t.TempDir(), func(o *Options) { o.Bounds = bounds })
	for i := uint64(1); s.Log.Bytes() <= s.Log.bounds.Trailing; i++ {
		mustStore(t, s.Log, sized(i, 1000))
	}
	if s.Log.NeedsSnapshot() {
		t.Fatal("the log is so large that a snapshot is due anyway")
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken, ended := make(chan struct{}, 16), make(chan error, 1)
	go func() {
		ended <- s.Bound(ctx, func(d time.Duration) time.Duration { return d }, func() error { taken <- struct{}{}; return nil })
	}()
	s.Scarce()
	select {
	case <-taken:
	case <-time.After(patience):
		t.Error("no snapshot was taken")
	}
	cancel()
	if err := <-ended; err != nil || len(taken) > 0 {
		t.Errorf("%v; %d more snapshots were taken", err, len(taken))
	}
}
