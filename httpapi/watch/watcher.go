package watch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"laurel/cache"
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

// runWriter writes to the watchers of the queue until the hub is closed. The hub has
// several writers. None of them waits for a connection.
func (h *Hub) runWriter() {
	buffer := make([]byte, 0, writeBuffer)
	for {
		select {
		case <-h.ctx.Done():
			return
		case w := <-h.queue:
			h.serve(w, &buffer)
		}
		if cap(buffer) > maxWriteBuffer {
			buffer = make([]byte, 0, writeBuffer)
		}
	}
}

// serve writes to a watcher of the queue, with a buffer of the writer.
func (h *Hub) serve(w *Watcher, buffer *[]byte) {
	if !w.permitted() {
		h.Remove(w)
		return
	}
	if w.raw == nil {
		go h.writePage(w)
		return
	}
	var open bool
	if *buffer, open = w.appendPending((*buffer)[:0]); open {
		h.write(w, *buffer)
	} else {
		h.Remove(w)
	}
}

// write writes what the connection accepts at once. A goroutine writes the rest, which is
// held in the client's memory meanwhile. If that has no room, the stream ends.
func (h *Hub) write(w *Watcher, b []byte) {
	n, err := 0, error(nil)
	if len(b) > 0 { // a window that changed may be back at what the watcher has
		n, err = writeNow(w, b)
	}
	switch {
	case err != nil:
		h.Remove(w)
	case n < len(b):
		if !w.client.Memory.Hold(len(b) - n) {
			h.Remove(w)
			return
		}
		rest := slices.Clone(b[n:])
		go h.writeBlocking(w, rest)
	case w.writeDone():
		h.queue <- w
	}
}

// writePage writes to a connection that can only be written to by waiting. The page is
// made once the client's memory has room for it: until then nobody can say that the client
// does not read, and thousands at one address do, one after the other.
func (h *Hub) writePage(w *Watcher) {
	memory, n := w.client.Memory, w.pendingBytes()
	if !h.awaitRoom(w, n) {
		h.Remove(w)
		return
	}
	var b []byte
	open := w.permitted()
	if open {
		b, open = w.appendPending(nil)
	}
	memory.Resize(n, len(b))
	if !open {
		h.Remove(w)
		return
	}
	h.writeBlocking(w, b)
}

// awaitRoom holds n bytes of the memory of w's client once there is room for them.
func (h *Hub) awaitRoom(w *Watcher, n int) bool {
	if w.client.Memory.Hold(n) {
		return true
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.slowWrite)
	defer cancel()
	return awaitRoom(ctx, w.client.Memory, n)
}

// writeBlocking writes b, which is held in the client's memory.
func (h *Hub) writeBlocking(w *Watcher, b []byte) {
	var err error
	if len(b) > 0 { // a window that changed may be back at what the watcher has
		err = w.write(b, h.slowWrite)
	}
	w.client.Memory.Resize(len(b), 0)
	if err != nil {
		h.Remove(w)
	} else if w.writeDone() {
		h.queue <- w
	}
}

// write writes to the connection of an attached watcher within a time limit.
func (w *Watcher) write(b []byte, limit time.Duration) error {
	w.conn.SetWriteDeadline(time.Now().Add(limit))
	_, err := w.conn.Write(b)
	w.conn.SetWriteDeadline(time.Time{}) // writeNow fails after a deadline that has passed
	return err
}

// writeNow writes to the watcher's file descriptor without blocking. It returns the
// number of bytes that the connection accepted.
func writeNow(w *Watcher, b []byte) (n int, err error) {
	closed := w.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case closed != nil:
		return 0, closed
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	}
	return n, err
}

// frame is an encoded event of the stream without its final blank line, because each
// watcher decides whether an id line follows. A frame is immutable.
type frame struct {
	key      string // a newer frame replaces a pending one with the same key, unless keep
	keep     bool   // an event of the timeline key, which is never replaced
	revision uint64
	bytes    []byte
}

// recordFrame returns the frame of a record: of its new value or, for a contest, of its
// removal. A medal table that does not exist, which has never existed, has none: nil.
func recordFrame(key string, e *cache.Entry) *frame {
	contest, isContest := strings.CutPrefix(key, cache.ScoreKey(""))
	event, body := "medals", e.Body
	switch {
	case isContest && e.Body == nil:
		event = "removed"
		body = strconv.AppendUint(fmt.Appendf(nil, `{"contest_id":%q,"revision":`, contest), e.Revision, 10)
		body = append(body, '}')
	case isContest:
		event = "score"
	case e.Body == nil:
		return nil
	}
	return &frame{key: key, revision: e.Revision, bytes: encode(event, body)}
}

func eventFrame(timeline string, e Event) *frame {
	return &frame{key: timeline, keep: true, revision: e.Revision, bytes: encode("timeline", e.Body)}
}

// encode returns the lines of an event. The data is JSON with at most one line break, at
// its end.
func encode(event string, data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n", event, bytes.TrimRight(data, "\n"))
}

// position states what a watcher has received: every record as of one revision, and every
// event of its timelines up to another. They differ only in the middle of a write, where
// events are sent one by one.
type position struct{ records, events uint64 }

// appendID appends an id line that states to any hub of the incarnation what a watcher has
// received. In pull mode no id can, so a watcher that resumes gets a snapshot.
func (h *Hub) appendID(b []byte, p position) []byte {
	b = append(append(b, "id: "...), h.store.Incarnation()...)
	if !h.store.Ordered() {
		return append(b, "-pull\n"...)
	}
	b = strconv.AppendUint(append(b, '-'), p.records, 10)
	if p.events != p.records {
		b = strconv.AppendUint(append(b, '-'), p.events, 10)
	}
	return append(b, '\n')
}

// parsePosition parses an event id. It reports false if the id is malformed or belongs to
// another incarnation.
func parsePosition(incarnation, id string) (p position, ok bool) {
	revisions, ok := strings.CutPrefix(id, incarnation+"-")
	records, events, two := strings.Cut(revisions, "-")
	if !two {
		events = records
	}
	var recordsErr, eventsErr error
	p.records, recordsErr = strconv.ParseUint(records, 10, 64)
	p.events, eventsErr = strconv.ParseUint(events, 10, 64)
	return p, ok && recordsErr == nil && eventsErr == nil && p.events >= p.records
}
