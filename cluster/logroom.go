package cluster

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"laurel/cluster/internal/durable"
	"laurel/fsm"
)

const (
	// roomTimeout is how long, at a time scale of 1, posts wait for room in the log before
	// they are refused.
	roomTimeout = time.Second
	roomPause   = 10 * time.Millisecond // between two looks at a full log
	// The pause after a snapshot that failed, or did not make the log small enough. It
	// doubles with each, because each may write the whole state.
	snapshotRetry    = time.Second
	maxSnapshotRetry = 16 * time.Second
	diskCheckEvery   = time.Minute // how often, at a time scale of 1, the free room is compared with the need
)

// awaitRoom waits until the log has room for posts, for at most roomTimeout.
func (r *replica) awaitRoom() bool {
	for end := r.clock() + r.scaled(roomTimeout); r.storage.Log.Full(); {
		if r.clock() > end || !r.pause(roomPause) {
			return false
		}
	}
	return true
}

// pause waits. It returns false if the member is closed meanwhile.
func (r *replica) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.ctx.Done():
		return false
	}
}

// diskNeed returns how much more room this member may need: for the log up to its bound,
// and for a snapshot and a database of the size that they have now, which are written
// beside the old ones.
func (r *replica) diskNeed() int64 {
	size, _ := r.storage.Snapshots.Newest()
	need := r.storage.Log.Room() + size
	if info, err := os.Stat(filepath.Join(r.opts.Dir, fsm.File)); err == nil {
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

// watchDisk checks the room on the disk until the member is closed.
func (r *replica) watchDisk() {
	w := &diskWatch{dir: r.opts.Dir, free: durable.Free, need: r.diskNeed, log: r.log}
	for {
		w.check()
		if !r.pause(r.scaled(diskCheckEvery)) {
			return
		}
	}
}

// boundLog takes a snapshot whenever the log after the newest one has grown too large, until
// the member is closed. Raft itself counts only entries.
func (r *replica) boundLog() {
	if err := r.storage.Log.Compact(); err != nil { // a crash may have come before it
		r.fail(err)
		return
	}
	for {
		if !snapshotsWhile(r.storage.Log.NeedsSnapshot, r.takeSnapshot, func(d time.Duration) bool {
			return r.pause(r.scaled(d))
		}) {
			return
		}
		select {
		case <-r.storage.Log.Grown():
		case <-r.ctx.Done():
			return
		}
	}
}

// takeSnapshot takes a snapshot of the state.
func (r *replica) takeSnapshot() {
	if err := r.await(r.ctx, r.raft.Snapshot()); err != nil && r.ctx.Err() == nil {
		r.log.Warn("no snapshot could be taken, although the log is large; trying again",
			"err", err, "log_bytes", r.storage.Log.Bytes())
	}
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
