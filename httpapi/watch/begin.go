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

// maxSnapshot bounds the records of a watcher's beginning.
const maxSnapshot = 10_000

// ErrTooMuch: the subjects are more than one stream carries.
var ErrTooMuch = fmt.Errorf("more than %d records", maxSnapshot)

// catchUp is how long a watcher that comes from another frontend waits until this one has what it saw there.
const catchUp = 2 * time.Second

// Begin begins a stream: from now on the watcher misses nothing. It gives what is to be sent first: all that is watched, or, where lastID says what
// the watcher has already, what has changed since. Start or End must follow. Errors are the store's, ErrFull,
// ErrWindows and ErrTooMuch.
func (h *Hub) Begin(ctx context.Context, s Subjects, lastID, home string) (w *Watcher, first []byte, err error) {
	if h.count.Add(1) > MaxWatchers {
		h.count.Add(-1)
		return nil, nil, ErrFull
	}
	since, resumes := parseMark(h.store.ID(), lastID)
	if resumes {
		resumes = h.awaitCut(ctx, since.events)
	}
	w = &Watcher{Home: home, subjects: s, id: h.id, queued: true}
	if err := h.join(w); err != nil {
		h.count.Add(-1)
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			h.End(w)
		}
	}()
	if resumes {
		first, err = h.since(ctx, w, since)
	} else {
		first, err = h.fresh(ctx, w)
	}
	return w, first, err
}

// id appends what says to this and every other hub of the store what a watcher has. In pull mode nothing can: its watcher begins anew.
func (h *Hub) id(b []byte, m mark) []byte {
	if !h.store.Ordered() {
		return append(append(b, h.store.ID()...), "-pull"...)
	}
	return m.append(b, h.store.ID())
}

// awaitCut waits until this hub carries what a watcher has seen elsewhere.
func (h *Hub) awaitCut(ctx context.Context, revision uint64) bool {
	limit := time.NewTimer(catchUp)
	defer limit.Stop()
	for {
		h.mu.Lock()
		there, moved := h.cut >= revision, h.moved
		h.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-moved:
		case <-limit.C:
			return false
		case <-ctx.Done():
			return false
		case <-h.ctx.Done():
			return false
		}
	}
}

// join makes w a watcher. What it has from its beginning must be at least all that is on its way now to those who watched before.
func (h *Hub) join(w *Watcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.joinBoards(w); err != nil {
		return err
	}
	h.turn = (h.turn + 1) % beatTurns
	w.turn, w.begun, w.has, w.sent, w.cut = h.turn, h.carrying, h.carrying, h.carrying, h.carrying
	w.writers = h.writers
	h.watchers[w.turn][w] = struct{}{}
	for _, name := range w.subjects.topics() {
		t := h.topics[name]
		if t == nil {
			t = &topic{watchers: map[*Watcher]struct{}{}}
			h.topics[name] = t
		}
		t.watchers[w] = struct{}{}
	}
	for _, group := range w.subjects.groups() {
		if h.groups[group] == nil {
			h.groups[group] = map[*Watcher]struct{}{}
		}
		h.groups[group][w] = struct{}{}
	}
	return nil
}

// End forgets a watcher. It may be called again.
func (h *Hub) End(w *Watcher) {
	w.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.watchers[w.turn][w]; !there {
		return
	}
	h.count.Add(-1)
	delete(h.watchers[w.turn], w)
	for _, name := range w.subjects.topics() {
		if t := h.topics[name]; t != nil {
			delete(t.watchers, w)
			if len(t.watchers) == 0 {
				delete(h.topics, name)
			}
		}
	}
	h.endBoards(w)
	for _, group := range w.subjects.groups() {
		delete(h.groups[group], w)
		if len(h.groups[group]) == 0 {
			delete(h.groups, group)
		}
	}
}

// Start gives the watcher its connection, on which everything up to what Begin gave has been written.
func (h *Hub) Start(w *Watcher, conn net.Conn) {
	w.mu.Lock()
	w.conn = conn
	if w.closed { // the hub has been closed meanwhile, or too much has gathered
		conn.Close()
	}
	if sc, ok := conn.(syscall.Conn); ok {
		w.raw, _ = sc.SyscallConn() // without it, as with TLS, a goroutine writes
	}
	w.mu.Unlock()
	conn.SetDeadline(time.Time{})
	if w.written() {
		w.writers.queue(w)
	}
}

// records are the entries of the records that w watches.
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
		return nil, nil, ErrTooMuch
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

// fresh is the beginning of a watcher that has nothing yet.
func (h *Hub) fresh(ctx context.Context, w *Watcher) ([]byte, error) {
	body, err := h.snapshot(ctx, w, w.begun)
	if err != nil {
		return nil, err
	}
	windows, err := h.beginBoards(ctx, w)
	if err != nil {
		return nil, err
	}
	first := append(closeSnapshot(encodeOpen("snapshot", body), windows), "id: "...)
	return append(h.id(first, mark{w.begun, w.begun}), "\n\n"...), nil
}

// snapshot is everything that w watches but windows, which closeSnapshot appends: records at least, and events exactly, as of the revision.
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
		if err := h.eachEvent(ctx, id, 0, revision, func(e Event) { events = append(events, e.Body) }); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	b.WriteString(`{"store":`)
	b.WriteString(strconv.Quote(h.store.ID())) // letters and digits
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

// since is what has changed since a watcher had what its id says, as single events.
func (h *Hub) since(ctx context.Context, w *Watcher, had mark) ([]byte, error) {
	keys, entries, err := h.records(ctx, w)
	if err != nil {
		return nil, err
	}
	var frames []*frame
	for i, e := range entries {
		if e.Body == nil && strings.HasPrefix(keys[i], "scores/") {
			return h.fresh(ctx, w) // it may have been there when the watcher left
		}
		if e.Body != nil && e.Revision > had.records {
			frames = append(frames, recordFrame(keys[i], e))
		}
	}
	for _, id := range w.subjects.Timelines {
		err := h.eachEvent(ctx, id, had.events, w.begun, func(e Event) {
			frames = append(frames, &frame{kept: true, revision: e.Revision, bytes: encode("timeline", e.Body)})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(frames, func(a, b *frame) int { return cmp.Compare(a.revision, b.revision) })
	windows, err := h.beginBoards(ctx, w)
	if err != nil {
		return nil, err
	}
	for _, s := range windows {
		frames = append(frames, s.whole)
	}
	b := make([]byte, 0, 1024)
	for i, f := range frames {
		b = append(b, f.bytes...)
		switch {
		case i == len(frames)-1:
			b = append(h.id(append(b, "id: "...), mark{w.begun, w.begun}), '\n')
		case f.kept:
			b = append(h.id(append(b, "id: "...), mark{had.records, f.revision}), '\n')
		}
		b = append(b, '\n')
	}
	return b, nil
}
