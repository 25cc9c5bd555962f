package watch

import (
	"cmp"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// maxPendingEvents bounds the timeline events that are pending for one watcher. Beyond
	// it the connection is closed; the client reconnects with its event id and gets the
	// rest from the store.
	maxPendingEvents = 4096
	// indexThreshold is the number of pending frames above which they are found by an index.
	indexThreshold = 16
)

// Watcher is one stream with the frames that are pending for it. No method waits for the
// connection.
type Watcher struct {
	Home string // the frontend that the client returns to; "" if it named none

	subjects Subjects
	appendID func(b []byte, p position) []byte
	writers  *writers
	slot     int       // of the hub's heartbeats
	start    uint64    // the stream's beginning includes everything up to this revision
	sentHome time.Time // when it was last sent home, or zero; guarded by Hub.mu

	mu      sync.Mutex
	conn    net.Conn
	raw     syscall.RawConn // nil if the connection has no file descriptor to write to
	pending []*frame
	index   map[string]int // position in pending by frame key, if there are many
	events  int            // pending timeline events
	windows []watchedWindow
	dirty   bool   // a window may have changed
	known   uint64 // frames up to this revision are in the beginning or a later snapshot
	sent    uint64 // everything up to this revision has been sent
	upTo    uint64 // everything up to this revision has been sent or is pending
	queued  bool   // a writer has it or will take it, or the stream is not attached yet
	closed  bool
}

// deliver adds the frames of a dispatch, with which the watcher has everything up to the
// revision. It reports false if the watcher is closed.
func (w *Watcher) deliver(frames []*frame, revision uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range frames {
		if f.revision > w.known {
			w.addLocked(f)
		}
	}
	w.enqueueLocked(revision)
	return !w.closed
}

// reset replaces everything that is pending by a snapshot of the revision.
func (w *Watcher) reset(snapshot *frame, revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.pending)
	w.pending, w.index, w.events, w.known = w.pending[:0], nil, 0, revision
	w.addLocked(snapshot)
	w.enqueueLocked(revision)
}

// send adds a frame that is not a change of the store.
func (w *Watcher) send(f *frame, delivered uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addLocked(f)
	w.enqueueLocked(delivered)
}

// addLocked adds a pending frame. It replaces an older frame with the same key.
func (w *Watcher) addLocked(f *frame) {
	if w.closed {
		return
	}
	if f.keep {
		if w.events++; w.events > maxPendingEvents {
			w.closeLocked()
			return
		}
		w.pending = append(w.pending, f)
		return
	}
	if i := w.find(f.key); i >= 0 {
		w.pending[i] = f
		return
	}
	w.pending = append(w.pending, f)
	if w.index != nil {
		w.index[f.key] = len(w.pending) - 1
	} else if len(w.pending) > indexThreshold {
		w.index = make(map[string]int, 4*indexThreshold)
		for i, p := range w.pending {
			if !p.keep {
				w.index[p.key] = i
			}
		}
	}
}

// find returns the position of the pending frame with a key, or -1.
func (w *Watcher) find(key string) int {
	if w.index != nil {
		if i, ok := w.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(w.pending, func(p *frame) bool { return !p.keep && p.key == key })
}

// enqueueLocked notes that everything up to the revision is pending, and queues the watcher
// for writing.
func (w *Watcher) enqueueLocked(revision uint64) {
	w.upTo = max(w.upTo, revision)
	if !w.queued && !w.closed && (len(w.pending) > 0 || w.dirty) {
		w.queued = true
		w.writers.enqueue(w)
	}
}

// appendPending appends the pending frames to b in the order of their revisions, then the
// windows that have changed, then the event id. It reports false if the watcher is closed.
func (w *Watcher) appendPending(b []byte) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return b, false
	}
	slices.SortStableFunc(w.pending, func(a, b *frame) int { return cmp.Compare(a.revision, b.revision) })
	w.addWindowsLocked()
	for i, f := range w.pending {
		b = append(b, f.bytes...)
		if f.open {
			b = w.closeSnapshotLocked(b)
		}
		switch {
		case i == len(w.pending)-1:
			b = append(w.appendID(append(b, "id: "...), position{w.upTo, w.upTo}), '\n')
		case f.keep:
			b = append(w.appendID(append(b, "id: "...), position{w.sent, f.revision}), '\n')
		}
		b = append(b, '\n')
	}
	w.sent = w.upTo
	clear(w.pending)
	w.pending, w.index, w.events = w.pending[:0], nil, 0
	if cap(w.pending) > 4*indexThreshold {
		w.pending = nil
	}
	return b, true
}

// writeDone ends a write and reports whether more has become pending. If so, the caller
// must enqueue the watcher again.
func (w *Watcher) writeDone() (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = (len(w.pending) > 0 || w.dirty) && !w.closed
	return w.queued
}

func (w *Watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeLocked()
}

func (w *Watcher) closeLocked() {
	if !w.closed {
		w.closed = true
		if w.conn != nil {
			w.conn.Close()
		}
	}
}
