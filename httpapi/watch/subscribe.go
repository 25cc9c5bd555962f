package watch

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"laurel/cache"
)

// maxSnapshot bounds the records that a stream begins with.
const maxSnapshot = 10_000

// snapshotKey is the key of a pending snapshot. No record has it.
const snapshotKey = "snapshot"

// ErrTooManyRecords is returned when the subjects have more records than one stream
// carries.
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
func (s *Subjects) topics() (topics []string) {
	add := func(ids []string, topicOf func(string) string) {
		for _, id := range ids {
			topics = append(topics, topicOf(id))
		}
	}
	add(s.Contests, cache.ScoreKey)
	add(s.Medals, cache.MedalsKey)
	add(s.Timelines, cache.TimelineTag)
	add(s.Competitions, func(id string) string { return competitionTopic + id })
	if s.Everything {
		topics = append(topics, competitionTopic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// Subscribe adds a watcher, which misses no change from now on. It returns what to send
// first: everything the watcher watches or, if lastID states what it has received
// already, the changes since. The caller must then call Attach or Remove. The error is
// the store's, ErrFull, ErrTooManyRows or ErrTooManyRecords.
func (h *Hub) Subscribe(ctx context.Context, s Subjects, lastID, home string) (w *Watcher, first []byte, err error) {
	if h.count.Add(1) > MaxWatchers {
		h.count.Add(-1)
		return nil, nil, ErrFull
	}
	w = &Watcher{
		Home:     home,
		subjects: s,
		hub:      h,
		queued:   true,
		latest:   map[string]uint64{},
	}
	received, resumes := parsePosition(h.store.Incarnation(), lastID)
	if resumes = resumes && h.store.Ordered(); resumes {
		// With less than it has received elsewhere the stream would go back.
		err = h.await(ctx, func() bool { return h.delivered >= received.events })
	}
	if err == nil {
		err = h.add(w)
	}
	if err != nil {
		h.count.Add(-1)
		return nil, nil, err
	}
	if first, err = h.begin(ctx, w, received, resumes); err != nil {
		h.Remove(w)
		return nil, nil, err
	}
	return w, first, nil
}

// await waits until reached returns true. It calls reached with h.mu held, now and
// whenever a dispatch has ended.
func (h *Hub) await(ctx context.Context, reached func() bool) error {
	for {
		h.mu.Lock()
		done, progress := reached(), h.progress
		h.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return cache.ErrNotLeased // the frontend cannot answer for what has changed
		case <-h.ctx.Done():
			return cache.ErrNotLeased
		}
	}
}

// add makes w a watcher. Its start revision covers everything that is being dispatched
// now, because those dispatches do not include it.
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

// expand returns topics with the keys of their records in place of competitions, in
// order.
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

// records returns the records that w watches, by key. The body of an entry is nil if
// there is no such record.
func (h *Hub) records(ctx context.Context, w *Watcher) (map[string]*cache.Entry, error) {
	names, err := h.expand(ctx, w.subjects.topics())
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, isRecord := competitionOf(name)
		return !isRecord
	})
	if len(names) > maxSnapshot {
		return nil, ErrTooManyRecords
	}
	records := make(map[string]*cache.Entry, len(names))
	for _, name := range names {
		if records[name], err = h.store.Record(ctx, name); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// snapshot returns an open snapshot of the records and events that w watches, without its
// windows, which appendFramesLocked adds. The events are those up to the revision; the
// records may be newer.
func (h *Hub) snapshot(
	ctx context.Context, w *Watcher, records map[string]*cache.Entry, revision uint64,
) (frame, error) {
	var scores, medals, events [][]byte
	for _, key := range slices.Sorted(maps.Keys(records)) {
		switch body := bytes.TrimRight(records[key].Body, "\n"); {
		case body == nil:
		case strings.HasPrefix(key, "medals/"):
			medals = append(medals, body)
		default:
			scores = append(scores, body)
		}
	}
	latest := map[string]uint64{}
	for _, id := range w.subjects.Timelines {
		err := h.eachEvent(ctx, id, 0, revision, func(e Event) {
			events = append(events, e.Body)
			latest[cache.TimelineTag(id)] = e.Revision
		})
		if err != nil {
			return frame{}, err
		}
	}
	comma := []byte(",")
	body := fmt.Appendf(nil,
		"event: snapshot\ndata: "+`{"incarnation":%q,"revision":%d,"scores":[%s],"medals":[%s],"timeline":[%s]`,
		h.store.Incarnation(), // letters and digits only
		revision, bytes.Join(scores, comma), bytes.Join(medals, comma), bytes.Join(events, comma))
	return frame{key: snapshotKey, open: true, latest: latest, revision: revision, bytes: body}, nil
}

// changesSince returns the frames of what has changed since a watcher had received a
// position.
func (h *Hub) changesSince(
	ctx context.Context, w *Watcher, records map[string]*cache.Entry, received position,
) (frames []*frame, err error) {
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if e := records[key]; e.Body != nil && e.Revision > received.records {
			frames = append(frames, recordFrame(key, e))
		}
	}
	for _, id := range w.subjects.Timelines {
		err = h.eachEvent(ctx, id, received.events, w.start, func(e Event) {
			frames = append(frames, eventFrame(cache.TimelineTag(id), e))
		})
		if err != nil {
			return nil, err
		}
	}
	return frames, nil
}

// begin returns the beginning of a stream: a snapshot, or for a watcher that resumes what
// has changed since the position that it had reached, as single events and its windows.
func (h *Hub) begin(ctx context.Context, w *Watcher, received position, resumes bool) ([]byte, error) {
	records, err := h.records(ctx, w)
	if err != nil {
		return nil, err
	}
	for key, e := range records {
		if e.Body == nil && strings.HasPrefix(key, "scores/") {
			resumes = false // the contest may have been removed meanwhile
		}
	}
	snapshot := &frame{}
	frames, since := []*frame{snapshot}, w.start
	if resumes {
		since = received.records
		frames, err = h.changesSince(ctx, w, records, received)
	} else {
		*snapshot, err = h.snapshot(ctx, w, records, w.start)
	}
	if err != nil {
		return nil, err
	}
	for i := range w.windows {
		if err := h.refresh(ctx, w.windows[i].window, false); err != nil {
			return nil, err
		}
	}
	// A dispatch that is under way may have fetched a record before a newer one was read
	// above. Once it has ended, its frames are pending. Later dispatches fetch nothing
	// older than what was read.
	h.mu.Lock()
	begun := h.begun
	h.mu.Unlock()
	if err := h.await(ctx, func() bool { return h.ended >= begun }); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.findLocked(snapshotKey) >= 0 {
		// A contest was removed meanwhile. The pending snapshot may be older than this
		// beginning and has everything that the watcher must get, so it comes instead.
		return nil, nil
	}
	w.dropOlderLocked(records, snapshot.latest)
	w.dirty = true // every window
	return w.appendFramesLocked(nil, w.arrangeLocked(frames), since, w.start), nil
}

// dropOlderLocked drops the pending frames that are not newer than the given records, and
// the last events of timelines. The beginning of the stream has those.
func (w *Watcher) dropOlderLocked(records map[string]*cache.Entry, latest map[string]uint64) {
	w.index = nil
	w.pending = slices.DeleteFunc(w.pending, func(f *frame) bool {
		if !f.keep {
			e := records[f.key]
			return e != nil && f.revision <= e.Revision
		}
		older := f.revision <= latest[f.key]
		if older {
			w.events--
		}
		return older
	})
	for timeline, revision := range latest {
		w.latest[timeline] = max(w.latest[timeline], revision)
	}
}
