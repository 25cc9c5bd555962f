package raftlog

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"laurel/cluster/disk"
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
		case <-s.scarce:
			if s.Log.Bytes() > s.Log.bounds.Trailing && !s.Log.NeedsSnapshot() {
				take()
			}
		case <-ctx.Done():
			return nil
		}
		if s.Log.holding.Load() { // later rounds may be certified
			if err := s.Log.Compact(); err != nil {
				return err
			}
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

// DiskNeeds returns what the member needs on its disk: for the log up to its bound, and for
// a snapshot and a database of the size that they have now, which are written beside the
// old ones. Before the first snapshot, its size is estimated by that of the database.
func (s *Store) DiskNeeds() disk.Needs {
	size, _ := s.Snapshots.Newest()
	database := int64(0)
	if info, err := os.Stat(filepath.Join(s.dir, fsm.File)); err == nil {
		database = info.Size()
	}
	if size == 0 {
		size = database
	}
	return disk.Needs{Snapshot: size, Most: s.Log.Room() + size + database}
}

// Scarce makes Bound take a snapshot, if that can shorten the log: the disk lacks room.
func (s *Store) Scarce() {
	select {
	case s.scarce <- struct{}{}:
	default:
	}
}
