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

func (h *Hub) records(ctx context.Context, w *Watcher) (keys []string, entries []*cache.Entry, err error) {
	names, err := h.expand(ctx, w.subjects.topics())
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if _, isRecord := competitionOf(name); isRecord {
			keys = append(keys, name)
		}
	}
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
	snapshot, err := h.snapshot(ctx, w, w.start)
	if err != nil {
		return nil, err
	}
	return h.begin(ctx, w, []*frame{snapshot}, w.start)
}

// snapshot returns an open snapshot: everything that w watches except windows, which
// appendFramesLocked adds. Its events are those up to the revision; its records may be newer.
func (h *Hub) snapshot(ctx context.Context, w *Watcher, revision uint64) (*frame, error) {
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
	return h.begin(ctx, w, frames, received.records)
}

// begin returns the beginning of a stream: frames for a watcher that has received the records
// up to a revision, and the watcher's windows.
func (h *Hub) begin(ctx context.Context, w *Watcher, frames []*frame, records uint64) ([]byte, error) {
	for i := range w.windows {
		if err := h.refresh(ctx, w.windows[i].window, false); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true // every window
	return w.appendFramesLocked(nil, w.arrangeLocked(frames), records, w.start), nil
}
