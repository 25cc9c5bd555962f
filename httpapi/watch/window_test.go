package watch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"laurel/cache"
	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

func TestWindowIsSentInFullAndThenAsDiffs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100, "12", 110, "F3", 120, "14", 130)
		h := newHub(t, s)
		c, v := watchWindow(t, h, Window{ContestID: "C/1", Limit: 3}, "")
		v.wantOrder(t, "11", "12", "F3")
		s.setMarks("C/1", "15", 105)
		e := v.until(t, c, "11", "15", "12")
		if len(e.data.Rows) != 2 || e.data.Total != 5 || e.data.Split != "finish" || e.data.Contest != "C/1" {
			t.Errorf("got %+v, want the rows of 15, which is new, and of 12, which is third now", e.data)
		}
		s.removeMark("C/1", "15")
		if e := v.until(t, c, "11", "12", "F3"); len(e.data.Rows) != 2 {
			t.Errorf("got %+v, want the rows of 12 and of F3, which is back", e.data)
		}
		s.setMarks("C/1", "16", 900) // below the window: only the total changes
		if e := v.until(t, c, "11", "12", "F3"); len(e.data.Rows) != 0 || e.data.Total != 5 {
			t.Errorf("got %+v, want the total alone", e.data)
		}
	})
}

func TestWindowAroundACompetitorFollowsTheirRank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		for i := range 20 {
			s.setMarks("C/1", fmt.Sprint(100+i), 1000+10*i)
		}
		h := newHub(t, s)
		c, v := watchWindow(t, h, Window{ContestID: "C/1", Around: "110", Limit: 3}, "")
		v.wantOrder(t, "109", "110", "111")
		s.setMarks("C/1", "201", 1001, "202", 1002)
		if e := v.until(t, c, "109", "110", "111"); len(e.data.Rows) != 3 { // same neighbours, other ranks
			t.Errorf("got %+v", e.data)
		}
		s.setMarks("C/1", "119", 1095)
		v.until(t, c, "119", "110", "111")
		s.setMarks("C/1", "110", 5)
		v.until(t, c, "110", "100", "201")
		s.removeMark("C/1", "110")
		if e := v.until(t, c); e.data.Total != 21 {
			t.Errorf("got %+v after the competitor's mark was removed", e.data)
		}
		s.setMarks("C/1", "110", 9999)
		v.until(t, c, "117", "118", "110")
	})
}

func TestWindowOfACompetitorWithoutAMarkFillsWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, s)
		c, v := watchWindow(t, h, Window{ContestID: "C/1", Around: "12", Limit: 5}, "")
		d, u := watchWindow(t, h, Window{ContestID: "C/none", Limit: 5}, "")
		v.wantOrder(t)
		if v.total != 1 || u.total != 0 {
			t.Errorf("the totals are %d and %d", v.total, u.total)
		}
		s.setMarks("C/1", "12", 90)
		v.until(t, c, "12", "11")
		s.setMarks("C/none", "1", 1)
		u.until(t, d, "1")
	})
}

func TestRemovedLeaderboardIsEmptyAndMayComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100, "12", 110)
		h := newHub(t, s)
		c, v := watchWindow(t, h, Window{ContestID: "C/1", Limit: 5}, "")
		s.removeBoard("C/1")
		if e := v.until(t, c); e.data.Total != 0 || e.data.Rows == nil || e.data.Order == nil {
			t.Errorf("got %+v", e.data)
		}
		s.setMarks("C/1", "13", 100)
		v.until(t, c, "13")
	})
}

func TestAWindowIsSentWhenOnlyTheFormatOfItsMarksHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, s)
		c, v := watchWindow(t, h, Window{ContestID: "C/1", Limit: 5}, "")
		v.wantOrder(t, "11")
		for _, f := range []mark.Format{
			{ResultType: "TIME", Unit: "s", Sort: "asc"},
			{ResultType: "TIME", Unit: "s", Sort: "asc", Precision: new(2)},
			{ResultType: "TIME", Unit: "s", Sort: "asc", Precision: new(0)},
			{ResultType: "TIME", Unit: "s", Sort: "asc", Unit2: "s", Precision: new(0)},
			{},
		} {
			s.setFormat("C/1", f)
			if e := v.until(t, c, "11"); !e.data.SameFormat(&f) || len(e.data.Rows) != 0 {
				t.Errorf("got %+v; want no rows, and the format %+v", e.data, f)
			}
		}
	})
}

func TestSlowWatcherGetsTheFullWindowAndThenDiffsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100, "12", 110, "13", 120)
		h := newHub(t, s)
		window := Window{ContestID: "C/1", Limit: 4}
		c, v := watchWindow(t, h, window, "")
		release := c.holdWrites()
		awaitAnnounced(t, h, window, s.setMarks("C/1", "14", 105)) // the watcher misses this diff
		awaitAnnounced(t, h, window, s.setMarks("C/1", "15", 200)) // this one alone lacks 14
		release()
		e := v.until(t, c, "11", "14", "12", "13")
		if len(e.data.Rows) != 4 || e.data.Total != 5 {
			t.Errorf("got %+v, want all rows", e.data)
		}
		s.setMarks("C/1", "16", 999)
		if e := v.until(t, c, "11", "14", "12", "13"); len(e.data.Rows) != 0 || e.data.Total != 6 {
			t.Errorf("got %+v, want no row, because none has changed", e.data)
		}
	})
}

func TestWindowThatChangesDuringAWriteIsWrittenNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, s)
		window := Window{ContestID: "C/1", Limit: 4}
		c, v := watchWindow(t, h, window, "")
		release := c.holdWrites()
		awaitAnnounced(t, h, window, s.setMarks("C/1", "12", 90))
		if !c.w.writeDone() {
			t.Fatal("nothing is pending after the write")
		}
		release()
		v.until(t, c, "12", "11")
	})
}

func TestNewWatcherGetsAWindowThatOthersWereNotNotifiedOfYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, s)
		window := Window{ContestID: "C/1", Limit: 4}
		first, v := watchWindow(t, h, window, "")
		s.setMarks("C/1", "12", 110)
		v.until(t, first, "11", "12")
		s.setMarks("C/1", "13", 120) // during the refresh pause: not announced yet
		second, u := watchWindow(t, h, window, "")
		u.wantOrder(t, "11", "12", "13")
		last := s.setMarks("C/1", "14", 130)
		e := v.until(t, first, "11", "12", "13", "14")
		if len(e.data.Rows) != 2 || e.data.Revision != last {
			t.Errorf("the first watcher got %+v, want the two rows that are new to it", e.data)
		}
		if e := u.until(t, second, "11", "12", "13", "14"); len(e.data.Rows) != 4 {
			t.Errorf("the second watcher got %+v, want all rows, because no diff applies", e.data)
		}
	})
}

func TestResumedStreamGetsEachFullWindowFromAnyFrontend(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1")
	s.setMarks("C/1", "11", 100, "12", 110)
	h := newHub(t, s)
	other := newFakeStore()
	next := newHub(t, &otherFrontend{fakeStore: other, state: s})
	awaitDelivered(t, h, began)
	subjects := Subjects{Contests: []string{"C/1"}, Windows: []Window{{ContestID: "C/1", Limit: 2}}}
	c, v := watch(t, h, subjects, ""), new(windowView)
	id := v.begin(t, c).id
	c.conn.Close()
	last := s.setMarks("C/1", "13", 90)
	other.invalidations.Add(nil, true, last)
	d := watch(t, next, subjects, id)
	if e := v.begin(t, d); e.event != "leaderboard" || e.id == "" { // the score has not changed
		t.Errorf("it begins with %+v", e)
	}
	v.wantOrder(t, "13", "11")
}

func TestEventIDDoesNotCoverWindows(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1")
	s.setMarks("C/1", "11", 100)
	store := &recordsUnavailable{fakeStore: s}
	h := newHub(t, store)
	awaitDelivered(t, h, began)
	subjects := Subjects{Contests: []string{"C/1"}, Windows: []Window{{ContestID: "C/1", Limit: 2}}}
	c, v := watch(t, h, subjects, ""), new(windowView)
	first := v.begin(t, c)
	store.unavailable.Store(true)
	s.change("C/1") // this score cannot be fetched
	s.setMarks("C/1", "12", 90)
	e := v.until(t, c, "12", "11")
	if had, _ := parsePosition("fake", first.id); e.id == "" || first.id == "" {
		t.Errorf("the ids are %q and %q", first.id, e.id)
	} else if has, _ := parsePosition("fake", e.id); has != had {
		t.Errorf("the id advanced from %s to %s, but no record was sent", first.id, e.id)
	}
	store.unavailable.Store(false)
	if e := c.mustNext(); e.event != "score" || e.data.Result != 2 {
		t.Errorf("got %+v", e)
	}
}

// recordsUnavailable is a store whose records may be unavailable.
type recordsUnavailable struct {
	*fakeStore
	unavailable atomic.Bool
}

func (r *recordsUnavailable) Record(ctx context.Context, key string) (*cache.Entry, error) {
	if r.unavailable.Load() {
		return nil, errUnavailable
	}
	return r.fakeStore.Record(ctx, key)
}

func TestEachWindowIsRefreshedAfterANewMaster(t *testing.T) {
	s := newFakeStore()
	s.setMarks("C/1", "11", 100)
	h := newHub(t, s)
	c, v := watchWindow(t, h, Window{ContestID: "C/1", Limit: 5}, "")
	s.mu.Lock()
	s.boards["C/1"].rows.Set(ranking.Mark{Competitor: "12", Value: 1}) // without an invalidation
	s.revision++
	s.boards["C/1"].revision = s.revision
	s.invalidations.Add(nil, true, s.revision)
	s.mu.Unlock()
	v.until(t, c, "12", "11")
}

func TestWindowIsRefreshedAgainAfterTheStoreWasUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.setMarks("C/1", "11", 100)
		h := newHub(t, s)
		window := Window{ContestID: "C/1", Limit: 5}
		c, v := watchWindow(t, h, window, "")
		s.setUnavailable(true)
		s.setMarks("C/1", "12", 90)
		waitFor(t, "a refresh fails", func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.clock.Load() > h.windows[window].latest.Load().id && h.boards["C/1"].refreshing
		})
		other := Subjects{Windows: []Window{{ContestID: "C/1", Limit: 7}}}
		if _, _, err := begin(context.Background(), h, other, ""); !errors.Is(err, errUnavailable) {
			t.Errorf("got %v, want errUnavailable", err)
		}
		s.setUnavailable(false)
		v.until(t, c, "12", "11")
	})
}

func TestUnknownSplitIsRefused(t *testing.T) {
	s := newFakeStore()
	s.setMarks("C/1", "11", 100)
	h := newHub(t, s)
	subjects := Subjects{Windows: []Window{{ContestID: "C/1", Split: "10k", Limit: 5}}}
	_, _, err := begin(context.Background(), h, subjects, "")
	if p, ok := errors.AsType[*score.Problem](err); !ok || p.Code != score.InvalidEvent {
		t.Errorf("the error is %v", err)
	}
	wantNoWindows(t, h)
}

func TestWindowOfARemovedSplitIsEmpty(t *testing.T) {
	s := newFakeStore()
	s.setMarks("C/1", "11", 100)
	h := newHub(t, s)
	c, v := watchWindow(t, h, Window{ContestID: "C/1", Split: "finish", Limit: 5}, "")
	s.mu.Lock()
	s.boards["C/1"].split = "marathon"
	s.mu.Unlock()
	s.setMarks("C/1", "12", 90)
	if e := v.until(t, c); e.data.Total != 0 {
		t.Errorf("got %+v", e.data)
	}
}

func TestRowsOfAllWindowsAreBoundedAndReturned(t *testing.T) {
	s := newFakeStore()
	s.setMarks("C/1", "11", 100)
	h := newHub(t, s)
	subscribe := func(i int) (*Watcher, error) {
		window := Window{ContestID: "C/1", Around: fmt.Sprint(i), Limit: 100}
		w, _, err := begin(context.Background(), h, Subjects{Windows: []Window{window}}, "")
		return w, err
	}
	var all []*Watcher
	for i := range maxWindowRows / (100 + windowCost) {
		w, err := subscribe(i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	if _, err := subscribe(-1); !errors.Is(err, ErrTooManyRows) {
		t.Errorf("one window more: got %v, want ErrTooManyRows", err)
	}
	same, err := subscribe(0)
	if err != nil {
		t.Errorf("a window that is watched already: %v", err)
	}
	for _, w := range append(all, same) {
		h.Remove(w)
		h.Remove(w)
	}
	wantNoWindows(t, h)
}

func wantNoWindows(t *testing.T, h *Hub) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Count() != 0 || len(h.windows)+len(h.boards)+h.rows != 0 {
		t.Errorf("%d watchers, %d windows, %d boards and %d rows remain",
			h.Count(), len(h.windows), len(h.boards), h.rows)
	}
}
