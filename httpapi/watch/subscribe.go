package watch

import (
	"context"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"laurel/cache"
)

// Client is the one who watches. Only Home must be given.
type Client struct {
	// Home is the frontend that the client returns to; "" if it named none.
	Home string
	// Permitted reports whether the client may still watch. It is asked before each write.
	Permitted func() bool
	// Memory bounds what is held until the client has read it.
	Memory Memory
	// Left is called once the watcher has been removed.
	Left func()
}

// Memory is what a client may take of the frontend's memory.
type Memory interface {
	// Hold takes n bytes. It reports false, and has done nothing, if too many are held.
	Hold(n int) bool
	// Resize changes how many bytes are held, to a number that is known only afterwards.
	Resize(from, to int)
}

// unbounded is the Memory of a client without one.
type unbounded struct{}

func (unbounded) Hold(int) bool   { return true }
func (unbounded) Resize(int, int) {}

// Subjects is what a stream watches.
type Subjects struct {
	Contests     []string
	Competitions []string // all their contests and their medal tables
	Medals       []string // competitions
	Timelines    []string // contests
	Windows      []Window
	Everything   bool // all contests and medal tables
	// Now is for Everything: the stream begins with what Store.Now returns.
	Now bool
}

// competitionTopic begins the topic of all records of a competition. By itself it is the
// topic of all records.
const competitionTopic = "competition/"

// nowTopic is the topic of the answer that streams with Subjects.Now begin with. It
// changes by itself in pull mode only, where it is the one answer that is polled for them.
const nowTopic = "now"

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
	if s.Now {
		topics = append(topics, nowTopic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// Subscribe makes a watcher of c. The caller must then call Begin and Attach, or Remove.
// The error is ErrFull, ErrTooManyRows, or cache.ErrNotLeased from a hub that is closed.
func (h *Hub) Subscribe(s Subjects, c Client) (*Watcher, error) {
	if h.count.Add(1) > MaxWatchers {
		h.count.Add(-1)
		return nil, ErrFull
	}
	if c.Memory == nil {
		c.Memory = unbounded{}
	}
	w := &Watcher{client: c, subjects: s, hub: h, queued: true, latest: map[string]uint64{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil { // Close may have closed the watchers already
		h.count.Add(-1)
		return nil, cache.ErrNotLeased
	}
	if err := h.addWindows(w); err != nil {
		h.count.Add(-1)
		return nil, err
	}
	h.lastSlot = (h.lastSlot + 1) % heartbeatSlots
	w.slot = h.lastSlot
	h.watchers[w] = true
	return w, nil
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

// listen delivers changes of its subjects to w from now on. The start revision covers
// everything that is being dispatched now, because those dispatches do not include w. What
// is pending of before goes: w may not have been told what followed it.
func (h *Hub) listen(w *Watcher) (start uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start = h.dispatching
	w.mu.Lock()
	w.known, w.sent, w.upTo = start, start, start
	w.dropLocked(func(f *frame) bool { return f.revision > 0 && f.revision <= start })
	w.mu.Unlock()
	if !h.watchers[w] {
		return start // it was removed
	}
	for _, topic := range w.subjects.topics() {
		if h.topics[topic] == nil {
			h.topics[topic] = watcherSet{}
		}
		h.topics[topic][w] = true
	}
	return start
}

// unlisten ends what listen began. h.mu must be held.
func (h *Hub) unlisten(w *Watcher) {
	for _, topic := range w.subjects.topics() {
		delete(h.topics[topic], w)
		if len(h.topics[topic]) == 0 {
			delete(h.topics, topic)
		}
	}
}

// Remove closes a watcher's connection and forgets it. Removing it twice is harmless.
func (h *Hub) Remove(w *Watcher) {
	w.close()
	h.mu.Lock()
	present := h.watchers[w]
	if present {
		h.count.Add(-1)
		delete(h.watchers, w)
		h.unlisten(w)
		h.removeWindows(w)
	}
	h.mu.Unlock()
	if present && w.client.Left != nil {
		w.client.Left()
	}
}

// Attach gives a watcher its connection, to which Begin has written the beginning.
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
