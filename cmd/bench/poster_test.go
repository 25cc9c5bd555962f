package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func noCPU() (time.Duration, error) { return 0, nil }

func shortly() span {
	now := time.Now()
	return span{now, now.Add(200 * time.Millisecond)}
}

func posters(t *testing.T, f *fakeFrontend, n int) []writer {
	t.Helper()
	var list []writer
	for i := range n {
		p, err := newPoster(t.Context(), f.addr(), newPlays("test", i, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	t.Cleanup(func() { closeAll(list) })
	return list
}

func TestWhatPostersSayIsAckedIsWhatTheStoreHas(t *testing.T) {
	f := newFake(t)
	list := posters(t, f, 16)
	m, err := closedLoop(t.Context(), list, shortly(), noCPU)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, w := range list {
		if err := verify(t.Context(), f.lastSeq, w.source(), w.lastSeq()); err != nil {
			t.Error(err)
		}
		sum += w.lastSeq() - 2 // the contest's definition and start
	}
	if counted := m.perSecond * 0.2; counted < 1 || counted > float64(sum) || m.p99 < m.p50 || m.p50 <= 0 {
		t.Errorf("%.0f counted of %d; p50 %s, p99 %s", counted, sum, m.p50, m.p99)
	}
}

func TestALostEventIsFoundOut(t *testing.T) {
	f := newFake(t)
	list := posters(t, f, 1)
	if _, err := closedLoop(t.Context(), list, shortly(), noCPU); err != nil {
		t.Fatal(err)
	}
	f.last[list[0].source()]--
	if err := verify(t.Context(), f.lastSeq, list[0].source(), list[0].lastSeq()); err == nil {
		t.Error("an acked event that the store does not have went unnoticed")
	}
}

func TestAPosterTriesAgainWhenAskedToAndCountsIt(t *testing.T) {
	f := newFake(t)
	list := posters(t, f, 1)
	asked := map[uint64]bool{}
	f.meddle = func(e score.Event) int {
		if asked[e.Seq] {
			return 0
		}
		asked[e.Seq] = true
		return []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[e.Seq%2]
	}
	for range 10 {
		if err := list[0].write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if list[0].retries() != 10 || list[0].lastSeq() != 12 {
		t.Errorf("tried again %d times, the last acked is %d; want 10 and 12", list[0].retries(), list[0].lastSeq())
	}
}

func TestARefusedEventEndsTheRunAndSaysWhy(t *testing.T) {
	f := newFake(t)
	list := posters(t, f, 4)
	f.meddle = func(e score.Event) int {
		if e.Seq == 20 {
			return http.StatusConflict
		}
		return 0
	}
	_, err := closedLoop(t.Context(), list, shortly(), noCPU)
	if err == nil || !strings.Contains(err.Error(), "made_up") || !strings.Contains(err.Error(), "the event 20 of bard/bench-test-") {
		t.Errorf("got %v", err)
	}
}
