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

// slowMachine is a state machine whose loads take a second.
type slowMachine struct {
	revision atomic.Uint64
	loads    atomic.Int32
	err      error
}

func machineAt(revision uint64) *slowMachine {
	m := &slowMachine{}
	m.revision.Store(revision)
	return m
}

func (m *slowMachine) load(ctx context.Context, floor uint64) (body []byte, revision, view uint64, err error) {
	m.loads.Add(1)
	for m.revision.Load() < floor {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, 0, 0, context.Cause(ctx)
		}
	}
	view = m.revision.Load()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, 0, 0, context.Cause(ctx)
	}
	return fmt.Append(nil, view), view, view, m.err
}

type readResult struct {
	body, how string
	err       error
}

// ask asks for an answer in the background.
func (h *harness) ask(ctx context.Context, key, tag string, m *slowMachine) <-chan readResult {
	c := make(chan readResult, 1)
	go func() {
		e, how, err := h.f.Answer(ctx, key, tag, m.load)
		a := readResult{how: how, err: err}
		if e != nil {
			a.body = string(e.Body)
		}
		c <- a
	}()
	return c
}

func (h *harness) wantResult(c <-chan readResult, body, how string, err error) {
	h.t.Helper()
	if a := <-c; a.body != body || a.how != how || !errors.Is(a.err, err) {
		h.t.Errorf("got %+v; want %q (%s), error %v", a, body, how, err)
	}
}

func inBubble(t *testing.T, f func(t *testing.T, h *harness, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) { f(t, newHarness(t).grantLease(), t.Context()) })
}

func TestConcurrentReadersShareOneLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(10)
		var list []<-chan readResult
		for range 100 {
			list = append(list, h.ask(ctx, "k", "", m))
		}
		for _, c := range list {
			h.wantResult(c, "10", Load, nil)
		}
		if n := m.loads.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		h.wantResult(h.ask(ctx, "k", "", m), "10", Hit, nil)
	})
}

func TestLoadHasEverythingPushedBeforeIt(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		h.send(&Push{From: 10, To: 12, Released: 12})
		m := machineAt(9)
		c := h.ask(ctx, "k", "tag", m)
		synctest.Wait() // until the load waits for the state machine
		m.revision.Store(12)
		h.wantResult(c, "12", Load, nil)
	})
}

func TestReaderAfterAChangeGetsNoOlderView(t *testing.T) {
	for _, tag := range []string{"", "tag"} {
		inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
			m := machineAt(10)
			before := h.ask(ctx, "k", tag, m)
			synctest.Wait()
			h.send(&Push{From: 10, To: 11, Stale: []string{"k", "tag"}, Released: 11})
			m.revision.Store(11)
			after := h.ask(ctx, "k", tag, m)
			h.wantResult(before, "10", Load, nil)
			h.wantResult(after, "11", Load, nil)
		})
	}
}

// A load is under way when its tag is evicted, so nothing marks it as stale.
func TestReaderAfterATagWasEvictedJoinsNoOlderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(10)
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
		h.send(&Push{From: 10, To: 11, Stale: []string{"tag"}, Released: 11})
		m.revision.Store(11)
		after := h.ask(ctx, "k", "tag", m)
		h.wantResult(before, "10", Load, nil)
		h.wantResult(after, "11", Load, nil)
		h.wantResult(h.ask(ctx, "k", "tag", m), "11", Hit, nil)
	})
}

func TestTagThatChangesAllTheTimeStarvesNoReader(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(10)
		ctx, cancel := context.WithCancel(ctx)
		var pushes sync.WaitGroup
		defer pushes.Wait()
		defer cancel()
		pushes.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					to := m.revision.Add(1)
					h.send(&Push{From: to - 1, To: to, Stale: []string{"tag"}, Released: to})
				case <-ctx.Done():
					return
				}
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

func TestLoadErrorReachesAllReadersAndIsNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		broken := errors.New("the disk is on fire")
		m := machineAt(10)
		m.err = broken
		a, b := h.ask(ctx, "k", "", m), h.ask(ctx, "k", "", m)
		h.wantResult(a, "", "", broken)
		h.wantResult(b, "", "", broken)
		m.err = nil
		h.wantResult(h.ask(ctx, "k", "", m), "10", Load, nil)
	})
}

func TestWaitingReaderGetsAnErrorWhenTheSessionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(9) // it never reaches the floor
		loading := h.ask(ctx, "k", "", m)
		h.send(&Push{From: 10, To: 11, Records: []Record{{"new", 11, []byte("v")}}, Released: 10})
		waiting := h.ask(ctx, "new", "", m)
		synctest.Wait()
		h.link.Close()
		h.wantResult(loading, "", "", ErrNotLeased)
		h.wantResult(waiting, "", "", ErrNotLeased)
	})
}

// A reader that waits while its session is replaced is answered in the next one, if that
// has a lease.
func TestWaitingReaderContinuesInTheNextSession(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(12)
		h.f.mu.Lock()
		s := h.f.session.Load()
		next := newSession(0, 3, &Start{12, 12}, newRecords(1<<20, 12), NewInvalidations())
		next.leaseEnd.Store(int64(h.now + time.Hour))
		h.f.mu.Unlock()
		c := h.ask(ctx, "k", "", m)
		synctest.Wait()
		h.f.session.Store(next)
		s.end()
		h.wantResult(c, "12", Load, nil)
		if n := m.loads.Load(); n != 2 {
			t.Errorf("%d loads, want one in each session", n)
		}
	})
}

func TestWaitingReaderIsAnsweredAtTheRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(12)
		h.send(&Push{From: 10, To: 11, Records: []Record{{"new", 11, []byte("v")}}, Released: 10})
		pushed, loaded := h.ask(ctx, "new", "", m), h.ask(ctx, "k", "tag", m)
		synctest.Wait()
		h.send(&Release{11})
		h.wantResult(pushed, "v", Wait, nil)
		select {
		case got := <-loaded:
			t.Fatalf("got %+v, which is not released", got)
		case <-time.After(5 * time.Second):
		}
		h.send(&Push{From: 11, To: 12, Released: 12})
		h.wantResult(loaded, "12", Load, nil)
	})
}

func TestReaderThatGivesUpLeavesTheLoadToOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(10)
		mine, cancel := context.WithCancel(ctx)
		a := h.ask(mine, "k", "", m)
		synctest.Wait()
		b := h.ask(ctx, "k", "", m)
		cancel()
		h.wantResult(a, "", "", context.Canceled)
		h.wantResult(b, "10", Load, nil)
	})
}

func TestLoadedRecordIsReportedToTheMaster(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness, ctx context.Context) {
		m := machineAt(10)
		h.wantResult(h.ask(ctx, "scores/x", "", m), "10", Load, nil)
		h.wantResult(h.ask(ctx, "lists?y", "list/y", m), "10", Load, nil)
		if a := h.send(&Beat{Round: 1}).(*Ack); len(a.Held) != 1 || a.Held[0] != "scores/x" {
			t.Errorf("held %q, want the record alone", a.Held)
		}
		if a := h.send(&Beat{Round: 2}).(*Ack); len(a.Held) != 0 {
			t.Errorf("held %q is told again", a.Held)
		}
	})
}

func TestAnswerNeedsALease(t *testing.T) {
	h := newHarness(t)
	h.wantResult(h.ask(t.Context(), "k", "", machineAt(10)), "", "", ErrNotLeased)
}
