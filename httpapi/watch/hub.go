package watch

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"laurel/cache"
	"laurel/score"
)

const (
	// MaxWatchers is how many a hub takes.
	MaxWatchers = 12_000
	// heartbeat is how often each watcher hears something.
	heartbeat = 5 * time.Second
	// beatTurns is in how many parts a heartbeat goes round, so that it is no burst.
	beatTurns = 50
	// fetches is how many answers are fetched at once for one batch of changes.
	fetches = 16
	// eventPage is how many events of a timeline are fetched at once.
	eventPage = 500
	// again is after how long a batch is tried again for which the frontend could not answer.
	again = 20 * time.Millisecond
	// fetchLimit bounds the time for one batch.
	fetchLimit = 5 * time.Second
)

// ErrFull: the hub has MaxWatchers.
var ErrFull = errors.New("too many watchers")

// Hub knows who watches what. Its methods are safe for concurrent use.
type Hub struct {
	store   Store
	writers *writers
	ctx     context.Context
	cancel  context.CancelFunc
	over    sync.WaitGroup

	mu       sync.Mutex
	cut      uint64 // every change up to here has been left with its watchers
	carrying uint64 // or is on its way to those who watched when it set out
	moved    chan struct{}
	topics   map[string]*topic
	groups   map[string]map[*Watcher]struct{} // of a competition, or of everything: ""
	watchers [beatTurns]map[*Watcher]struct{}
	boards   map[string]*board // by contest
	windows  map[Window]*window
	rows     int // of all windows
	paced    time.Time
	count    atomic.Int64
	looks    atomic.Uint64 // a clock of the looks at windows
	turn     int           // at which the next watcher is put
}

// topic is a record or a timeline that somebody watches by its name.
type topic struct {
	watchers map[*Watcher]struct{}
}

// New makes a hub; Close ends it.
func New(s Store, writers int) *Hub {
	h := &Hub{store: s, moved: make(chan struct{}), topics: map[string]*topic{}, groups: map[string]map[*Watcher]struct{}{},
		boards: map[string]*board{}, windows: map[Window]*window{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for i := range h.watchers {
		h.watchers[i] = map[*Watcher]struct{}{}
	}
	h.writers = newWriters(h.End)
	for range writers {
		h.over.Go(func() { h.writers.run(h.ctx) })
	}
	h.over.Go(h.run)
	h.over.Go(h.beat)
	return h
}

// Count is the number of watchers.
func (h *Hub) Count() int { return int(h.count.Load()) }

// Close ends all streams.
func (h *Hub) Close() {
	h.cancel()
	h.over.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, part := range h.watchers {
		for w := range part {
			w.close()
		}
	}
}

// run carries changes until the hub is closed.
func (h *Hub) run() {
	feed := h.store.Invalidations()
	var left cache.Invalidated // what could not be carried yet
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-feed.Wake():
		case <-retry.C:
		}
		c := feed.Take()
		h.stirBoards(c.Names, c.All)
		c.Names, c.All, c.Revision = append(c.Names, left.Names...), c.All || left.All, max(c.Revision, left.Revision)
		left = cache.Invalidated{}
		if err := h.carry(c); err != nil {
			left = c
			retry.Reset(again)
		}
	}
}

// change is a name that somebody watches, and what became of it.
type change struct {
	name     string
	watchers []*Watcher
	frames   []*frame
	gone     bool
}

// carry fetches what has changed and leaves it with those who watch it.
func (h *Hub) carry(c cache.Invalidated) error {
	ctx, cancel := context.WithTimeout(h.ctx, fetchLimit)
	defer cancel()
	if c.All {
		names, err := h.everything(ctx)
		if err != nil {
			return err
		}
		c.Names = append(c.Names, names...)
	}
	slices.Sort(c.Names)
	h.mu.Lock()
	from := h.cut
	h.carrying = max(h.carrying, c.Revision)
	var changes []*change
	for _, name := range slices.Compact(c.Names) {
		if list := h.interested(name); len(list) > 0 {
			changes = append(changes, &change{name: name, watchers: list})
		}
	}
	h.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetches)
	to := c.Revision
	if !h.store.Ordered() {
		to = math.MaxUint64
	}
	for _, one := range changes {
		group.Go(func() error { return h.fetch(ctx, one, from, to) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := h.restart(ctx, changes, c.Revision); err != nil {
		return err
	}
	h.leave(changes, c.Revision)
	return nil
}

// everything is all names that somebody may watch.
func (h *Hub) everything(ctx context.Context) ([]string, error) {
	h.mu.Lock()
	var names, competitions []string
	for name := range h.topics {
		names = append(names, name)
	}
	for competition, watchers := range h.groups {
		if len(watchers) > 0 {
			competitions = append(competitions, competition)
		}
	}
	h.mu.Unlock()
	if slices.Contains(competitions, "") {
		competitions = []string{""}
	}
	for _, competition := range competitions {
		keys, err := h.store.Keys(ctx, competition)
		if err != nil {
			return nil, err
		}
		names = append(names, keys...)
	}
	return names, nil
}

// interested are those who watch a name. h.mu must be held.
func (h *Hub) interested(name string) (list []*Watcher) {
	if t := h.topics[name]; t != nil {
		for w := range t.watchers {
			list = append(list, w)
		}
	}
	competition, isRecord := competitionOf(name)
	if !isRecord {
		return list
	}
	for _, group := range []string{competition, ""} {
		for w := range h.groups[group] {
			if !w.subjects.names(name) {
				list = append(list, w)
			}
		}
	}
	return list
}

// competitionOf is the competition of a record's key.
func competitionOf(key string) (competition string, isRecord bool) {
	kind, rest, _ := strings.Cut(key, "/")
	switch kind {
	case "scores":
		return score.CompetitionOf(rest), true
	case "medals":
		return rest, true
	}
	return "", false
}

// fetch makes the frames of a change: what is newer than from. Events of a timeline behind to will be named again.
func (h *Hub) fetch(ctx context.Context, c *change, from, to uint64) error {
	if contest, ok := strings.CutPrefix(c.name, "timeline/"); ok {
		return h.fetchEvents(ctx, c, contest, from, to)
	}
	e, err := h.store.Record(ctx, c.name)
	switch {
	case err != nil:
		return err
	case e.Body == nil:
		c.gone = strings.HasPrefix(c.name, "scores/") // a medal table stays
	case e.Revision > from:
		c.frames = []*frame{recordFrame(c.name, e)}
	}
	return nil
}

func recordFrame(key string, e *cache.Entry) *frame {
	event := "score"
	if strings.HasPrefix(key, "medals/") {
		event = "medals"
	}
	return &frame{name: key, revision: e.Revision, bytes: encode(event, e.Body)}
}

func (h *Hub) fetchEvents(ctx context.Context, c *change, contest string, from, to uint64) error {
	return h.eachEvent(ctx, contest, from, to, func(e Event) {
		c.frames = append(c.frames, &frame{name: c.name, kept: true, revision: e.Revision, bytes: encode("timeline", e.Body)})
	})
}

// eachEvent calls f for a contest's events behind from up to to.
func (h *Hub) eachEvent(ctx context.Context, contest string, from, to uint64, f func(Event)) error {
	for {
		list, err := h.store.Events(ctx, contest, from, eventPage)
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.Revision > to {
				return nil
			}
			from = e.Revision
			f(e)
		}
		if len(list) < eventPage {
			return nil
		}
	}
}

// leave leaves with each watcher the frames of a batch, all at once: were it written to in between, the id behind them would say that it has what is still to come.
func (h *Hub) leave(changes []*change, cut uint64) {
	for w, list := range byWatcher(changes) {
		if !w.leave(list, cut) {
			h.End(w)
		}
	}
	h.mu.Lock()
	h.cut = max(h.cut, cut)
	close(h.moved)
	h.moved = make(chan struct{})
	h.mu.Unlock()
}

// byWatcher are the frames for each watcher of the changes.
func byWatcher(changes []*change) iter.Seq2[*Watcher, []*frame] {
	return func(yield func(*Watcher, []*frame) bool) {
		if len(changes) == 1 {
			for _, w := range changes[0].watchers {
				if !yield(w, changes[0].frames) {
					return
				}
			}
			return
		}
		frames := map[*Watcher][]*frame{}
		for _, c := range changes {
			for _, w := range c.watchers {
				frames[w] = append(frames[w], c.frames...)
			}
		}
		for w, list := range frames {
			if !yield(w, list) {
				return
			}
		}
	}
}

// restart gives those who watch a record that is no more a new snapshot: nothing else tells them that it is gone.
func (h *Hub) restart(ctx context.Context, changes []*change, cut uint64) error {
	done := map[*Watcher]struct{}{}
	frames := map[string]*frame{} // by what is watched: thousands watch the same
	for _, c := range changes {
		if !c.gone {
			continue
		}
		for _, w := range c.watchers {
			if _, is := done[w]; is {
				continue
			}
			done[w] = struct{}{}
			what := w.subjects.key()
			if frames[what] == nil {
				body, err := h.snapshot(ctx, w, cut)
				if err != nil {
					return err
				}
				frames[what] = &frame{name: "snapshot", open: true, revision: cut, bytes: encodeOpen("snapshot", body)}
			}
			w.restart(frames[what], cut)
		}
	}
	return nil
}

// beat sends each watcher a heartbeat in turn.
func (h *Hub) beat() {
	tick := time.NewTicker(heartbeat / beatTurns)
	defer tick.Stop()
	for turn := 0; ; turn = (turn + 1) % beatTurns {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		if turn == 0 && !h.store.Ordered() {
			// An answer that nobody asks for is not polled for ever, and that there is none of a board may not be polled at all.
			h.stirBoards(nil, true)
		}
		h.mu.Lock()
		cut := h.cut
		part := make([]*Watcher, 0, len(h.watchers[turn]))
		for w := range h.watchers[turn] {
			part = append(part, w)
		}
		h.mu.Unlock()
		if len(part) == 0 {
			continue
		}
		data := h.store.Beat(cut)
		if data == nil {
			continue
		}
		f := &frame{name: "heartbeat", bytes: encode("heartbeat", data)}
		for _, w := range part {
			w.tell(f, cut)
		}
	}
}
