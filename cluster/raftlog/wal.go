package raftlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"laurel/cluster/disk"
	"laurel/cluster/internal/durable"
	"laurel/cluster/internal/hclogger"
)

// defaultSegmentSize is the size in bytes of one segment, a file of the log. A segment
// has its full size from the start. Each new segment costs a few writes that the next
// entry waits for, and the disk needs room for one segment more than the log fills.
const defaultSegmentSize = 8 << 20

// listBytes is the room on the disk that the list of segments gets, and Raft's vote. Both
// stay far below it.
const listBytes = 128 << 10

// walLog is Raft's log on disk. It uses raft-wal, which appends to one segment after
// another, and repairs what raft-wal gets wrong; see also segments.
type walLog struct {
	wal      *wal.WAL
	segments *segments
	mu       sync.RWMutex // raft-wal panics if it is closed during a call
}

// openWAL opens the log in dir, or makes an empty one. No other process may have it open:
// raft-wal would wait for its lock forever.
func openWAL(dir string, segmentSize int, reserve *disk.Reserve, log *slog.Logger) (*walLog, error) {
	return openWALOn(walfs.New(), dir, segmentSize, reserve, log)
}

// openWALOn opens the log on a file system.
func openWALOn(
	files types.VFS, dir string, segmentSize int, reserve *disk.Reserve, log *slog.Logger,
) (*walLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the log: %w", err)
	}
	if err := checkSegmentList(dir); err != nil {
		return nil, err
	}
	segs := &segments{
		Filer:   segment.NewFiler(dir, files),
		dir:     dir,
		reserve: reserve,
		sizes:   segmentSizes{grown: make(chan struct{}, 1)},
	}
	index := &segmentList{segments: segs}
	w, err := wal.Open(dir, wal.WithSegmentSize(segmentSize), wal.WithSegmentFiler(segs),
		wal.WithMetaStore(index), wal.WithLogger(hclogger.New(log, nil)))
	if err == nil {
		// Without room for it the list can still be changed, but perhaps not made longer.
		_ = disk.Allocate(filepath.Join(dir, metadb.FileName), listBytes)
		return &walLog{wal: w, segments: segs}, nil
	}
	index.Close() // raft-wal leaves it open
	if errors.Is(err, wal.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return nil, contradiction(filepath.Dir(dir), "the log in %s is damaged (%w)", dir, err)
	}
	return nil, fmt.Errorf("open the log in %s: %w", dir, err)
}

// checkSegmentList syncs the list of segments before it is trusted. It refuses a log
// whose list is missing: raft-wal would remove the segments and begin an empty log.
func checkSegmentList(dir string) error {
	err := durable.SyncFile(filepath.Join(dir, metadb.FileName))
	if err == nil {
		return durable.SyncDir(dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := fs.Glob(os.DirFS(dir), "*.wal")
	if err == nil && len(files) > 0 {
		err = contradiction(filepath.Dir(dir), "the log in %s lacks its %s", dir, metadb.FileName)
	}
	return err
}

// IsMonotonic reports that the log can have no gaps, so that Raft empties it when it
// installs a snapshot from the master.
func (l *walLog) IsMonotonic() bool { return true }

// FirstIndex returns the index of the oldest entry, 0 if the log is empty.
func (l *walLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wal.FirstIndex()
}

// LastIndex returns the index of the newest entry, 0 if the log is empty.
func (l *walLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wal.LastIndex()
}

// GetLog reads an entry.
func (l *walLog) GetLog(index uint64, to *raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	// In the segment that is being written, raft-wal still finds entries that were
	// removed.
	if first, err := l.wal.FirstIndex(); err != nil || index < first {
		return cmp.Or(err, raft.ErrLogNotFound)
	}
	err := l.wal.GetLog(index, to)
	if err == nil && to.Index != index {
		err = fmt.Errorf("%w: entry %d is stored in its place", wal.ErrCorrupt, to.Index)
	}
	if errors.Is(err, wal.ErrCorrupt) {
		return fmt.Errorf("entry %d of the log is damaged (%w)", index, err)
	}
	return err // not wrapped: Raft compares it with ErrLogNotFound
}

// StoreLog appends one entry.
func (l *walLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries, which must follow the last one, and waits for the disk.
func (l *walLog) StoreLogs(e []*raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	err := l.wal.StoreLogs(e)
	if errors.Is(err, wal.ErrSealed) {
		// The segment is full, and raft-wal, which makes the next one in the background,
		// failed. It has logged the reason and forgotten it.
		if why := l.segments.failed.Load(); why != nil {
			err = *why
		}
	}
	return err
}

// DeleteRange removes the oldest or the newest entries.
func (l *walLog) DeleteRange(from, to uint64) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wal.DeleteRange(from, to)
}

// Close waits for calls under way and closes the log.
func (l *walLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wal.Close()
}

// bounds returns the first and the last index of a log; 0 if it is empty.
func bounds(l raft.LogStore) (first, last uint64, err error) {
	first, err = l.FirstIndex()
	if err == nil {
		last, err = l.LastIndex()
	}
	return first, last, err
}

// clearLog removes all entries.
func clearLog(l raft.LogStore) error {
	first, last, err := bounds(l)
	if err != nil || first == 0 {
		return err
	}
	return l.DeleteRange(first, last)
}
