package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a state machine whose loads take a second.
type machine struct {
	revision atomic.Uint64
	calls    atomic.Int32
	err      error
}

func at(revision uint64) *machine {
	m := &machine{}
	m.revision.Store(revision)
	return m
}

func (m *machine) load(ctx context.Context, floor uint64) (body []byte, revision, view uint64, err error) {
	m.calls.Add(1)
	for m.revision.Load() < floor {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, 0, 0, context.Cause(ctx)
		}
	}
	view = m.revision.Load()
	time.Sleep(time.Second)
	return fmt.Append(nil, view), view, view, m.err
}

type answer struct {
	body, how string
	err       error
}

// ask asks in the background.
func (h *hand) ask(ctx context.Context, key, tag string, m *machine) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		e, how, err := h.f.Answer(ctx, key, tag, m.load)
		a := answer{how: how, err: err}
		if e != nil {
			a.body = string(e.Body)
		}
		c <- a
	}()
	return c
}

func (h *hand) want(c <-chan answer, body, how string, err error) {
	h.t.Helper()
	if a := <-c; a.body != body || a.how != how || !errors.Is(a.err, err) {
		h.t.Errorf("got %+v; want %q (%s), error %v", a, body, how, err)
	}
}

func inTime(t *testing.T, f func(t *testing.T, h *hand, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) { f(t, newHand(t).lease(), t.Context()) })
}

func TestManyWhoAskShareOneLoad(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(10)
		var list []<-chan answer
		for range 100 {
			list = append(list, h.ask(ctx, "k", "", m))
		}
		for _, c := range list {
			h.want(c, "10", Load, nil)
		}
		if n := m.calls.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		h.want(h.ask(ctx, "k", "", m), "10", Hit, nil)
	})
}

func TestALoadHasAllThatWasPushedBeforeIt(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		h.say(&Push{From: 10, To: 12, Released: 12})
		m := at(9)
		c := h.ask(ctx, "k", "tag", m)
		time.Sleep(time.Second)
		m.revision.Store(12)
		h.want(c, "12", Load, nil)
	})
}

func TestWhoAsksAfterANamingGetsNoOlderView(t *testing.T) {
	for _, tag := range []string{"", "tag"} {
		inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
			m := at(10)
			before := h.ask(ctx, "k", tag, m)
			synctest.Wait()
			h.say(&Push{From: 10, To: 11, Stale: []string{"k", "tag"}, Released: 11})
			m.revision.Store(11)
			after := h.ask(ctx, "k", tag, m)
			h.want(before, "10", Load, nil)
			h.want(after, "11", Load, nil)
		})
	}
}

// A load is under way when its tag is evicted: nobody notes any more that it gets stale.
func TestWhoAsksAfterATagWasEvictedJoinsNoOlderLoad(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(10)
		before := h.ask(ctx, "k", "tag", m)
		synctest.Wait()
		r := h.f.session.Load().records
		r.mu.Lock()
		r.maxBytes = 0
		r.evict()
		r.maxBytes = 1 << 20
		r.mu.Unlock()
		if r.find([]byte("tag")) != nil {
			t.Fatal("the tag is not evicted")
		}
		h.say(&Push{From: 10, To: 11, Stale: []string{"tag"}, Released: 11})
		m.revision.Store(11)
		after := h.ask(ctx, "k", "tag", m)
		h.want(before, "10", Load, nil)
		h.want(after, "11", Load, nil)
		h.want(h.ask(ctx, "k", "tag", m), "11", Hit, nil)
	})
}

func TestATagThatIsNamedAllTheTimeStarvesNobody(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(10)
		ctx, cancel := context.WithCancel(ctx)
		var naming sync.WaitGroup
		defer naming.Wait()
		defer cancel()
		naming.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
				to := m.revision.Add(1)
				h.say(&Push{From: to - 1, To: to, Stale: []string{"tag"}, Released: to})
			}
		})
		for range 20 {
			start := time.Now()
			if a := <-h.ask(ctx, "k", "tag", m); a.err != nil || time.Since(start) > 3*time.Second {
				t.Fatalf("%+v after %v", a, time.Since(start))
			}
		}
	})
}

func TestALoadersErrorReachesAllAndIsNotKept(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		broken := errors.New("the disk is on fire")
		m := at(10)
		m.err = broken
		a, b := h.ask(ctx, "k", "", m), h.ask(ctx, "k", "", m)
		h.want(a, "", "", broken)
		h.want(b, "", "", broken)
		m.err = nil
		h.want(h.ask(ctx, "k", "", m), "10", Load, nil)
	})
}

func TestWhoWaitsWhenTheSessionEndsHearsOfIt(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(9) // it never has what it should
		loading := h.ask(ctx, "k", "", m)
		h.say(&Push{From: 10, To: 11, Records: []Record{{"new", 11, []byte("v")}}, Released: 10})
		waiting := h.ask(ctx, "new", "", m)
		synctest.Wait()
		h.link.Close()
		h.want(loading, "", "", ErrNotLeased)
		h.want(waiting, "", "", ErrNotLeased)
	})
}

// One who asks while a session is replaced is answered in the next, if that has a lease by then.
func TestWhoWaitsGoesOnInTheNextSession(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(12)
		h.f.mu.Lock() // the session ends and the next begins while nobody looks
		s := h.f.session.Load()
		next := newSession(0, 3, &Start{12, 12}, newRecords(1<<20, 12), NewInvalidations())
		next.leaseEnd.Store(int64(h.now + time.Hour))
		h.f.mu.Unlock()
		c := h.ask(ctx, "k", "", m)
		synctest.Wait()
		h.f.session.Store(next)
		s.end()
		h.want(c, "12", Load, nil)
		if n := m.calls.Load(); n != 2 {
			t.Errorf("%d loads, want one in each session", n)
		}
	})
}

func TestWhoWaitsForAReleaseGetsIt(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(12)
		h.say(&Push{From: 10, To: 11, Records: []Record{{"new", 11, []byte("v")}}, Released: 10})
		pushed, loaded := h.ask(ctx, "new", "", m), h.ask(ctx, "k", "tag", m)
		synctest.Wait()
		h.say(&Release{11})
		h.want(pushed, "v", Wait, nil)
		time.Sleep(5 * time.Second)
		if len(loaded) > 0 {
			t.Error("what was loaded is ahead of what is released")
		}
		h.say(&Push{From: 11, To: 12, Released: 12})
		h.want(loaded, "12", Load, nil)
	})
}

func TestOneWhoGivesUpLeavesTheLoadToTheOthers(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(10)
		mine, cancel := context.WithCancel(ctx)
		a := h.ask(mine, "k", "", m)
		synctest.Wait()
		b := h.ask(ctx, "k", "", m)
		cancel()
		h.want(a, "", "", context.Canceled)
		h.want(b, "10", Load, nil)
	})
}

func TestARecordThatIsLoadedIsToldToTheMaster(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(10)
		h.want(h.ask(ctx, "scores/x", "", m), "10", Load, nil)
		h.want(h.ask(ctx, "lists?y", "list/y", m), "10", Load, nil)
		if a := h.say(&Beat{Round: 1}).(*Ack); len(a.Held) != 1 || a.Held[0] != "scores/x" {
			t.Errorf("held %q, want the record alone", a.Held)
		}
		if a := h.say(&Beat{Round: 2}).(*Ack); len(a.Held) != 0 {
			t.Errorf("held %q is told again", a.Held)
		}
	})
}

func TestNobodyWithoutALeaseIsAnswered(t *testing.T) {
	h := newHand(t)
	h.want(h.ask(t.Context(), "k", "", at(10)), "", "", ErrNotLeased)
}
