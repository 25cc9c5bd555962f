package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// fakeMember answers as its function says.
type fakeMember struct {
	tries  atomic.Int32
	answer func(ctx context.Context) (uint64, error)
}

func (m *fakeMember) post(ctx context.Context, _ []byte) (uint64, error) {
	m.tries.Add(1)
	return m.answer(ctx)
}
func (m *fakeMember) look(context.Context) (uint64, error) { return 0, nil }
func (m *fakeMember) close()                               {}

func says(revision uint64, err error) *fakeMember {
	return &fakeMember{answer: func(context.Context) (uint64, error) { return revision, err }}
}

func TestAnEventIsAckedByWhoeverCanWhenTheLikedMemberCannot(t *testing.T) {
	hangs := &fakeMember{answer: func(ctx context.Context) (uint64, error) { <-ctx.Done(); return 0, ctx.Err() }}
	for name, bad := range map[string]*fakeMember{"fails": says(0, errors.New("no master")), "hangs": hangs} {
		good := says(7, nil)
		h := hunter{limit: tryLimit, members: []member{bad, good, hangs}}
		if r, err := h.hunt(t.Context(), nil); r != 7 || err != nil || h.liked != 1 {
			t.Errorf("%s: revision %d, %v; liked is %d", name, r, err, h.liked)
		}
		before := bad.tries.Load()
		if _, err := h.hunt(t.Context(), nil); err != nil || bad.tries.Load() != before {
			t.Errorf("%s: asked again although another one acks: %v", name, err)
		}
	}
}

func TestAMemberThatFailsForAWhileIsTriedUntilItAcks(t *testing.T) {
	m := &fakeMember{}
	m.answer = func(context.Context) (uint64, error) {
		if m.tries.Load() < 5 {
			return 0, errors.New("no master")
		}
		return 3, nil
	}
	h := hunter{limit: tryLimit, members: []member{m}}
	if r, err := h.hunt(t.Context(), nil); r != 3 || err != nil {
		t.Errorf("revision %d, %v", r, err)
	}
}

func TestAnEventThatIsRefusedForGoodEndsTheHunt(t *testing.T) {
	h := hunter{limit: tryLimit, members: []member{says(0, fmt.Errorf("%w: a gap", errRefused)), says(1, nil)}}
	if _, err := h.hunt(t.Context(), nil); !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
}

// moments are requests of 2 ms that end at these milliseconds; one that is negative failed.
func moments(zero time.Time, ends ...int) (list []moment) {
	for _, e := range ends {
		done := zero.Add(time.Duration(max(e, -e)) * time.Millisecond)
		list = append(list, moment{sent: done.Add(-2 * time.Millisecond), done: done, ok: e > 0})
	}
	return list
}

func TestTheNextWriteIsOneThatWasSentAfterTheFault(t *testing.T) {
	zero := time.Now()
	list := moments(zero, 5, 11, 300, 310)
	if d, ok := nextAfter(zero.Add(10*time.Millisecond), list); !ok || d != 290*time.Millisecond {
		t.Errorf("%s, %t; the one that ends at 11 was sent before", d, ok)
	}
	if _, ok := nextAfter(zero.Add(time.Second), list); ok {
		t.Error("there is no later one")
	}
}

func TestTheLongestGapCountsWhatBeginsOrEndsOutside(t *testing.T) {
	zero := time.Now()
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	list := moments(zero, 10, 20, -100, 220, 230, 500, 510)
	for _, c := range []struct {
		from, until, want int
	}{{0, 600, 270}, {15, 235, 270}, {15, 225, 200}, {100, 215, 200}, {5, 15, 10}, {510, 700, 190}} {
		if got := longestGap(at(c.from), at(c.until), list); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("from %d until %d: %s; want %d ms", c.from, c.until, got, c.want)
		}
	}
}

func TestReadsAreBackAfterTheLastThatFailedOrWasLate(t *testing.T) {
	zero := time.Now()
	const still = 50 * time.Millisecond
	for _, c := range []struct {
		ends []int
		want int
		back bool
	}{
		{[]int{5, 10, 20, 30}, 0, true},
		{[]int{5, 10, -20, -30, 45, 50}, 45, true},
		{[]int{5, 10, -20, 30, 100, 110}, 100, true},
		{[]int{5, 10, -20, 30, -40, 50, 60}, 50, true},
		{[]int{5, 10, -20}, 0, false},
		{[]int{}, 0, false},
	} {
		got, back := outage(zero, still, moments(zero, c.ends...))
		if back != c.back || back && got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("%v: %s, %t", c.ends, got, back)
		}
	}
}
