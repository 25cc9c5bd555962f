package watch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/cache"
	"laurel/score/ranking"
)

// shop is a store of counters: contest C/n has as its score how often it was changed, and each change is an event of its timeline.
type shop struct {
	feed *cache.Invalidations

	mu       sync.Mutex
	revision uint64
	changed  map[string][]uint64 // the revisions of a contest's events
	races    map[string]*race
	broken   bool
}

func newShop() *shop {
	s := &shop{feed: cache.NewInvalidations(), changed: map[string][]uint64{}, races: map[string]*race{}}
	s.feed.Add(nil, true, 0)
	return s
}

// change changes contests and lets the feed know.
func (s *shop) change(ids ...string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock() // the feed is told in the order of revisions
	var names []string
	for _, id := range ids {
		s.revision++
		s.changed[id] = append(s.changed[id], s.revision)
		names = append(names, cache.ScoreKey(id), cache.TimelineTag(id))
	}
	s.feed.Add(names, false, s.revision)
	return s.revision
}

// remove undoes a contest's definition.
func (s *shop) remove(id string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.changed, id)
	s.feed.Add([]string{cache.ScoreKey(id), cache.TimelineTag(id)}, false, s.revision)
	return s.revision
}

var errAway = errors.New("away")

func (s *shop) ID() string                          { return "shop" }
func (s *shop) Ordered() bool                       { return true }
func (s *shop) Invalidations() *cache.Invalidations { return s.feed }
func (s *shop) Beat(uint64) []byte                  { return []byte(`{}`) }
func (s *shop) setBroken(broken bool)               { s.mu.Lock(); s.broken = broken; s.mu.Unlock() }

func (s *shop) Record(_ context.Context, key string) (*cache.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, errAway
	}
	id, isScore := strings.CutPrefix(key, "scores/")
	list := s.changed[id]
	if !isScore || len(list) == 0 {
		return &cache.Entry{}, nil
	}
	at := list[len(list)-1]
	return &cache.Entry{Revision: at, Body: fmt.Appendf(nil, "{\"contest_id\":%q,\"result\":%d,\"revision\":%d}\n", id, len(list), at)}, nil
}

func (s *shop) Events(_ context.Context, id string, after uint64, limit int) (list []Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, errAway
	}
	for _, at := range s.changed[id] {
		if at > after && len(list) < limit {
			list = append(list, Event{at, fmt.Appendf(nil, `{"contest_id":%q,"revision":%d}`, id, at)})
		}
	}
	return list, nil
}

func (s *shop) Keys(_ context.Context, competition string) (keys []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.changed {
		if competition == "" || strings.HasPrefix(id, competition+"/") {
			keys = append(keys, cache.ScoreKey(id))
		}
	}
	return keys, nil
}

// got is an event as a client reads it.
type got struct {
	event, id string
	data      struct {
		told
		Leaderboards []told `json:"leaderboards"`

		Contest  string `json:"contest_id"`
		Result   int    `json:"result"`
		Revision uint64 `json:"revision"`
		Scores   []struct {
			Contest  string `json:"contest_id"`
			Result   int    `json:"result"`
			Revision uint64 `json:"revision"`
		} `json:"scores"`
		Timeline []struct {
			Revision uint64 `json:"revision"`
		} `json:"timeline"`
	}
}

// client is the other end of a stream.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	w    *Watcher
}

const patient = 20 * time.Second

// watch begins a stream over a real connection.
func watch(t testing.TB, h *Hub, s Subjects, lastID string) *client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return watchOn(t, h, s, lastID, conn, server)
}

// watchOn begins a stream over a connection, of which the second end is the hub's.
func watchOn(t testing.TB, h *Hub, s Subjects, lastID string, conn, server net.Conn) *client {
	t.Helper()
	w, first, err := h.Begin(context.Background(), s, lastID, "")
	if err != nil {
		t.Fatal(err)
	}
	h.Start(w, server)
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, r: bufio.NewReader(io.MultiReader(bytes.NewReader(first), conn)), w: w}
}

// next is the next event that is no heartbeat.
func (c *client) next() (g got, err error) {
	c.conn.SetReadDeadline(time.Now().Add(patient))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return g, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			g.event = value
		case "id":
			g.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &g.data); err != nil {
				return g, err
			}
			g.data.told.Contest, g.data.told.Revision = g.data.Contest, g.data.Revision
		case "":
			if g.event != "heartbeat" {
				return g, nil
			}
			g = got{}
		}
	}
}

func (c *client) mustNext() got {
	c.t.Helper()
	g, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

func newHub(t *testing.T, s Store) *Hub {
	h := New(s, 2)
	t.Cleanup(h.Close)
	return h
}

func TestAWatcherGetsASnapshotAndThenEveryChangeOnce(t *testing.T) {
	s := newShop()
	began := s.change("C/1", "C/2", "D/1")
	h := newHub(t, s)
	carried(t, h, began)
	c := watch(t, h, Subjects{Competitions: []string{"C"}}, "")
	g := c.mustNext()
	if g.event != "snapshot" || len(g.data.Scores) != 2 || g.id == "" {
		t.Fatalf("first came %+v", g)
	}
	s.change("D/1")
	last := s.change("C/2")
	for {
		g = c.mustNext()
		if g.event != "score" || g.data.Contest != "C/2" {
			t.Fatalf("got %+v; D/1 is not watched, C/1 has not changed", g)
		}
		if g.data.Revision == last {
			break
		}
	}
	if g.id != "shop-"+strconv.FormatUint(last, 10) {
		t.Errorf("the id is %s after revision %d", g.id, last)
	}
}

func TestWhoWatchesAContestThatIsNoMoreGetsASnapshotWithoutIt(t *testing.T) {
	s := newShop()
	began := s.change("C/1", "C/2")
	h := newHub(t, s)
	carried(t, h, began)
	all := watch(t, h, Subjects{Competitions: []string{"C"}}, "")
	one := watch(t, h, Subjects{Contests: []string{"C/1"}, Timelines: []string{"C/2"}}, "")
	var id string
	for _, c := range []*client{all, one} {
		id = c.mustNext().id
	}
	s.remove("C/1")
	if g := all.mustNext(); g.event != "snapshot" || len(g.data.Scores) != 1 || g.data.Scores[0].Contest != "C/2" {
		t.Errorf("got %+v", g)
	}
	if g := one.mustNext(); g.event != "snapshot" || len(g.data.Scores) != 0 || len(g.data.Timeline) != 1 {
		t.Errorf("got %+v", g)
	}
	last := s.change("C/2")
	if g := all.mustNext(); g.event != "score" || g.data.Revision != last {
		t.Errorf("after it came %+v", g)
	}
	if g := one.mustNext(); g.event != "timeline" || g.data.Revision != last {
		t.Errorf("after it came %+v", g)
	}
	again := watch(t, h, Subjects{Contests: []string{"C/1"}}, id)
	if g := again.mustNext(); g.event != "snapshot" || len(g.data.Scores) != 0 {
		t.Errorf("who was away meanwhile got %+v", g)
	}
}

// lists counts how often a store is asked for its keys.
type lists struct {
	*shop
	asked atomic.Int64
}

func (l *lists) Keys(ctx context.Context, competition string) ([]string, error) {
	l.asked.Add(1)
	return l.shop.Keys(ctx, competition)
}

func TestThoseWhoWatchTheSameShareOneSnapshotWhenAContestIsNoMore(t *testing.T) {
	s := &lists{shop: newShop()}
	began := s.change("C/1", "C/2")
	h := newHub(t, s)
	carried(t, h, began)
	var all []*client
	for range 50 {
		c := watch(t, h, Subjects{Competitions: []string{"C"}}, "")
		c.mustNext()
		all = append(all, c)
	}
	before := s.asked.Load()
	s.remove("C/1")
	for _, c := range all {
		if g := c.mustNext(); g.event != "snapshot" || len(g.data.Scores) != 1 {
			t.Fatalf("got %+v", g)
		}
	}
	if n := s.asked.Load() - before; n != 1 {
		t.Errorf("%d snapshots were made for %d watchers of the same; want 1", n, len(all))
	}
}

func TestARecordThatIsWatchedTwiceIsSentOnce(t *testing.T) {
	s := newShop()
	h := newHub(t, s)
	began := s.change("C/1")
	carried(t, h, began)
	c := watch(t, h, Subjects{Contests: []string{"C/1"}, Competitions: []string{"C"}}, "")
	c.mustNext()
	first := s.change("C/1")
	if g := c.mustNext(); g.data.Revision != first {
		t.Fatalf("%+v", g)
	}
	second := s.change("C/1")
	if g := c.mustNext(); g.data.Revision != second {
		t.Fatalf("after revision %d came %+v", first, g)
	}
}

func TestAStreamGoesOnAtAnotherHubWithoutAGapOrADouble(t *testing.T) {
	s := newShop()
	other := newShop()
	hub := newHub(t, s)
	next := newHub(t, &elsewhere{other, s})
	s.change("C/1")
	subjects := Subjects{Contests: []string{"C/1"}, Timelines: []string{"C/1"}}
	c := watch(t, hub, subjects, "")
	seen := map[uint64]int{}
	id := ""
	take := func(c *client, until uint64) {
		for {
			g := c.mustNext()
			for _, e := range g.data.Timeline {
				seen[e.Revision]++
			}
			if g.event == "timeline" {
				seen[g.data.Revision]++
			}
			if g.id != "" {
				id = g.id
			}
			if at, _ := parseMark("shop", id); at.records >= until {
				return
			}
		}
	}
	take(c, s.change("C/1"))
	c.conn.Close()
	missed := s.change("C/1", "C/1")
	other.feed.Add(nil, true, missed)
	d := watch(t, next, subjects, id)
	take(d, missed)
	for revision := uint64(1); revision <= missed; revision++ {
		if seen[revision] != 1 {
			t.Errorf("the event of revision %d was seen %d times", revision, seen[revision])
		}
	}
}

// elsewhere is the same store at another frontend, which has a feed of its own.
type elsewhere struct {
	*shop
	same *shop
}

func (e *elsewhere) Record(ctx context.Context, key string) (*cache.Entry, error) {
	return e.same.Record(ctx, key)
}

func (e *elsewhere) Events(ctx context.Context, id string, after uint64, limit int) ([]Event, error) {
	return e.same.Events(ctx, id, after, limit)
}

func (e *elsewhere) Board(ctx context.Context, w *Window) (ranking.Page, uint64, error) {
	return e.same.Board(ctx, w)
}

func TestAnIDOfAnotherStoreGetsASnapshot(t *testing.T) {
	s := newShop()
	s.change("C/1")
	h := newHub(t, s)
	for _, id := range []string{"other-5", "shop-pull", "shop-", "shop-x", "nonsense", "shop-99999999999999999999999", "shop-5-4", "shop-5-x"} {
		if g := watch(t, h, Subjects{Contests: []string{"C/1"}}, id).mustNext(); g.event != "snapshot" || len(g.data.Scores) != 1 {
			t.Errorf("with the id %q came %+v", id, g)
		}
	}
}

func TestASlowWatcherGetsTheLatestRecordAndEveryEventOfATimeline(t *testing.T) {
	s := newShop()
	began := s.change("C/1")
	h := newHub(t, s)
	carried(t, h, began)
	scores := watch(t, h, Subjects{Contests: []string{"C/1"}}, "")
	events := watch(t, h, Subjects{Timelines: []string{"C/1"}}, "")
	scores.mustNext()
	events.mustNext()
	// Both connections are taken from their writers, as if they took nothing.
	for _, c := range []*client{scores, events} {
		c.w.mu.Lock()
		c.w.queued = true
		c.w.mu.Unlock()
	}
	const changes = 1000
	last := uint64(0)
	for range changes {
		last = s.change("C/1")
	}
	carried(t, h, last)
	for _, c := range []*client{scores, events} {
		c.w.writers.queue(c.w)
	}
	if g := scores.mustNext(); g.data.Revision != last || g.data.Result != changes+1 {
		t.Errorf("got %+v, want the latest", g.data)
	}
	for want := uint64(2); want <= last; want++ {
		if g := events.mustNext(); g.event != "timeline" || g.data.Revision != want {
			t.Fatalf("got %+v, want the event of revision %d", g, want)
		}
	}
}

// carried waits until the hub has carried a revision. Who begins before gets it in the snapshot, and once more.
func carried(t testing.TB, h *Hub, revision uint64) {
	t.Helper()
	waitFor(t, "it is carried", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.cut >= revision })
}

func waitFor(t testing.TB, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !there(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patient)
		}
	}
}

func TestAWatcherThatReadsNothingHoldsNobodyUp(t *testing.T) {
	s := newShop()
	s.change("C/1")
	h := newHub(t, s)
	subjects := Subjects{Timelines: []string{"C/1"}, Contests: []string{"C/1"}}
	watch(t, h, subjects, "")
	reader := watch(t, h, subjects, "")
	reader.mustNext()
	last := uint64(0)
	for range 20 {
		for range 500 {
			last = s.change("C/1")
		}
		for {
			if g := reader.mustNext(); g.event == "timeline" && g.data.Revision == last {
				break
			}
		}
	}
}

func TestWhileTheFrontendCannotAnswerNothingIsSentAndAfterwardsNothingIsMissing(t *testing.T) {
	s := newShop()
	began := s.change("C/1")
	h := newHub(t, s)
	carried(t, h, began)
	c := watch(t, h, Subjects{Timelines: []string{"C/1"}}, "")
	c.mustNext()
	s.setBroken(true)
	first, second := s.change("C/1"), s.change("C/1")
	s.feed.Add(nil, true, second) // a new session
	if _, _, err := h.Begin(context.Background(), Subjects{Contests: []string{"C/1"}}, "", ""); !errors.Is(err, errAway) {
		t.Errorf("a stream began: %v", err)
	}
	s.setBroken(false)
	for _, want := range []uint64{first, second} {
		if g := c.mustNext(); g.data.Revision != want {
			t.Fatalf("got %+v, want revision %d", g, want)
		}
	}
}

func TestWhoIsGoneIsForgotten(t *testing.T) {
	s := newShop()
	s.change("C/1")
	h := newHub(t, s)
	c := watch(t, h, Subjects{Contests: []string{"C/1"}, Competitions: []string{"C"}}, "")
	c.mustNext()
	if h.Count() != 1 {
		t.Fatalf("%d watchers", h.Count())
	}
	c.conn.Close()
	waitFor(t, "it is forgotten", func() bool { s.change("C/1"); return h.Count() == 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.topics)+len(h.groups) != 0 {
		t.Errorf("topics %v and groups %v are left", h.topics, h.groups)
	}
}

// Watchers come at any moment, leave and go on where they were, while all changes. Each must see every event of its timelines once, and records whose
// revisions only rise, and end with the true state.
func TestWatchersThatComeAtAnyMomentMissNothing(t *testing.T) {
	s := newShop()
	ids := []string{"C/1", "C/2", "D/1"}
	s.change(ids...)
	h := newHub(t, s)
	done := make(chan struct{})
	var watchers sync.WaitGroup
	for n := range 24 {
		watchers.Go(func() { follow(t, h, s, ids[n%3], ids[(n+1)%3], done) })
	}
	for range 3000 {
		s.change(ids[rand.N(3)], ids[rand.N(3)])
	}
	close(done)
	watchers.Wait()
}

// follow watches a contest and two timelines until the state is final, leaving now and then.
func follow(t *testing.T, h *Hub, s *shop, id, other string, done <-chan struct{}) {
	var lastID string
	var record, event uint64
	events := 0
	for {
		c := watch(t, h, Subjects{Contests: []string{id}, Timelines: []string{id, other}}, lastID)
		for range 1 + rand.N(200) {
			g, err := c.next()
			if err != nil {
				t.Error(err)
				return
			}
			if g.event == "snapshot" && lastID != "" {
				t.Errorf("a snapshot came for the id %s", lastID)
			}
			for _, e := range g.data.Timeline {
				event, events = max(event, e.Revision), events+1
			}
			for _, r := range g.data.Scores {
				record = r.Revision
			}
			switch g.event {
			case "timeline":
				if g.data.Revision <= event {
					t.Errorf("event %d came after %d", g.data.Revision, event)
				}
				event, events = g.data.Revision, events+1
			case "score":
				if g.data.Revision < record {
					t.Errorf("revision %d came after %d", g.data.Revision, record)
				}
				record = g.data.Revision
			}
			if g.id != "" {
				lastID = g.id
			}
			if final(s, id, other, done, record, event) {
				if want := len(s.changed[id]) + len(s.changed[other]); events != want {
					t.Errorf("%d events were seen, want %d", events, want)
				}
				c.conn.Close()
				return
			}
		}
		c.conn.Close()
	}
}

func final(s *shop, id, other string, done <-chan struct{}, record, event uint64) bool {
	select {
	case <-done:
	default:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := func(id string) uint64 { list := s.changed[id]; return list[len(list)-1] }
	return record == last(id) && event == max(record, last(other))
}
