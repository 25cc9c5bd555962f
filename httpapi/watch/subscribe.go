package watch

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"laurel/cache"
)

const (
	// maxSnapshot bounds the records that a stream begins with.
	maxSnapshot = 10_000
	// catchUpTimeout is how long a watcher that resumes waits until this hub has delivered
	// everything that the watcher received elsewhere.
	catchUpTimeout = 2 * time.Second
)

// ErrTooManyRecords is returned when the subjects have more records than one stream carries.
var ErrTooManyRecords = fmt.Errorf("more than %d records", maxSnapshot)

// Subscribe adds a watcher, which misses no change from now on. It returns what to send
// first: everything the watcher watches or, if lastID states what it has received already,
// the changes since. The caller must then call Attach or Remove. The error is the store's,
// ErrFull, ErrTooManyRows or ErrTooManyRecords.
func (h *Hub) Subscribe(ctx context.Context, s Subjects, lastID, home string) (w *Watcher, first []byte, err error) {
	if h.count.Add(1) > MaxWatchers {
		h.count.Add(-1)
		return nil, nil, ErrFull
	}
	received, resumes := parsePosition(h.store.ID(), lastID)
	if resumes {
		resumes = h.awaitDelivered(ctx, received.events)
	}
	w = &Watcher{Home: home, subjects: s, appendID: h.appendID, queued: true}
	if err := h.add(w); err != nil {
		h.count.Add(-1)
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			h.Remove(w)
		}
	}()
	if resumes {
		first, err = h.changesSince(ctx, w, received)
	} else {
		first, err = h.firstSnapshot(ctx, w)
	}
	return w, first, err
}

// appendID appends an event id that states to any hub of the store what a watcher has
// received. In pull mode no id can, so a watcher that resumes gets a snapshot.
func (h *Hub) appendID(b []byte, p position) []byte {
	if !h.store.Ordered() {
		return append(append(b, h.store.ID()...), "-pull"...)
	}
	return p.append(b, h.store.ID())
}

// awaitDelivered waits until this hub has delivered a revision, and reports whether it has.
func (h *Hub) awaitDelivered(ctx context.Context, revision uint64) bool {
	timeout := time.NewTimer(catchUpTimeout)
	defer timeout.Stop()
	for {
		h.mu.Lock()
		reached, advanced := h.delivered >= revision, h.advanced
		h.mu.Unlock()
		if reached {
			return true
		}
		select {
		case <-advanced:
		case <-timeout.C:
			return false
		case <-ctx.Done():
			return false
		case <-h.ctx.Done():
			return false
		}
	}
}

// add makes w a watcher. Its start revision covers everything that is being dispatched now,
// because those dispatches do not include it.
func (h *Hub) add(w *Watcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.addWindows(w); err != nil {
		return err
	}
	h.nextSlot = (h.nextSlot + 1) % heartbeatSlots
	w.slot = h.nextSlot
	w.start, w.known, w.sent, w.upTo = h.dispatching, h.dispatching, h.dispatching, h.dispatching
	w.writers = h.writers
	h.slots[w.slot][w] = struct{}{}
	for _, name := range w.subjects.topics() {
		if h.topics[name] == nil {
			h.topics[name] = watcherSet{}
		}
		h.topics[name][w] = struct{}{}
	}
	for _, group := range w.subjects.groups() {
		if h.groups[group] == nil {
			h.groups[group] = watcherSet{}
		}
		h.groups[group][w] = struct{}{}
	}
	return nil
}

// Remove closes a watcher's connection and forgets it. Removing it twice is harmless.
func (h *Hub) Remove(w *Watcher) {
	w.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.slots[w.slot][w]; !ok {
		return
	}
	h.count.Add(-1)
	delete(h.slots[w.slot], w)
	for _, name := range w.subjects.topics() {
		delete(h.topics[name], w)
		if len(h.topics[name]) == 0 {
			delete(h.topics, name)
		}
	}
	h.removeWindows(w)
	for _, group := range w.subjects.groups() {
		delete(h.groups[group], w)
		if len(h.groups[group]) == 0 {
			delete(h.groups, group)
		}
	}
}

// Attach gives a watcher its connection, to which the caller has written everything that
// Subscribe returned.
func (h *Hub) Attach(w *Watcher, conn net.Conn) {
	w.mu.Lock()
	w.conn = conn
	if w.closed { // the hub was closed meanwhile, or too many events are pending
		conn.Close()
	}
	if sc, ok := conn.(syscall.Conn); ok {
		w.raw, _ = sc.SyscallConn() // nil with TLS: then a goroutine does each write
	}
	w.mu.Unlock()
	conn.SetDeadline(time.Time{})
	if w.writeDone() {
		w.writers.enqueue(w)
	}
}

// records returns the keys and entries of the records that w watches.
func (h *Hub) records(ctx context.Context, w *Watcher) (keys []string, entries []*cache.Entry, err error) {
	for _, name := range w.subjects.topics() {
		if _, isRecord := competitionOf(name); isRecord {
			keys = append(keys, name)
		}
	}
	for _, group := range w.subjects.groups() {
		list, err := h.store.Keys(ctx, group)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, list...)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > maxSnapshot {
		return nil, nil, ErrTooManyRecords
	}
	for _, key := range keys {
		e, err := h.store.Record(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
	}
	return keys, entries, nil
}

// firstSnapshot returns the beginning of a stream for a watcher that has received nothing.
func (h *Hub) firstSnapshot(ctx context.Context, w *Watcher) ([]byte, error) {
	body, err := h.snapshot(ctx, w, w.start)
	if err != nil {
		return nil, err
	}
	windows, err := h.firstWindows(ctx, w)
	if err != nil {
		return nil, err
	}
	first := append(closeSnapshot(encodeOpen("snapshot", body), windows), "id: "...)
	return append(h.appendID(first, position{w.start, w.start}), "\n\n"...), nil
}

// snapshot returns an open snapshot: everything that w watches except windows, which
// closeSnapshot appends. Its events are those up to the revision; its records may be newer.
func (h *Hub) snapshot(ctx context.Context, w *Watcher, revision uint64) ([]byte, error) {
	keys, entries, err := h.records(ctx, w)
	if err != nil {
		return nil, err
	}
	var scores, medals, events [][]byte
	for i, e := range entries {
		switch body := bytes.TrimRight(e.Body, "\n"); {
		case body == nil:
		case strings.HasPrefix(keys[i], "medals/"):
			medals = append(medals, body)
		default:
			scores = append(scores, body)
		}
	}
	for _, id := range w.subjects.Timelines {
		err := h.eachEvent(ctx, id, 0, revision, func(e Event) { events = append(events, e.Body) })
		if err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	b.WriteString(`{"store":`)
	b.WriteString(strconv.Quote(h.store.ID())) // letters and digits only
	b.WriteString(`,"revision":`)
	b.WriteString(strconv.FormatUint(revision, 10))
	for _, part := range []struct {
		name string
		list [][]byte
	}{{"scores", scores}, {"medals", medals}, {"timeline", events}} {
		b.WriteString(`,"` + part.name + `":[`)
		b.Write(bytes.Join(part.list, []byte(",")))
		b.WriteByte(']')
	}
	return b.Bytes(), nil
}

// changesSince returns the beginning of a stream for a watcher that resumes: what has
// changed since the position it had reached, as single events, and its windows.
func (h *Hub) changesSince(ctx context.Context, w *Watcher, received position) ([]byte, error) {
	keys, entries, err := h.records(ctx, w)
	if err != nil {
		return nil, err
	}
	var frames []*frame
	for i, e := range entries {
		if e.Body == nil && strings.HasPrefix(keys[i], "scores/") {
			return h.firstSnapshot(ctx, w) // the contest may have been removed meanwhile
		}
		if e.Body != nil && e.Revision > received.records {
			frames = append(frames, recordFrame(keys[i], e))
		}
	}
	for _, id := range w.subjects.Timelines {
		err := h.eachEvent(ctx, id, received.events, w.start, func(e Event) {
			frames = append(frames, eventFrame(e))
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(frames, func(a, b *frame) int { return cmp.Compare(a.revision, b.revision) })
	windows, err := h.firstWindows(ctx, w)
	if err != nil {
		return nil, err
	}
	for _, v := range windows {
		frames = append(frames, v.full)
	}
	b := make([]byte, 0, 1024)
	for i, f := range frames {
		b = append(b, f.bytes...)
		switch {
		case i == len(frames)-1:
			b = append(h.appendID(append(b, "id: "...), position{w.start, w.start}), '\n')
		case f.keep:
			b = append(h.appendID(append(b, "id: "...), position{received.records, f.revision}), '\n')
		}
		b = append(b, '\n')
	}
	return b, nil
}
