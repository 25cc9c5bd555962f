package watch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"laurel/cache"
)

// steppedStore is a store whose answers take time: a test decides when a question is
// answered and when the hub receives the answer, which may be old by then.
type steppedStore struct {
	*fakeStore
	stepping atomic.Bool // whether new questions wait for the test
	asked    chan *step
}

// step is a question that waits for the test.
type step struct {
	key                     string
	read, wasRead, returned chan struct{}
}

func newSteppedStore() *steppedStore {
	return &steppedStore{fakeStore: newFakeStore(), asked: make(chan *step)}
}

func (s *steppedStore) Record(ctx context.Context, key string) (*cache.Entry, error) {
	defer s.wait(key)()
	return s.fakeStore.Record(ctx, key)
}

func (s *steppedStore) Keys(ctx context.Context, competition string) ([]string, error) {
	defer s.wait("keys of " + competition)()
	return s.fakeStore.Keys(ctx, competition)
}

func (s *steppedStore) ChangedSince(ctx context.Context, revision, upTo uint64) ([]string, bool, error) {
	defer s.wait(fmt.Sprint("changes since ", revision))()
	return s.fakeStore.ChangedSince(ctx, revision, upTo)
}

// wait waits until the answer may be read. The caller calls the result once it has read it.
func (s *steppedStore) wait(key string) func() {
	if !s.stepping.Load() {
		return func() {}
	}
	one := &step{key, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	s.asked <- one
	<-one.read
	return func() {
		close(one.wasRead)
		<-one.returned
	}
}

// next returns the next question.
func (s *steppedStore) next(t *testing.T, key string) *step {
	t.Helper()
	one := <-s.asked
	if one.key != key {
		t.Fatalf("the hub asked for %s; want %s", one.key, key)
	}
	return one
}

// answer makes the answer from the present state, without returning it yet.
func (one *step) answer() {
	close(one.read)
	<-one.wasRead
}

// subscribe opens a stream, which the channel returns once it has begun.
func subscribe(t *testing.T, h *Hub, s Subjects, lastID string) <-chan *client {
	c := make(chan *client, 1)
	go func() {
		defer close(c) // watchPipe may end this goroutine
		c <- watchPipe(t, h, s, lastID)
	}()
	return c
}

// wantRising reads events until the id is last. The revisions of each record must not fall.
func (c *client) wantRising(last uint64) {
	c.t.Helper()
	revisions := map[string]uint64{}
	for {
		e := c.mustNext()
		check := func(contest string, revision uint64) {
			if before := revisions[contest]; revision < before {
				c.t.Errorf("%s of revision %d came after revision %d, in a %s", contest, revision, before, e.event)
			}
			revisions[contest] = revision
		}
		for _, r := range e.data.Scores {
			check(r.Contest, r.Revision)
		}
		if e.event == "score" {
			check(e.data.Contest, e.data.Revision)
		}
		if e.id == fmt.Sprint("fake-", last) {
			return
		}
	}
}

// A dispatch fetches a score; before it delivers the score, a watcher joins whose beginning
// has a newer one.
func TestScoreThatWasFetchedBeforeAWatchersBeginningIsNotSentAfterIt(t *testing.T) {
	for _, lastID := range []string{"", "fake-1"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSteppedStore()
			began := s.change("C/1")
			h := newHub(t, s)
			awaitDelivered(t, h, began)
			s.stepping.Store(true)
			joins := subscribe(t, h, Subjects{Contests: []string{"C/1"}}, lastID)
			beginning := s.next(t, "scores/C/1")
			s.change("C/1")
			dispatch := s.next(t, "scores/C/1")
			dispatch.answer()
			newest := s.change("C/1")
			beginning.answer()
			close(beginning.returned)
			synctest.Wait()
			close(dispatch.returned)
			dispatch = s.next(t, "scores/C/1")
			synctest.Wait() // what is pending is written
			s.stepping.Store(false)
			dispatch.answer()
			close(dispatch.returned)
			(<-joins).wantRising(newest)
		})
	}
}

// A contest is removed after a stream's beginning has read it.
func TestAContestThatIsRemovedWhileAStreamBeginsIsToldAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSteppedStore()
		began := s.change("C/1", "C/2")
		h := newHub(t, s)
		awaitDelivered(t, h, began)
		s.stepping.Store(true)
		joins := subscribe(t, h, Subjects{Contests: []string{"C/1", "C/2"}}, "")
		beginning := s.next(t, "scores/C/1")
		beginning.answer()
		s.remove("C/1")
		removed := s.next(t, "scores/C/1")
		s.stepping.Store(false)
		removed.answer()
		close(removed.returned)
		synctest.Wait()
		newest := s.change("C/2")
		close(beginning.returned)
		c := <-joins
		if e := c.mustNext(); e.event != "snapshot" || len(e.data.Scores) != 2 {
			t.Errorf("first came %+v; want both contests", e)
		}
		if e := c.mustNext(); e.event != "removed" || e.data.Contest != "C/1" {
			t.Errorf("then came %+v; want that C/1 is removed", e)
		}
		c.wantRising(max(newest, s.change("C/2")))
	})
}

// A dispatch fetches a score and then makes a new snapshot, which has a newer one.
func TestScoreThatWasFetchedBeforeASnapshotIsNotSentAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSteppedStore()
		began := s.change("C/1", "C/2")
		h := newHub(t, s)
		awaitDelivered(t, h, began)
		c := watchPipe(t, h, Subjects{Contests: []string{"C/1", "C/2"}}, "")
		if e := c.mustNext(); e.event != "snapshot" {
			t.Fatalf("got %+v", e)
		}
		s.setUnavailable(true) // so that one dispatch has both changes
		s.remove("C/1")
		s.change("C/2")
		synctest.Wait()
		s.stepping.Store(true)
		s.setUnavailable(false)
		byKey := map[string]*step{}
		for range 2 {
			one := <-s.asked
			byKey[one.key] = one
		}
		s.change("C/2") // newer than the dispatch's revision
		byKey["scores/C/2"].answer()
		newest := s.change("C/2")
		close(byKey["scores/C/2"].returned)
		s.stepping.Store(false)
		byKey["scores/C/1"].answer()
		close(byKey["scores/C/1"].returned)
		c.wantRising(newest)
	})
}

// A frontend begins a session, after which it dispatches everything that is watched. A
// watcher joins after the hub has looked at what is watched.
func TestWatcherThatJoinsWhileEverythingIsDispatchedMissesNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSteppedStore()
		began := s.change("C/1")
		h := newHub(t, s)
		awaitDelivered(t, h, began)
		watchPipe(t, h, Subjects{Competitions: []string{"C"}}, "").mustNext()
		s.stepping.Store(true)
		s.mu.Lock()
		s.revision++
		missed := s.revision
		s.changed["C/1"] = append(s.changed["C/1"], missed)
		s.invalidations.Add(nil, true, missed)
		s.mu.Unlock()
		dispatch := s.next(t, fmt.Sprint("changes since ", began))
		s.stepping.Store(false)
		joins := subscribe(t, h, Subjects{Timelines: []string{"C/1"}}, fmt.Sprint("fake-", began))
		synctest.Wait()
		dispatch.answer()
		close(dispatch.returned)
		awaitDelivered(t, h, missed)
		last := s.change("C/1")
		c := <-joins
		for _, want := range []uint64{missed, last} {
			if e := c.mustNext(); e.event != "timeline" || e.data.Revision != want {
				t.Errorf("got %s of revision %d; want the event of revision %d", e.event, e.data.Revision, want)
			}
		}
	})
}

// A watcher resumes at a frontend that has not delivered yet what the watcher has received.
// Its stream begins when the frontend has, or not at all.
func TestResumedStreamNeverBeginsBeforeItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		began := s.change("C/1")
		h := newHub(t, s)
		awaitDelivered(t, h, began)
		ahead, last := fmt.Sprint("fake-", began+1), began+2
		_, first, err := begin(t.Context(), h, Subjects{Timelines: []string{"C/1"}}, ahead)
		if !errors.Is(err, cache.ErrNotLeased) || h.Count() != 0 {
			t.Errorf("got %q, %v, and %d watchers; want ErrNotLeased", first, err, h.Count())
		}
		joins := subscribe(t, h, Subjects{Timelines: []string{"C/1"}}, ahead)
		time.Sleep(beginTimeout - time.Second)
		s.change("C/1", "C/1")
		if e := (<-joins).mustNext(); e.event != "timeline" || e.data.Revision != last {
			t.Errorf("got %+v; want the event of revision %d", e, last)
		}
	})
}

func TestInPullModeEveryEventOfATimelineIsSentOnce(t *testing.T) {
	s := pullStore{newFakeStore()}
	h := newHub(t, s)
	awaitDelivered(t, h, s.fakeStore.change("C/1"))
	subjects := Subjects{Timelines: []string{"C/1"}}
	last := uint64(1)
	var clients []*client
	for range 4 {
		c := watch(t, h, subjects, "fake-1")
		e := c.mustNext()
		if n := len(e.data.Timeline); e.event != "snapshot" || n != int(last) || e.data.Timeline[n-1].Revision != last {
			t.Errorf("got %+v; want a snapshot with the events up to revision %d", e, last)
		}
		clients = append(clients, c)
		last = s.change("C/1")
		for _, c := range clients {
			if e := c.mustNext(); e.event != "timeline" || e.data.Revision != last {
				t.Errorf("got %s of revision %d; want the event of revision %d", e.event, e.data.Revision, last)
			}
		}
	}
}
