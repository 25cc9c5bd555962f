package watch

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
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

// Subjects is what a stream watches.
type Subjects struct {
	Contests     []string
	Competitions []string // all their contests and their medal tables
	Medals       []string // competitions
	Timelines    []string // contests
	Windows      []Window
	Everything   bool // all contests and medal tables
}

// competitionTopic begins the topic of all records of a competition. By itself it is the
// topic of all records.
const competitionTopic = "competition/"

// topics returns names of single records and timelines, and topics of competitions.
func (s *Subjects) topics() []string {
	var topics []string
	for _, id := range s.Contests {
		topics = append(topics, cache.ScoreKey(id))
	}
	for _, competition := range s.Medals {
		topics = append(topics, cache.MedalsKey(competition))
	}
	for _, id := range s.Timelines {
		topics = append(topics, cache.TimelineTag(id))
	}
	for _, competition := range s.Competitions {
		topics = append(topics, competitionTopic+competition)
	}
	if s.Everything {
		topics = append(topics, competitionTopic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

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
	resumes = resumes && h.awaitDelivered(ctx, received.events)
	w = &Watcher{Home: home, subjects: s, hub: h, queued: true}
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

// awaitDelivered waits until this hub has delivered a revision, and reports whether it has.
func (h *Hub) awaitDelivered(ctx context.Context, revision uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	for {
		h.mu.Lock()
		reached, advanced := h.delivered >= revision, h.advanced
		h.mu.Unlock()
		if reached {
			return true
		}
		select {
		case <-advanced:
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
	h.lastSlot = (h.lastSlot + 1) % heartbeatSlots
	w.slot = h.lastSlot
	w.start, w.known, w.sent, w.upTo = h.dispatching, h.dispatching, h.dispatching, h.dispatching
	h.watchers[w] = true
	for _, topic := range w.subjects.topics() {
		if h.topics[topic] == nil {
			h.topics[topic] = watcherSet{}
		}
		h.topics[topic][w] = true
	}
	return nil
}

// Remove closes a watcher's connection and forgets it. Removing it twice is harmless.
func (h *Hub) Remove(w *Watcher) {
	w.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.watchers[w] {
		return
	}
	h.count.Add(-1)
	delete(h.watchers, w)
	for _, topic := range w.subjects.topics() {
		delete(h.topics[topic], w)
		if len(h.topics[topic]) == 0 {
			delete(h.topics, topic)
		}
	}
	h.removeWindows(w)
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
		h.queue <- w
	}
}

// expand returns topics with the keys of their records in place of competitions, in order.
func (h *Hub) expand(ctx context.Context, topics []string) ([]string, error) {
	everything := slices.Contains(topics, competitionTopic)
	var names []string
	for _, topic := range topics {
		competition, isCompetition := strings.CutPrefix(topic, competitionTopic)
		switch {
		case !isCompetition:
			names = append(names, topic)
		case competition == "" || !everything:
			keys, err := h.store.Keys(ctx, competition)
			if err != nil {
				return nil, err
			}
			names = append(names, keys...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// record is a record as it was read for a watcher. The body of its entry is nil if there is
// no such record.
type record struct {
	key   string
	entry *cache.Entry
}

// records returns the records that w watches, sorted by key.
func (h *Hub) records(ctx context.Context, w *Watcher) ([]record, error) {
	names, err := h.expand(ctx, w.subjects.topics())
	if err != nil {
		return nil, err
	}
	var list []record
	for _, name := range names {
		if _, isRecord := competitionOf(name); isRecord {
			list = append(list, record{key: name})
		}
	}
	if len(list) > maxSnapshot {
		return nil, ErrTooManyRecords
	}
	for i := range list {
		if list[i].entry, err = h.store.Record(ctx, list[i].key); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// firstSnapshot returns the beginning of a stream for a watcher that has received nothing.
func (h *Hub) firstSnapshot(ctx context.Context, w *Watcher) ([]byte, error) {
	records, err := h.records(ctx, w)
	if err != nil {
		return nil, err
	}
	snapshot, err := h.snapshot(ctx, w, records, w.start)
	if err != nil {
		return nil, err
	}
	return h.begin(ctx, w, records, []*frame{snapshot}, w.start)
}

// snapshot returns an open snapshot of the records and events that w watches, without its
// windows, which appendFramesLocked adds. The events are those up to the revision; the records
// may be newer.
func (h *Hub) snapshot(ctx context.Context, w *Watcher, records []record, revision uint64) (*frame, error) {
	var scores, medals, events [][]byte
	for _, r := range records {
		switch body := bytes.TrimRight(r.entry.Body, "\n"); {
		case body == nil:
		case strings.HasPrefix(r.key, "medals/"):
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
	comma := []byte(",")
	body := fmt.Appendf(nil,
		"event: snapshot\ndata: "+`{"store":%q,"revision":%d,"scores":[%s],"medals":[%s],"timeline":[%s]`,
		h.store.ID(), // letters and digits only
		revision, bytes.Join(scores, comma), bytes.Join(medals, comma), bytes.Join(events, comma))
	return &frame{key: "snapshot", open: true, revision: revision, bytes: body}, nil
}

// changesSince returns the beginning of a stream for a watcher that resumes: what has
// changed since the position it had reached, as single events, and its windows.
func (h *Hub) changesSince(ctx context.Context, w *Watcher, received position) ([]byte, error) {
	records, err := h.records(ctx, w)
	if err != nil {
		return nil, err
	}
	var frames []*frame
	for _, r := range records {
		if r.entry.Body == nil && strings.HasPrefix(r.key, "scores/") {
			return h.firstSnapshot(ctx, w) // the contest may have been removed meanwhile
		}
		if r.entry.Body != nil && r.entry.Revision > received.records {
			frames = append(frames, recordFrame(r.key, r.entry))
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
	return h.begin(ctx, w, records, frames, received.records)
}

// begin returns the beginning of a stream for a watcher that has received the records up to
// revision since: the frames and the watcher's windows. The frames were made from records.
func (h *Hub) begin(
	ctx context.Context, w *Watcher, records []record, frames []*frame, since uint64,
) ([]byte, error) {
	for i := range w.windows {
		if err := h.refresh(ctx, w.windows[i].window, false); err != nil {
			return nil, err
		}
	}
	if err := h.awaitDispatchEnd(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.pending, func(f *frame) bool { return f.open }) {
		// A contest was removed meanwhile. The pending snapshot may be older than this
		// beginning and has everything that the watcher must get, so it comes instead.
		return nil, nil
	}
	w.dropOlderLocked(records)
	w.dirty = true // every window
	return w.appendFramesLocked(nil, w.arrangeLocked(frames), since, w.start), nil
}

// awaitDispatchEnd waits until the dispatch that is under way has ended. That dispatch may have
// fetched a record before the caller read a newer one. Once it has ended, its frames are
// pending. Later dispatches fetch nothing older than what the caller has read.
func (h *Hub) awaitDispatchEnd(ctx context.Context) error {
	h.mu.Lock()
	ended := h.dispatchEnded
	h.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return cache.ErrNotLeased // the frontend cannot answer for what has changed
	}
}

// dropOlderLocked drops the pending frames that are not newer than the given records, which
// are sorted by key. The beginning of the stream has those records.
func (w *Watcher) dropOlderLocked(records []record) {
	w.index = nil // addLocked builds a new one
	w.pending = slices.DeleteFunc(w.pending, func(f *frame) bool {
		i, ok := slices.BinarySearchFunc(records, f.key, func(r record, key string) int {
			return strings.Compare(r.key, key)
		})
		return ok && f.revision <= records[i].entry.Revision
	})
}
