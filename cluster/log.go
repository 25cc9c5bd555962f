package cluster

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
	"github.com/hashicorp/raft-wal/metadb"
)

// segmentSize is how large a file of the log grows, in bytes; each is as large from the start. Every change of files costs a few writes that the
// next entry waits for, and a disk must have room for one file more than the log fills.
// It is a variable so that a test can have many files.
var segmentSize = 8 << 20

// remedy is what to do about data that cannot be used.
const remedy = "leave the group, empty the directory and join anew"

// segmentedLog is Raft's log on disk: raft-wal, which appends to one file of some after the other.
type segmentedLog struct {
	wal   *wal.WAL
	filer *filer
	mu    sync.RWMutex // raft-wal panics if it is closed under a call
}

// openLog opens the log in dir, or makes an empty one. Nobody else may have it open: raft-wal would wait for its lock without end.
func openLog(dir string, log *slog.Logger) (*segmentedLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the log: %w", err)
	}
	if err := notForgotten(dir); err != nil {
		return nil, err
	}
	list := filepath.Join(dir, metadb.FileName)
	if _, err := os.Stat(list); err == nil {
		if err := errors.Join(syncFile(list), syncDir(dir)); err != nil {
			return nil, err
		}
	}
	f := newFiler(dir)
	index := &segmentIndex{filer: f}
	w, err := wal.Open(dir, wal.WithSegmentSize(segmentSize), wal.WithSegmentFiler(f), wal.WithMetaStore(index), wal.WithLogger(raftLogger(log)))
	if err == nil {
		return &segmentedLog{wal: w, filer: f}, nil
	}
	index.Close() // raft-wal leaves it open
	if errors.Is(err, wal.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return nil, contradiction(filepath.Dir(dir), "the log in %s is damaged (%w)", dir, err)
	}
	return nil, fmt.Errorf("open the log in %s: %w", dir, err)
}

// notForgotten refuses a log whose list of files is gone: raft-wal would remove the files and begin an empty one.
func notForgotten(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err == nil && len(files) > 0 {
		err = contradiction(filepath.Dir(dir), "the log in %s lacks its %s", dir, metadb.FileName)
	}
	return err
}

// IsMonotonic makes Raft empty the log when it takes a snapshot from the master, for there can be no gap in it.
func (l *segmentedLog) IsMonotonic() bool { return true }

// FirstIndex is the index of the oldest entry, 0 if there is none.
func (l *segmentedLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wal.FirstIndex()
}

// LastIndex is the index of the newest entry, 0 if there is none.
func (l *segmentedLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wal.LastIndex()
}

// GetLog reads an entry.
func (l *segmentedLog) GetLog(index uint64, to *raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	// In the file that it writes, raft-wal still finds what was removed.
	if first, err := l.wal.FirstIndex(); err != nil || index < first {
		return cmp.Or(err, raft.ErrLogNotFound)
	}
	err := l.wal.GetLog(index, to)
	if err == nil && to.Index != index {
		err = fmt.Errorf("%w: there is entry %d in its place", wal.ErrCorrupt, to.Index)
	}
	if errors.Is(err, wal.ErrCorrupt) {
		return fmt.Errorf("entry %d of the log is damaged (%w)", index, err)
	}
	return err // Raft compares it with its own
}

// StoreLog appends one entry.
func (l *segmentedLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries, which must follow on the last, and waits for the disk.
func (l *segmentedLog) StoreLogs(e []*raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	err := l.wal.StoreLogs(e)
	if errors.Is(err, wal.ErrSealed) {
		// The file is full, and the next, which raft-wal makes in the background, could not be made. It has logged why and forgotten it.
		if why := l.filer.failed.Load(); why != nil {
			err = *why
		}
	}
	return err
}

// DeleteRange removes the oldest entries or the newest.
func (l *segmentedLog) DeleteRange(from, to uint64) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wal.DeleteRange(from, to)
}

// clearLog removes all entries.
func clearLog(l raft.LogStore) error {
	first, err := l.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	return l.DeleteRange(first, last)
}

// Close waits for what is under way.
func (l *segmentedLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wal.Close()
}
