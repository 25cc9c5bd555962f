package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func streamOf(t *testing.T, f *fakeFrontend, events int) (*stream, *plays) {
	t.Helper()
	w, err := dial(t.Context(), f.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	p := newPlays("test", 1, time.Now())
	next := func(dst []byte) ([]byte, error) {
		if p.seq == uint64(events) {
			return dst, io.EOF
		}
		return p.append(dst), nil
	}
	return &stream{wire: w, next: next, window: 100, meter: newMeter(time.Time{}, time.Now().Add(time.Hour)), patience: streamPatience}, p
}

func TestEveryEventOfAStreamIsAckedAndMeasured(t *testing.T) {
	for _, events := range []int{0, 1, 99, 100, 101, 5000} {
		f := newFake(t)
		s, p := streamOf(t, f, events)
		n, err := s.run(t.Context())
		if err != nil || n != uint64(events) || s.meter.hist.TotalCount() != int64(events) {
			t.Errorf("%d events: %d acked, %d measured, %v", events, n, s.meter.hist.TotalCount(), err)
		}
		if err := verify(t.Context(), f.lastSeq, p.source, n); err != nil {
			t.Error(err)
		}
	}
}

func TestAStreamThatIsRefusedSaysWhichEventAndWhy(t *testing.T) {
	f := newFake(t)
	f.meddle = func(e score.Event) int {
		if e.Seq == 300 {
			return http.StatusConflict
		}
		return 0
	}
	s, _ := streamOf(t, f, 5000)
	n, err := s.run(t.Context())
	if n != 299 || err == nil || !strings.Contains(err.Error(), "the event 300 was refused") || !strings.Contains(err.Error(), "made_up") {
		t.Errorf("%d acked; %v", n, err)
	}
}

func TestAStreamIsNeverFurtherAheadThanItsWindow(t *testing.T) {
	f := newFake(t)
	s, p := streamOf(t, f, 3000)
	inner := s.next
	s.next = func(dst []byte) ([]byte, error) {
		if ahead := p.seq - s.acked.Load(); ahead >= s.window {
			t.Errorf("%d events unanswered; the window is %d", ahead, s.window)
		}
		return inner(dst)
	}
	if _, err := s.run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAServerThatRefusesAStreamWithoutReadingItIsHeard(t *testing.T) {
	f := newFake(t)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no master", http.StatusServiceUnavailable)
	})
	s, _ := streamOf(t, f, 5000)
	s.patience = 50 * time.Millisecond
	if _, err := s.run(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
}
