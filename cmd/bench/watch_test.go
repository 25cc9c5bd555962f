package main

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// fakeStore is one record; how far behind its members' reads are is up to the test.
type fakeStore struct {
	revision atomic.Uint64
	behind   atomic.Uint64
	down     atomic.Bool
}

func (s *fakeStore) post(context.Context, []byte) (uint64, error) { return s.revision.Add(1), nil }
func (s *fakeStore) close()                                       {}
func (s *fakeStore) look(ctx context.Context) (uint64, error) {
	if s.down.Load() {
		return 0, context.DeadlineExceeded
	}
	return s.revision.Load() - min(s.behind.Load(), s.revision.Load()), nil
}

func TestAWatchSeesStaleReadsAndHowLongThereWereNone(t *testing.T) {
	s := &fakeStore{}
	p := newPlays("abc123", 1, time.Now())
	w := startWatch(t.Context(), []member{s, s}, []int{0, 1}, tryLimit, p)
	time.Sleep(50 * time.Millisecond)
	struck := time.Now()
	s.down.Store(true)
	time.Sleep(100 * time.Millisecond)
	if err := w.back(struck, []int{0, 1}); err == nil {
		t.Error("reads are back while the store is down")
	}
	s.down.Store(false)
	s.behind.Store(1)
	time.Sleep(50 * time.Millisecond)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	got, err := w.since(struck, time.Now(), 0, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	if got.stale == 0 || got.failed == 0 || got.back < 100*time.Millisecond || got.gap < 100*time.Millisecond || got.next <= 0 || got.stall <= 0 {
		t.Errorf("%+v", got)
	}
	if s.revision.Load() != p.seq {
		t.Errorf("%d events were made, %d acked", p.seq, s.revision.Load())
	}
	table := faultTable{rows: []faultRow{{laurelName, "x"}}, seen: map[faultRow][]seen{{laurelName, "x"}: {got}}}
	if table.verdict() == nil {
		t.Error("stale reads pass")
	}
}

func TestHalfAndWorstAreOfWhatWasSeen(t *testing.T) {
	var list []seen
	for _, ms := range []int{5, 1, 9, 3} {
		list = append(list, seen{next: time.Duration(ms) * time.Millisecond})
	}
	p50, worst := halfAndWorst(list, func(s seen) time.Duration { return s.next })
	if p50 != 3*time.Millisecond || worst != 9*time.Millisecond {
		t.Errorf("%s, %s", p50, worst)
	}
}
