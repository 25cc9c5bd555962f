package watch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"laurel/cache"
)

const (
	// MaxWatchers is the number of watchers that a hub accepts.
	MaxWatchers = 12_000
	// heartbeatInterval is the time between two heartbeats to a watcher.
	heartbeatInterval = 5 * time.Second
	// heartbeatSlots is the number of groups that heartbeats are spread over, so that
	// they are not sent in one burst.
	heartbeatSlots = 50
	// retryDelay is the delay before changes are dispatched again that the frontend
	// could not answer for.
	retryDelay = 20 * time.Millisecond
)

// ErrFull is returned when the hub has MaxWatchers.
var ErrFull = errors.New("too many watchers")

// Hub sends changes of a store to watchers. Its methods are safe for concurrent use.
type Hub struct {
	store   Store
	writers *writers
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	count atomic.Int64
	clock atomic.Uint64 // logical clock of window fetches and window versions

	mu          sync.Mutex
	delivered   uint64        // every change up to this revision is queued for its watchers
	dispatching uint64        // the highest revision that a dispatch has begun for
	advanced    chan struct{} // closed and replaced when delivered advances
	topics      map[string]watcherSet
	groups      map[string]watcherSet // by competition; "" watches every record
	slots       [heartbeatSlots]watcherSet
	nextSlot    int
	boards      map[string]*boardWindows // by contest
	windows     map[Window]*window
	rows        int       // cost of all windows
	nextBatch   time.Time // when the next batch of windows may be refreshed
}

type watcherSet map[*Watcher]struct{}

// New returns a hub that writes from the given number of goroutines. Close stops it.
func New(s Store, writers int) *Hub {
	h := &Hub{
		store:    s,
		advanced: make(chan struct{}),
		topics:   map[string]watcherSet{},
		groups:   map[string]watcherSet{},
		boards:   map[string]*boardWindows{},
		windows:  map[Window]*window{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for i := range h.slots {
		h.slots[i] = watcherSet{}
	}
	h.writers = newWriters(h.Remove)
	for range writers {
		h.tasks.Go(func() { h.writers.run(h.ctx) })
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
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, slot := range h.slots {
		for w := range slot {
			w.close()
		}
	}
}

// run dispatches invalidations until the hub is closed.
func (h *Hub) run() {
	invalidations := h.store.Invalidations()
	var failed cache.Invalidated // changes that could not be dispatched yet
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-invalidations.Wake():
		case <-retry.C:
		}
		c := invalidations.Take()
		h.markBoardsDirty(c.Names, c.All)
		c.Names = append(c.Names, failed.Names...)
		c.All = c.All || failed.All
		c.Revision = max(c.Revision, failed.Revision)
		failed = cache.Invalidated{}
		if err := h.dispatch(c); err != nil {
			failed = c
			retry.Reset(retryDelay)
		}
	}
}

// sendHeartbeats sends a heartbeat to one slot of watchers after the other.
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
		}
		h.mu.Lock()
		delivered := h.delivered
		watchers := make([]*Watcher, 0, len(h.slots[slot]))
		for w := range h.slots[slot] {
			watchers = append(watchers, w)
		}
		h.mu.Unlock()
		if len(watchers) == 0 {
			continue
		}
		data := h.store.Heartbeat(delivered)
		if data == nil {
			continue
		}
		f := &frame{key: "heartbeat", bytes: encode("heartbeat", data)}
		for _, w := range watchers {
			w.send(f, delivered)
		}
	}
}
