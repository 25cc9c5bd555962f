package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"laurel/cache"
	"laurel/score"
)

// watchBoard begins a stream of one window, and gives what it shows first.
func watchBoard(t *testing.T, h *Hub, w Window, lastID string) (*client, *screen) {
	t.Helper()
	c, v := watch(t, h, Subjects{Boards: []Window{w}}, lastID), new(screen)
	v.begin(t, c)
	return c, v
}

// begin takes the whole window with which a stream begins.
func (v *screen) begin(t *testing.T, c *client) got {
	t.Helper()
	g := c.mustNext()
	switch {
	case g.event == "snapshot" && len(g.data.Leaderboards) == 1:
		v.take(t, g.data.Leaderboards[0], true)
	case g.event == "leaderboard":
		v.take(t, g.data.told, true)
	default:
		t.Fatalf("a stream began with %+v", g)
	}
	return g
}

// until takes what comes until the window has these competitors, in this order.
func (v *screen) until(t *testing.T, c *client, codes ...string) got {
	t.Helper()
	for {
		g := c.mustNext()
		if g.event != "leaderboard" {
			t.Fatalf("got %+v", g)
		}
		v.take(t, g.data.told, false)
		if fmt.Sprint(v.order) == fmt.Sprint(codes) {
			return g
		}
	}
}

func TestAWindowIsToldWholeAndThenWhatChangedOfIt(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100, "12", 110, "F3", 120, "14", 130)
	h := newHub(t, s)
	c, v := watchBoard(t, h, Window{ContestID: "C/1", Limit: 3}, "")
	v.is(t, "11", "12", "F3")
	s.mark("C/1", "15", 105)
	g := v.until(t, c, "11", "15", "12")
	if len(g.data.Rows) != 2 || g.data.Total != 5 || g.data.Split != "finish" || g.data.Contest != "C/1" {
		t.Errorf("got %+v; want the rows of 15, who is new, and of 12, who is third now", g.data)
	}
	s.unmark("C/1", "15")
	if g := v.until(t, c, "11", "12", "F3"); len(g.data.Rows) != 2 {
		t.Errorf("got %+v; want the rows of 12 and of F3, who is back", g.data)
	}
	s.mark("C/1", "16", 900) // behind the window: only the total is another
	if g := v.until(t, c, "11", "12", "F3"); len(g.data.Rows) != 0 || g.data.Total != 5 {
		t.Errorf("got %+v; want the total alone", g.data)
	}
}

func TestAWatcherAroundARunnerFollowsHimAsHeIsOvertaken(t *testing.T) {
	s := newShop()
	for i := range 20 {
		s.mark("C/1", fmt.Sprint(100+i), 1000+10*i)
	}
	h := newHub(t, s)
	c, v := watchBoard(t, h, Window{ContestID: "C/1", Around: "110", Limit: 3}, "")
	v.is(t, "109", "110", "111")
	s.mark("C/1", "201", 1001, "202", 1002)
	if g := v.until(t, c, "109", "110", "111"); len(g.data.Rows) != 3 { // same neighbours, other ranks
		t.Errorf("got %+v", g.data)
	}
	s.mark("C/1", "119", 1095)
	v.until(t, c, "119", "110", "111")
	s.mark("C/1", "110", 5)
	v.until(t, c, "110", "100", "201")
	s.unmark("C/1", "110")
	if g := v.until(t, c); g.data.Total != 21 {
		t.Errorf("without a mark of his the window says %+v", g.data)
	}
	s.mark("C/1", "110", 9999)
	v.until(t, c, "117", "118", "110")
}

func TestWhoHasNoMarkYetAppearsWhenItComes(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	c, v := watchBoard(t, h, Window{ContestID: "C/1", Around: "12", Limit: 5}, "")
	d, u := watchBoard(t, h, Window{ContestID: "C/none", Limit: 5}, "")
	v.is(t)
	if v.total != 1 || u.total != 0 {
		t.Errorf("the totals are %d and %d", v.total, u.total)
	}
	s.mark("C/1", "12", 90)
	v.until(t, c, "12", "11")
	s.mark("C/none", "1", 1)
	u.until(t, d, "1")
}

func TestABoardThatIsNoMoreIsEmptyAndMayComeBack(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100, "12", 110)
	h := newHub(t, s)
	c, v := watchBoard(t, h, Window{ContestID: "C/1", Limit: 5}, "")
	s.scrap("C/1")
	if g := v.until(t, c); g.data.Total != 0 || g.data.Rows == nil || g.data.Order == nil {
		t.Errorf("got %+v", g.data)
	}
	s.mark("C/1", "13", 100)
	v.until(t, c, "13")
}

// hold keeps a watcher from its writers, as if its connection took nothing. What it gives lets it go.
func (c *client) hold() (letGo func()) {
	waitFor(c.t, "it has nothing coming", func() bool {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		free := !c.w.queued
		c.w.queued = true
		return free
	})
	return func() { c.w.writers.queue(c.w) }
}

// turned waits until a window shows what it had at a revision, and those who watch it have been told.
func turned(t *testing.T, h *Hub, w Window, revision uint64) {
	t.Helper()
	waitFor(t, "a turn", func() bool {
		h.mu.Lock()
		win := h.windows[w]
		h.mu.Unlock()
		win.looking <- struct{}{}
		defer func() { <-win.looking }()
		return win.base.revision >= revision
	})
}

func TestASlowWatcherGetsTheWholeWindowAndThenDifferencesAgain(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100, "12", 110, "13", 120)
	h := newHub(t, s)
	window := Window{ContestID: "C/1", Limit: 4}
	c, v := watchBoard(t, h, window, "")
	letGo := c.hold()
	turned(t, h, window, s.mark("C/1", "14", 105)) // of this it is not told
	turned(t, h, window, s.mark("C/1", "15", 200)) // this alone would not say that 14 is there
	letGo()
	g := v.until(t, c, "11", "14", "12", "13")
	if len(g.data.Rows) != 4 || g.data.Total != 5 {
		t.Errorf("got %+v; want all rows", g.data)
	}
	s.mark("C/1", "16", 999)
	if g := v.until(t, c, "11", "14", "12", "13"); len(g.data.Rows) != 0 || g.data.Total != 6 {
		t.Errorf("got %+v; want no row, for none has changed", g.data)
	}
}

func TestAWindowThatChangesWhileItsWatcherIsWrittenToIsWrittenNext(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	window := Window{ContestID: "C/1", Limit: 4}
	c, v := watchBoard(t, h, window, "")
	letGo := c.hold()
	turned(t, h, window, s.mark("C/1", "12", 90))
	if !c.w.written() {
		t.Fatal("after the write there is nothing more")
	}
	letGo()
	v.until(t, c, "12", "11")
}

func TestWhoBeginsBetweenTwoTurnsHasTheLatestAndHoldsNobodyToIt(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	window := Window{ContestID: "C/1", Limit: 4}
	old, v := watchBoard(t, h, window, "")
	s.mark("C/1", "12", 110)
	v.until(t, old, "11", "12")
	// The board rests, so these are told by no turn yet.
	s.mark("C/1", "13", 120)
	young, u := watchBoard(t, h, window, "")
	u.is(t, "11", "12", "13")
	last := s.mark("C/1", "14", 130)
	if g := v.until(t, old, "11", "12", "13", "14"); len(g.data.Rows) != 2 || g.data.Revision != last {
		t.Errorf("who has been here got %+v; want the two that are new to it", g.data)
	}
	if g := u.until(t, young, "11", "12", "13", "14"); len(g.data.Rows) != 4 {
		t.Errorf("who came between got %+v; want all, for no difference is to what it has", g.data)
	}
}

func TestWhoComesBackGetsEachWindowWholeAtAnyFrontend(t *testing.T) {
	s := newShop()
	began := s.change("C/1")
	s.mark("C/1", "11", 100, "12", 110)
	h := newHub(t, s)
	other := newShop()
	next := newHub(t, &elsewhere{other, s})
	carried(t, h, began)
	subjects := Subjects{Contests: []string{"C/1"}, Boards: []Window{{ContestID: "C/1", Limit: 2}}}
	c, v := watch(t, h, subjects, ""), new(screen)
	id := v.begin(t, c).id
	c.conn.Close()
	last := s.mark("C/1", "13", 90)
	other.feed.Add(nil, true, last)
	d := watch(t, next, subjects, id)
	if g := v.begin(t, d); g.event != "leaderboard" || g.id == "" { // the score has not changed, and is not told
		t.Errorf("it begins with %+v", g)
	}
	v.is(t, "13", "11")
}

func TestAnIDSaysNothingOfWindows(t *testing.T) {
	s := newShop()
	began := s.change("C/1")
	s.mark("C/1", "11", 100)
	shop := &deaf{shop: s}
	h := newHub(t, shop)
	carried(t, h, began)
	c, v := watch(t, h, Subjects{Contests: []string{"C/1"}, Boards: []Window{{ContestID: "C/1", Limit: 2}}}, ""), new(screen)
	first := v.begin(t, c)
	shop.set(true)
	s.change("C/1") // of this score it cannot be told
	s.mark("C/1", "12", 90)
	g := v.until(t, c, "12", "11")
	if had, _ := parseMark("shop", first.id); g.id == "" || first.id == "" {
		t.Errorf("the ids are %q and %q", first.id, g.id)
	} else if has, _ := parseMark("shop", g.id); has != had {
		t.Errorf("the id %s says more than %s, and of the records nothing more was told", g.id, first.id)
	}
	shop.set(false)
	if g := c.mustNext(); g.event != "score" || g.data.Result != 2 {
		t.Errorf("got %+v", g)
	}
}

// deaf is a shop that cannot tell of records.
type deaf struct {
	*shop
	mu sync.Mutex
	is bool
}

func (d *deaf) set(is bool) { d.mu.Lock(); d.is = is; d.mu.Unlock() }

func (d *deaf) Record(ctx context.Context, key string) (*cache.Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.is {
		return nil, errAway
	}
	return d.shop.Record(ctx, key)
}

func TestASnapshotForAContestThatIsNoMoreHasTheWindows(t *testing.T) {
	s := newShop()
	began := s.change("C/1", "C/2")
	s.mark("C/2", "11", 100, "12", 110)
	h := newHub(t, s)
	carried(t, h, began)
	c, v := watch(t, h, Subjects{Competitions: []string{"C"}, Boards: []Window{{ContestID: "C/2", Limit: 5}}}, ""), new(screen)
	v.begin(t, c)
	letGo := c.hold()
	s.mark("C/2", "13", 90)
	carried(t, h, s.remove("C/1"))
	letGo()
	if g := v.begin(t, c); g.event != "snapshot" || len(g.data.Scores) != 1 {
		t.Errorf("got %+v", g)
	}
	if len(v.order) < 3 {
		v.until(t, c, "13", "11", "12")
	}
	s.mark("C/2", "13", 200)
	if g := v.until(t, c, "11", "12", "13"); len(g.data.Rows) != 3 {
		t.Errorf("got %+v", g.data)
	}
}

func TestAfterANewMasterEachWindowIsLookedAtAgain(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	c, v := watchBoard(t, h, Window{ContestID: "C/1", Limit: 5}, "")
	s.mu.Lock()
	s.races["C/1"].board.Set(score.Mark{Competitor: "12", Value: 1}) // of this nobody here is told
	s.revision++
	s.races["C/1"].revision = s.revision
	s.feed.Add(nil, true, s.revision)
	s.mu.Unlock()
	v.until(t, c, "12", "11")
}

func TestWhatTheFrontendCouldNotAnswerIsLookedAtAgain(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	window := Window{ContestID: "C/1", Limit: 5}
	c, v := watchBoard(t, h, window, "")
	s.setBroken(true)
	s.mark("C/1", "12", 90)
	waitFor(t, "it was looked at in vain", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.looks.Load() > h.windows[window].shown.Load().at && h.boards["C/1"].turning
	})
	if _, _, err := h.Begin(context.Background(), Subjects{Boards: []Window{{ContestID: "C/1", Limit: 7}}}, "", ""); !errors.Is(err, errAway) {
		t.Errorf("a stream began: %v", err)
	}
	s.setBroken(false)
	v.until(t, c, "12", "11")
}

func TestASplitThatIsNotThereIsRefused(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	_, _, err := h.Begin(context.Background(), Subjects{Boards: []Window{{ContestID: "C/1", Split: "10k", Limit: 5}}}, "", "")
	if p, is := errors.AsType[*score.Problem](err); !is || p.Code != score.InvalidEvent {
		t.Errorf("the error is %v", err)
	}
	if h.Count() != 0 || len(h.windows)+len(h.boards)+h.rows != 0 {
		t.Errorf("it is still known: %v, %v, %d rows", h.windows, h.boards, h.rows)
	}
}

func TestASplitThatIsNoMoreIsAnEmptyWindow(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	c, v := watchBoard(t, h, Window{ContestID: "C/1", Split: "finish", Limit: 5}, "")
	s.mu.Lock()
	s.races["C/1"].split = "marathon"
	s.mu.Unlock()
	s.mark("C/1", "12", 90)
	if g := v.until(t, c); g.data.Total != 0 {
		t.Errorf("got %+v", g.data)
	}
}

func TestTheRowsOfAllWindowsAreBoundedAndGivenBack(t *testing.T) {
	s := newShop()
	s.mark("C/1", "11", 100)
	h := newHub(t, s)
	window := func(i int) Subjects {
		return Subjects{Boards: []Window{{ContestID: "C/1", Around: fmt.Sprint(i), Limit: 100}}}
	}
	var all []*Watcher
	for i := range maxWindowRows / (100 + windowCost) {
		w, _, err := h.Begin(context.Background(), window(i), "", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	if _, _, err := h.Begin(context.Background(), window(-1), "", ""); !errors.Is(err, ErrWindows) {
		t.Errorf("one more began: %v", err)
	}
	same, _, err := h.Begin(context.Background(), window(0), "", "")
	if err != nil {
		t.Errorf("one that is watched already did not begin: %v", err)
	}
	for _, w := range append(all, same) {
		h.End(w)
		h.End(w)
	}
	if h.Count() != 0 || len(h.windows)+len(h.boards)+h.rows != 0 {
		t.Errorf("left are %d watchers, %d windows, %d boards, %d rows", h.Count(), len(h.windows), len(h.boards), h.rows)
	}
}
