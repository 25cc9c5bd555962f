package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func (m *machine) Revision() uint64 { return m.revision.Load() }

func (m *machine) Await(ctx context.Context, revision uint64) error {
	for m.revision.Load() < revision {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// fresh asks for a direct answer in the background: the state's revision.
func (h *hand) fresh(ctx context.Context, m *machine) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		var a answer
		a.how, a.err = h.f.Direct(ctx, m, func() (uint64, error) {
			m.calls.Add(1)
			revision := m.revision.Load()
			a.body = string(bodyOf(revision))
			return revision, m.err
		})
		if a.how == "" {
			a.body = ""
		}
		c <- a
	}()
	return c
}

func TestADirectAnswerIsGivenAtOnceWhereNothingIsOpen(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		h.want(h.fresh(ctx, at(10)), "10", Hit, nil)
	})
}

func TestADirectAnswerHasAllThatWasPushedBeforeIt(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		h.say(&Push{From: 10, To: 12, Released: 12})
		m := at(11)
		c := h.fresh(ctx, m)
		synctest.Wait()
		if n := m.calls.Load(); n != 0 {
			t.Errorf("it was made %d times from a state that is behind", n)
		}
		m.revision.Store(12)
		h.want(c, "12", Wait, nil)
	})
}

func TestADirectAnswerWaitsUntilItsLastChangeIsReleased(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(11)
		c := h.fresh(ctx, m)
		synctest.Wait()
		m.revision.Store(12) // what comes later does not concern it any more
		select {
		case a := <-c:
			t.Fatalf("got %+v before its release", a)
		default:
		}
		h.say(&Push{From: 10, To: 11, Released: 11})
		h.want(c, "11", Wait, nil)
	})
}

func TestAProblemIsNoMoreToldThanAnAnswerBeforeItIsReleased(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(11)
		m.err = errors.New("no such competitor")
		c := h.fresh(ctx, m)
		synctest.Wait()
		select {
		case a := <-c:
			t.Fatalf("got %+v before its release", a)
		default:
		}
		h.say(&Push{From: 10, To: 11, Released: 11})
		h.want(c, "11", Wait, m.err)
	})
}

func TestADirectAnswerThatWaitsBeginsAnewWhenItsSessionEnds(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		m := at(11)
		c := h.fresh(ctx, m)
		synctest.Wait()
		h.say(&Hello{Epoch: 3})
		h.want(c, "", "", ErrNotLeased)

		h.lease()
		c = h.fresh(ctx, m)
		synctest.Wait()
		m.revision.Store(20)
		// The next session is there with its lease before the old one ends: a LeaseCheck takes no lock, and one without a lease is another test's.
		old, start := h.f.session.Load(), &Start{20, 20}
		next := newSession(h.f.mutation, h.link.epoch, start, newRecords(h.f.maxBytes, start.At), h.f.invalidations)
		h.f.grant(next, &Grant{At: h.now, Remaining: time.Minute}, h.now)
		h.f.session.Store(next)
		old.end()
		h.want(c, "20", Wait, nil)
		if n := m.calls.Load(); n != 3 {
			t.Errorf("it was made %d times in all; want 3", n)
		}
	})
}

func TestADirectAnswerIsNotGivenWithoutALease(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		h.now += 101 * time.Second
		m := at(10)
		h.want(h.fresh(ctx, m), "", "", ErrNotLeased)
		if _, ok := h.f.CheckLease(); ok || m.calls.Load() > 0 {
			t.Error("there was a look without a lease")
		}
	})
}

func TestWhoWaitsForADirectAnswerMayGiveUp(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		why := errors.New("enough")
		for _, revision := range []uint64{9, 11} { // behind P, and above R
			ctx, cancel := context.WithCancelCause(ctx)
			c := h.fresh(ctx, at(revision))
			synctest.Wait()
			cancel(why)
			h.want(c, "", "", why)
		}
	})
}

func TestALookAllocatesNothing(t *testing.T) {
	h := newHand(t).lease()
	shown := true
	if n := testing.AllocsPerRun(100, func() {
		l, ok := h.f.CheckLease()
		shown = shown && ok && l.Floor() == 10 && l.Visible(10) && !l.Visible(11)
	}); n != 0 || !shown {
		t.Errorf("%v allocations; shown as it should be: %t", n, shown)
	}
}

func TestAnAnswerThatIsMadeIsGivenAtItsReleaseUnlessItsSessionEnds(t *testing.T) {
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		await := func(ctx context.Context) <-chan bool {
			l, ok := h.f.CheckLease()
			if !ok || l.Visible(11) {
				t.Fatal("there is nothing to wait for")
			}
			c := make(chan bool, 1)
			go func() { c <- l.Await(ctx, 11) }()
			synctest.Wait()
			return c
		}
		over, cancel := context.WithCancel(ctx)
		given := await(over)
		cancel()
		if <-given {
			t.Error("it was given although nobody waits any more")
		}
		given = await(ctx)
		select {
		case <-given:
			t.Fatal("it did not wait for the release")
		default:
		}
		h.say(&Push{From: 10, To: 11, Released: 11})
		if !<-given {
			t.Error("it is released, but was not given")
		}
	})
	inTime(t, func(t *testing.T, h *hand, ctx context.Context) {
		l, _ := h.f.CheckLease()
		c := make(chan bool, 1)
		go func() { c <- l.Await(ctx, 11) }()
		synctest.Wait()
		h.say(&Hello{Epoch: 3})
		if <-c {
			t.Error("it was given although its session ended before its release")
		}
	})
}
