package raftlog

import (
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"laurel/cluster/disk"
)

// countingFiles counts what is written to files and synced.
type countingFiles struct {
	types.VFS
	writes, syncs atomic.Int64
}

func (c *countingFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := c.VFS.Create(dir, name, size)
	return &countingFile{f, c}, err
}

type countingFile struct {
	types.WritableFile
	count *countingFiles
}

func (f *countingFile) WriteAt(b []byte, at int64) (int, error) {
	f.count.writes.Add(1)
	return f.WritableFile.WriteAt(b, at)
}

func (f *countingFile) Sync() error {
	f.count.syncs.Add(1)
	return f.WritableFile.Sync()
}

// Each voter stores an entry in this way: the master before it sends it, the others before
// they acknowledge it.
func TestEntriesStoredAtOnceAreOneWriteAndOneSync(t *testing.T) {
	t.Parallel()
	files := &countingFiles{VFS: walfs.New()}
	l, err := openWALOn(files, t.TempDir(), testSegmentSize, disk.NewReserve(t.TempDir()), noLog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	index := uint64(0)
	for _, n := range []int{1, 1, 2, 32} {
		entries := make([]*raft.Log, n)
		for i := range entries {
			index++
			entries[i] = &raft.Log{Index: index, Term: 1, Data: make([]byte, 3000)}
		}
		writes, syncs := files.writes.Load(), files.syncs.Load()
		if err := l.StoreLogs(entries); err != nil {
			t.Fatal(err)
		}
		if writes, syncs = files.writes.Load()-writes, files.syncs.Load()-syncs; writes != 1 || syncs != 1 {
			t.Errorf("%d entries took %d writes and %d syncs", n, writes, syncs)
		}
	}
}
