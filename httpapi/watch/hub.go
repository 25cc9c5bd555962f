// Package watch sends changes to watchers as server-sent events: thousands of
// connections, served by a few goroutines.
//
// The frontend's cache invalidates the names of records, timelines and leaderboards that
// have changed. For each name that somebody watches, the [Hub] fetches the answer once,
// encodes it once and queues the frame for every [Watcher] of the name. A watcher's queue
// keeps only the newest frame of a record, so a slow reader gets the latest state rather
// than a backlog; timeline events are never dropped. Writers write without blocking;
// whatever a connection does not accept at once is written by a goroutine of its own,
// with a deadline.
//
// Leaderboards have a path of their own: a [Window] is refreshed at most every 500 ms and
// is sent as the difference to the previous version.
//
// A stream begins with everything that is watched, or with the selection Now of it.
// Hub.Begin writes it frame by frame, as the client takes it, so a client that does not
// read holds one page at most. Streams that begin at the same time share the records, and
// the selection. One that resumes reads only what has changed meanwhile.
//
// Start reading at Hub.dispatch, then Watcher.appendPending.
package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"laurel/cache"
	"laurel/score/ranking"
)

const (
	// MaxWatchers is the number of watchers that a hub accepts.
	MaxWatchers = 12_000
	// heartbeatInterval is the time between two heartbeats to a watcher.
	heartbeatInterval = 5 * time.Second
	// heartbeatSlots is the number of groups that heartbeats are spread over, so that
	// they are not sent in one burst.
	heartbeatSlots = 20
	// retryDelay is the delay before changes are dispatched again that the frontend
	// could not answer for.
	retryDelay = 20 * time.Millisecond
	// resendHomeAfter is the time after which a watcher that was sent home and is still
	// here may be sent again: its home may have been full.
	resendHomeAfter = 10 * time.Second
)

// ErrFull is returned when the hub has MaxWatchers.
var ErrFull = errors.New("too many watchers")

// Store is the part of a frontend that the hub reads. Its answers are what any client may
// see at that moment. An error means that the frontend cannot answer now.
type Store interface {
	// Incarnation names the course of the store's revisions, and those before it, which have
	// ended. Revisions of different incarnations are unrelated.
	Incarnation() (name string, former []string)
	// Record returns the record with the given key. Body is nil if there is none.
	Record(ctx context.Context, key string) (*cache.Entry, error)
	// Events returns a page of a contest's events after a revision, in order. more reports
	// whether others follow.
	Events(ctx context.Context, contestID string, after uint64) (list []Event, more bool, err error)
	// Keys returns the keys of a competition's records, or of all records for "". The
	// caller does not change them.
	Keys(ctx context.Context, competition string) ([]string, error)
	// Now returns the records that are shown before anybody has asked for more. The caller
	// does not change them.
	Now(ctx context.Context) (*Now, error)
	// ChangedSince returns the keys of the records that have changed since a revision,
	// once the store has everything up to another one: removed records too, and perhaps
	// others. known is false if the revision is too long ago.
	ChangedSince(ctx context.Context, revision, upTo uint64) (keys []string, known bool, err error)
	// Board returns the rows of a window and the revision that last changed them. The
	// page has no rows if there is no such leaderboard or its competitor has no mark
	// yet. The error for a split that the contest does not have is a *score.Problem.
	Board(ctx context.Context, w *Window) (p ranking.Leaderboard, revision uint64, err error)
	// Ordered reports whether Record and Events include everything up to the last
	// invalidation's revision. In pull mode they do not: each answer has its own age, so
	// an event id cannot state what its watcher has received.
	Ordered() bool
	// Invalidations returns the queue of changed names. The hub is its only consumer.
	Invalidations() *cache.Invalidations
	// Heartbeat returns the data of a heartbeat, or nil while this frontend does not
	// know the current state. Without heartbeats watchers move to another frontend.
	Heartbeat(revision uint64) []byte
}

// Event is an event of a timeline, encoded as JSON.
type Event struct {
	Revision uint64
	Body     []byte
}

// Now is a selection of the store's records.
type Now struct {
	Sections []byte // the numbers of all contests, as JSON
	Keys     []string
	Records  map[string]*cache.Entry // by key
}

// Hub sends changes of a store to watchers. Its methods are safe for concurrent use.
type Hub struct {
	store  Store
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	// queue holds the watchers to write to, each at most once. It has room for all, and
	// for removed ones that no writer has taken yet, so that nobody waits to add one.
	queue   chan *Watcher
	batches *rate.Limiter // batches of windows that are refreshed
	// slowWrite bounds the write of what a connection did not accept at once.
	slowWrite time.Duration

	count atomic.Int64
	clock atomic.Uint64 // logical clock of window fetches and window versions

	mu           sync.Mutex
	delivered    uint64                // every change up to this revision is queued for its watchers
	dispatching  uint64                // the highest revision that a dispatch has begun for
	begun, ended uint64                // dispatches that have begun to fetch, and that have ended
	progress     chan struct{}         // closed and replaced when a dispatch ends
	topics       map[string]watcherSet // see Subjects.topics
	watchers     watcherSet
	lastSlot     int                      // the heartbeat slot of the last watcher
	boards       map[string]*boardWindows // by contest
	windows      map[Window]*window
	rows         int // cost of all windows

	// newest are the revisions of the records that were sent in pull mode, of an incarnation.
	newest   map[string]uint64
	newestOf string

	// polled are the revisions of the records that were in the answer Now when it last
	// changed in pull mode. Only dispatch uses it.
	polled map[string]uint64
}

type watcherSet map[*Watcher]bool

// New returns a hub that writes from the given number of goroutines. Close stops it.
func New(s Store, writers int) *Hub {
	h := &Hub{
		store:     s,
		slowWrite: SlowWriteTimeout,
		queue:     make(chan *Watcher, 2*MaxWatchers),
		batches:   rate.NewLimiter(rate.Every(batchPause), 1),
		progress:  make(chan struct{}),
		topics:    map[string]watcherSet{},
		watchers:  watcherSet{},
		boards:    map[string]*boardWindows{},
		windows:   map[Window]*window{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for range writers {
		h.tasks.Go(h.runWriter)
	}
	h.tasks.Go(h.run)
	h.tasks.Go(h.sendHeartbeats)
	return h
}

// Count returns the number of watchers.
func (h *Hub) Count() int { return int(h.count.Load()) }

// Close ends all streams and waits for the hub's goroutines.
func (h *Hub) Close() {
	h.cancel()
	h.tasks.Wait()
	watchers, _ := h.selectWatchers(func(*Watcher) bool { return true })
	for _, w := range watchers {
		w.close()
	}
}

func (h *Hub) run() {
	invalidations := h.store.Invalidations()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-invalidations.Wake():
		}
		c := invalidations.Take()
		h.markBoardsDirty(c.Names, c.All)
		if err := h.dispatch(c); err == nil {
			continue
		}
		invalidations.Add(c.Names, c.All, c.Revision)
		select {
		case <-time.After(retryDelay):
		case <-h.ctx.Done():
		}
	}
}

func (h *Hub) sendHeartbeats() {
	tick := time.NewTicker(heartbeatInterval / heartbeatSlots)
	defer tick.Stop()
	for slot := 0; ; slot = (slot + 1) % heartbeatSlots {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		if slot == 0 && !h.store.Ordered() {
			// In pull mode the frontend stops polling an answer that nobody asks for,
			// and may never poll one that does not exist. Asking again makes it poll.
			h.markBoardsDirty(nil, true)
			h.pollNow()
		}
		watchers, delivered := h.selectWatchers(func(w *Watcher) bool { return w.slot == slot })
		if len(watchers) == 0 {
			continue
		}
		if data := h.store.Heartbeat(delivered); data != nil {
			send(heartbeatFrame(data), watchers, delivered)
		}
	}
}

// pollNow asks for the answer that streams began with, if there are any, so that the
// frontend goes on to poll it.
func (h *Hub) pollNow() {
	h.mu.Lock()
	watched := len(h.topics[nowTopic]) > 0
	h.mu.Unlock()
	if watched {
		ctx, cancel := context.WithTimeout(h.ctx, heartbeatInterval/heartbeatSlots)
		defer cancel()
		_, _ = h.store.Now(ctx) // what it answers comes as a change
	}
}

func heartbeatFrame(data []byte) *frame {
	return &frame{key: "heartbeat", bytes: encode("heartbeat", data)}
}

// selectWatchers returns the watchers for which selects returns true, and h.delivered. It
// calls selects with h.mu held.
func (h *Hub) selectWatchers(selects func(*Watcher) bool) (selected []*Watcher, delivered uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if selects(w) {
			selected = append(selected, w)
		}
	}
	return selected, h.delivered
}

// Guests returns the number of watchers by home, without those whose home is own and
// those that are departing.
func (h *Hub) Guests(own string) map[string]int {
	watchers, _ := h.selectWatchers(func(w *Watcher) bool {
		return w.client.Home != "" && w.client.Home != own && !w.departing()
	})
	guests := map[string]int{}
	for _, w := range watchers {
		guests[w.client.Home]++
	}
	return guests
}

// probe is a comment line, which clients skip.
var probe = &frame{key: "probe", bytes: []byte(":\n")}

// Departing returns the number of watchers that were sent home recently and may still
// leave. It also writes a probe to each: only a failing write shows that a watcher has
// left, and heartbeats would take up to 10 s, during which it counts both here and at
// home.
func (h *Hub) Departing() int {
	departing, delivered := h.selectWatchers((*Watcher).departing)
	send(probe, departing, delivered)
	return len(departing)
}

// SendHome sends an event with the given data, which asks a watcher to go home, to at
// most limit of the watchers with that home.
func (h *Hub) SendHome(home string, data []byte, limit int) {
	departing, delivered := h.selectWatchers(func(w *Watcher) bool {
		if limit <= 0 || w.client.Home != home || w.departing() {
			return false
		}
		limit--
		w.sentHome = time.Now()
		return true
	})
	send(&frame{key: "home", bytes: encode("home", data)}, departing, delivered)
}

// SendAway sends at most limit watchers that were not sent anywhere lately to other
// frontends, by an event as that of SendHome with one of the given data. It ends the streams
// of those whose clients do not know that event, and of those that are still here after a
// while.
func (h *Hub) SendAway(to [][]byte, limit int, after time.Duration) {
	var ended []*Watcher
	away := make([][]*Watcher, len(to))
	_, delivered := h.selectWatchers(func(w *Watcher) bool {
		switch {
		case w.departing() && time.Since(w.sentHome) < after:
		case w.departing():
			ended = append(ended, w)
		case limit <= 0:
		case w.client.Home == "" || len(to) == 0:
			limit--
			ended = append(ended, w)
		default:
			limit--
			w.sentHome = time.Now()
			i := rand.N(len(to))
			away[i] = append(away[i], w)
		}
		return false
	})
	for i, data := range to {
		send(&frame{key: "home", bytes: encode("home", data)}, away[i], delivered)
	}
	for _, w := range ended {
		h.Remove(w)
	}
}
