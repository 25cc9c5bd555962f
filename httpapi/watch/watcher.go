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
	// maxPendingEvents bounds the timeline events that are pending for one watcher.
	// Beyond it the connection is closed; the client reconnects with its event id and
	// gets the rest from the store.
	maxPendingEvents = 4096
	// indexThreshold is the number of pending frames above which a map finds them. Most
	// watchers have one or two, and with a map for each a fan-out takes 13 % longer.
	indexThreshold = 16
	// SlowWriteTimeout bounds the write of what a connection did not accept at once.
	SlowWriteTimeout = 10 * time.Second
	// writeBuffer is the initial size of a writer's buffer, and maxWriteBuffer the size
	// above which it is not kept.
	writeBuffer    = 64 << 10
	maxWriteBuffer = 1 << 20
	// idBytes is about what the id of an event takes.
	idBytes = 64
)

// Watcher is one stream with the frames that are pending for it. No method waits for the
// connection.
type Watcher struct {
	client   Client
	hub      *Hub
	subjects Subjects
	slot     int       // of the hub's heartbeats
	sentHome time.Time // when it was last sent home, or zero; guarded by Hub.mu

	mu      sync.Mutex
	conn    net.Conn
	raw     syscall.RawConn // nil if the connection has no file descriptor to write to
	pending []*frame
	index   map[string]int // places in pending by key, nil if there are few
	events  int            // pending timeline events
	// latest is the last event of each timeline that was sent or is pending. In pull mode
	// the dispatches repeat events.
	latest  map[string]uint64
	windows []watchedWindow
	dirty   bool   // a window may have changed
	known   uint64 // frames up to this revision are in the beginning
	sent    uint64 // everything up to this revision has been sent
	upTo    uint64 // everything up to this revision has been sent or is pending
	queued  bool   // a writer has it, or it is in Hub.queue, or the stream is not attached yet
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

// send adds a frame that is not a change of the store to watchers that have everything up
// to the revision delivered.
func send(f *frame, watchers []*Watcher, delivered uint64) {
	for _, w := range watchers {
		w.mu.Lock()
		w.addLocked(f)
		w.enqueueLocked(delivered)
		w.mu.Unlock()
	}
}

// departing reports whether the watcher was sent home recently. Hub.mu must be held.
func (w *Watcher) departing() bool {
	return !w.sentHome.IsZero() && time.Since(w.sentHome) < resendHomeAfter
}

// addLocked adds a pending frame. It replaces an older frame with the same key.
func (w *Watcher) addLocked(f *frame) {
	switch {
	case w.closed:
	case !f.keep:
		if i := w.findLocked(f.key); i >= 0 {
			w.pending[i] = f
		} else {
			w.appendLocked(f)
		}
	case f.revision > w.latest[f.key]:
		w.latest[f.key] = f.revision
		w.appendLocked(f)
		if w.events++; w.events > maxPendingEvents {
			w.closeLocked()
		}
	}
}

// findLocked returns the place of the pending frame with a key, or -1.
func (w *Watcher) findLocked(key string) int {
	if w.index == nil {
		return slices.IndexFunc(w.pending, func(p *frame) bool { return !p.keep && p.key == key })
	}
	if i, ok := w.index[key]; ok {
		return i
	}
	return -1
}

func (w *Watcher) appendLocked(f *frame) {
	w.pending = append(w.pending, f)
	from := len(w.pending) - 1
	if w.index == nil && len(w.pending) > indexThreshold {
		w.index, from = map[string]int{}, 0
	}
	for i := from; w.index != nil && i < len(w.pending); i++ {
		if !w.pending[i].keep {
			w.index[w.pending[i].key] = i
		}
	}
}

// dropPendingLocked drops the first n pending frames.
func (w *Watcher) dropPendingLocked(n int) {
	for _, f := range w.pending[:n] {
		if f.keep {
			w.events--
		}
	}
	w.pending, w.index = slices.Delete(w.pending, 0, n), nil
	if len(w.pending) == 0 && cap(w.pending) > 4*indexThreshold {
		w.pending = nil
	}
}

// dropLocked drops the pending frames for which drops returns true.
func (w *Watcher) dropLocked(drops func(*frame) bool) {
	w.pending, w.index, w.events = slices.DeleteFunc(w.pending, drops), nil, 0
	for _, f := range w.pending {
		if f.keep {
			w.events++
		}
	}
}

// hasPendingLocked reports whether there is something to write.
func (w *Watcher) hasPendingLocked() bool {
	return !w.closed && (len(w.pending) > 0 || w.dirty)
}

// enqueueLocked notes that everything up to the revision is pending, and queues the
// watcher for writing.
func (w *Watcher) enqueueLocked(revision uint64) {
	w.upTo = max(w.upTo, revision)
	if !w.queued && w.hasPendingLocked() {
		w.queued = true
		w.hub.queue <- w
	}
}

// appendPending appends a page of the pending frames to b in the order of their revisions
// and, behind the last of them, the windows that have changed and the event id. It reports
// false if the watcher is closed.
func (w *Watcher) appendPending(b []byte) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return b, false
	}
	slices.SortFunc(w.pending, func(a, b *frame) int {
		return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.key, b.key))
	})
	n, size := 0, 0
	for ; n < len(w.pending) && size < pageBytes; n++ {
		size += len(w.pending[n].bytes)
	}
	b = slices.Grow(b, size+n*idBytes)
	frames := w.pending[:n]
	if n == len(w.pending) {
		frames = w.appendWindowsLocked(frames)
	}
	for i, f := range frames {
		b = append(b, f.bytes...)
		switch {
		case n == len(w.pending) && i == len(frames)-1:
			b = w.hub.appendID(b, position{w.upTo, w.upTo})
		case f.keep:
			b = w.hub.appendID(b, position{w.sent, f.revision})
		}
		b = append(b, '\n')
	}
	if n == len(w.pending) {
		w.sent = w.upTo
	}
	w.dropPendingLocked(n)
	return b, true
}

// pendingBytes returns about how many bytes the next page has.
func (w *Watcher) pendingBytes() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 0; i < len(w.pending) && n < pageBytes; i++ {
		n += len(w.pending[i].bytes) + idBytes
	}
	for i := 0; w.dirty && i < len(w.windows); i++ {
		n += len(w.windows[i].window.latest.Load().full.bytes)
	}
	return n
}

// writeDone ends a write and reports whether more has become pending. If so, the caller
// must queue the watcher again.
func (w *Watcher) writeDone() (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = w.hasPendingLocked()
	return w.queued
}

func (w *Watcher) permitted() bool { return w.client.Permitted == nil || w.client.Permitted() }

func (w *Watcher) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
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
