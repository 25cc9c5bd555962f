package raftlog

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"laurel/cluster/internal/durable"
	"laurel/fsm"
)

const (
	roomPause = 10 * time.Millisecond // between two looks at a full log
	// The pause after a snapshot that failed, or did not make the log small enough, at a
	// time scale of 1. It doubles with each, because each may write the whole state.
	snapshotRetry    = time.Second
	maxSnapshotRetry = 16 * time.Second
)

// AwaitRoom waits until the log has room for further entries, for at most timeout.
func (l *Log) AwaitRoom(ctx context.Context, timeout time.Duration) bool {
	if !l.Full() {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for l.Full() {
		if !pause(ctx, roomPause) {
			return false
		}
	}
	return true
}

// pause waits. It returns false if ctx ends meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Bound calls snapshot, which takes a snapshot, whenever the log after the newest one has
// grown too large, until ctx ends. Raft itself counts only entries. The error is that of
// the disk.
func (s *Store) Bound(ctx context.Context, scale func(time.Duration) time.Duration, snapshot func() error) error {
	if err := s.Log.Compact(); err != nil { // a crash may have come before it
		return err
	}
	take := func() {
		if err := snapshot(); err != nil && ctx.Err() == nil {
			s.logger.Warn("no snapshot could be taken, although the log is large; trying again",
				"err", err, "log_bytes", s.Log.Bytes())
		}
	}
	wait := func(d time.Duration) bool { return pause(ctx, scale(d)) }
	for snapshotsWhile(s.Log.NeedsSnapshot, take, wait) {
		select {
		case <-s.Log.Grown():
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// snapshotsWhile takes snapshots while one is needed. It returns false if pause does.
func snapshotsWhile(needed func() bool, take func(), pause func(time.Duration) bool) bool {
	for retry := snapshotRetry; needed(); retry = min(2*retry, maxSnapshotRetry) {
		take()
		if needed() && !pause(retry) {
			return false
		}
	}
	return true
}

// diskNeed returns how much more room this member may need: for the log up to its bound,
// and for a snapshot and a database of the size that they have now, which are written
// beside the old ones.
func (s *Store) diskNeed() int64 {
	size, _ := s.Snapshots.Newest()
	need := s.Log.Room() + size
	if info, err := os.Stat(filepath.Join(s.dir, fsm.File)); err == nil {
		need += info.Size()
	}
	return need
}

// diskWatch warns when the disk has less room than the member may need.
type diskWatch struct {
	dir  string
	free func(dir string) (int64, error)
	need func() int64
	log  *slog.Logger
	low  bool // the last check found too little room
}

// check warns once, until there is room again.
func (w *diskWatch) check() {
	free, err := w.free(w.dir)
	if err != nil {
		return
	}
	need := w.need()
	if free < need && !w.low {
		w.log.Warn("the disk may become full, and this frontend would end: it has less room than log, snapshot "+
			"and database may need; make room", "dir", w.dir, "free_bytes", free, "need_bytes", need)
	}
	w.low = free < need
}

// WatchDisk compares the room on the disk with the need every so often, until ctx ends.
func (s *Store) WatchDisk(ctx context.Context, every time.Duration) {
	w := &diskWatch{dir: s.dir, free: durable.Free, need: s.diskNeed, log: s.logger}
	for {
		w.check()
		if !pause(ctx, every) {
			return
		}
	}
}
