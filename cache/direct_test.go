package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func (m *slowMachine) Revision() uint64 { return m.revision.Load() }

func (m *slowMachine) Await(ctx context.Context, revision uint64) error {
	for m.revision.Load() < revision {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// direct asks for a direct answer in the background: the revision of the state.
func (h *harness) direct(ctx context.Context, m *slowMachine) <-chan readResult {
	c := make(chan readResult, 1)
	go func() {
		var a readResult
		a.how, a.err = h.f.Direct(ctx, m, func() (uint64, error) {
			m.loads.Add(1)
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

func TestDirectAnswerIsGivenAtOnceIfEverythingIsReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		h.wantResult(h.direct(ctx, machineAt(10)), "10", Hit, nil)
	})
}

func TestDirectAnswerHasEverythingPushedBeforeIt(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		h.send(&Push{From: 10, To: 12, Released: 12})
		m := machineAt(11)
		c := h.direct(ctx, m)
		synctest.Wait()
		if n := m.loads.Load(); n != 0 {
			t.Errorf("the answer was made %d times from a state that is behind", n)
		}
		m.revision.Store(12)
		h.wantResult(c, "12", Wait, nil)
	})
}

func TestDirectAnswerWaitsUntilItsLastChangeIsReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(11)
		c := h.direct(ctx, m)
		synctest.Wait()
		m.revision.Store(12) // later changes do not matter to the answer that is made
		select {
		case a := <-c:
			t.Fatalf("got %+v before its release", a)
		default:
		}
		h.send(&Push{From: 10, To: 11, Released: 11})
		h.wantResult(c, "11", Wait, nil)
	})
}

func TestDirectProblemWaitsUntilItIsReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(11)
		m.err = errors.New("no such competitor")
		c := h.direct(ctx, m)
		synctest.Wait()
		select {
		case a := <-c:
			t.Fatalf("got %+v before its release", a)
		default:
		}
		h.send(&Push{From: 10, To: 11, Released: 11})
		h.wantResult(c, "11", Wait, m.err)
	})
}

func TestDirectAnswerStartsOverWhenItsSessionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(11)
		c := h.direct(ctx, m)
		synctest.Wait()
		h.send(&Hello{Epoch: 3})
		h.wantResult(c, "", "", ErrNotLeased)

		h.grantLease()
		c = h.direct(ctx, m)
		synctest.Wait()
		m.revision.Store(20)
		// The next session has its lease before the old one ends.
		old, start := h.f.session.Load(), &Start{20, 20}
		records := newRecords(h.f.maxBytes, start.At)
		next := newSession(h.f.mutation, h.link.epoch, start, records, h.f.invalidations)
		h.f.grant(next, &Grant{At: h.now, Remaining: time.Minute}, h.now)
		h.f.session.Store(next)
		old.end()
		h.wantResult(c, "20", Wait, nil)
		if n := m.loads.Load(); n != 3 {
			t.Errorf("the answer was made %d times in all; want 3", n)
		}
	})
}

func TestDirectAnswerNeedsALease(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		h.now += 101 * time.Second
		m := machineAt(10)
		h.wantResult(h.direct(ctx, m), "", "", ErrNotLeased)
		if _, ok := h.f.CheckLease(); ok || m.loads.Load() > 0 {
			t.Error("the lease check succeeded without a lease")
		}
	})
}

func TestReaderMayGiveUpADirectAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		why := errors.New("enough")
		for _, revision := range []uint64{9, 11} { // behind P, and above R
			ctx, cancel := context.WithCancelCause(ctx)
			c := h.direct(ctx, machineAt(revision))
			synctest.Wait()
			cancel(why)
			h.wantResult(c, "", "", why)
		}
	})
}

func TestLeaseCheckAllocatesNothing(t *testing.T) {
	h := newHarness(t).grantLease()
	shown := true
	if n := testing.AllocsPerRun(100, func() {
		l, ok := h.f.CheckLease()
		shown = shown && ok && l.Floor() == 10 && l.Visible(10) && !l.Visible(11)
	}); n != 0 || !shown {
		t.Errorf("%v allocations; visible as it should be: %t", n, shown)
	}
}

func TestAwaitEndsWithTheReleaseOrTheSession(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		await := func(ctx context.Context) <-chan bool {
			l, ok := h.f.CheckLease()
			if !ok || l.Visible(11) {
				t.Fatal("there is no lease, or nothing to wait for")
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
			t.Error("the answer was given although its reader has given up")
		}
		given = await(ctx)
		select {
		case <-given:
			t.Fatal("the answer did not wait for its release")
		default:
		}
		h.send(&Push{From: 10, To: 11, Released: 11})
		if !<-given {
			t.Error("the answer is released, but was not given")
		}
	})
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		l, _ := h.f.CheckLease()
		c := make(chan bool, 1)
		go func() { c <- l.Await(ctx, 11) }()
		synctest.Wait()
		h.send(&Hello{Epoch: 3})
		if <-c {
			t.Error("the answer was given although its session ended before its release")
		}
	})
}
