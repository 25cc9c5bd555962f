package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

// crowdAt seats n posters at a fake frontend.
func crowdAt(t *testing.T, fake *fakeFrontend, n int) (*flood, *crowd) {
	t.Helper()
	f, err := newFlood(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	var lines []*line
	for i := range n {
		lines = append(lines, &line{host: fake.addr(), head: postHead(fake.addr()), plays: newPlays("flood", i, time.Now())})
	}
	c, err := f.seat(t.Context(), lines)
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func TestAFloodOffersWhatItSaysAndEveryAckIsInTheStore(t *testing.T) {
	fake := newFake(t)
	f, c := crowdAt(t, fake, 8)
	refused := false
	fake.meddle = func(e score.Event) int {
		if e.Seq == 5 && !refused {
			refused = true
			return http.StatusTooManyRequests
		}
		return 0
	}
	s := shortly()
	c.offer(500, s)
	if err := f.run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got := c.tally
	if got.offered < 95 || got.offered > 101 || got.sent != got.good+got.late+got.refused[429] || got.lost != 0 || got.good == 0 {
		t.Errorf("got %+v; want 100 offered, and what was sent answered", got)
	}
	if got.refused[429] != 1 || got.bare != 1 { // the fake asks for no time
		t.Errorf("%d were refused, %d without Retry-After; want one", got.refused[429], got.bare)
	}
	for _, l := range c.all {
		if err := verify(t.Context(), fake.lastSeq, l.plays.source, l.acked); err != nil {
			t.Error(err)
		}
	}
}

func TestAFloodThatFindsNoConnectionFreeOffersAllTheSame(t *testing.T) {
	fake := newFake(t)
	f, c := crowdAt(t, fake, 2)
	fake.meddle = func(score.Event) int { time.Sleep(20 * time.Millisecond); return 0 }
	s := shortly()
	c.offer(1000, s)
	if err := f.run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := c.tally; got.offered < 190 || got.sent > 25 {
		t.Errorf("%d offered, %d sent; want 200, of which two connections take a few", got.offered, got.sent)
	}
}

func TestOverloadTellsWhatWasNotKept(t *testing.T) {
	now := time.Now()
	s := span{now, now.Add(time.Second)}
	bad := &step{name: "5x", posts: newTally(s), reads: newTally(s), took: time.Second, epochs: 1, peak: 100}
	bad.posts.offered, bad.posts.good, bad.posts.bare = 500, 79, 2
	good := &step{name: "1x", posts: newTally(s), reads: newTally(s), took: time.Second, peak: 100}
	good.posts.offered, good.posts.good = 100, 81
	got := overloadVerdict([]*step{good, bad})
	want := "1x: kept\n5x: goodput is 79 % of the peak; 1 masters were elected; 2 were refused without Retry-After\n"
	if got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if table := overloadTable([]*step{good, bad}); strings.Count(table, "\n") != 4 {
		t.Errorf("got %s", table)
	}
}

func TestThreeRealFrontendsLoseNothingInAnOverload(t *testing.T) {
	b, g := realFrontends(t)
	v := &overload{connections: 60, readers: 20, factors: []float64{2}, peaks: []int{4}, readRate: 500, deadline: 2 * time.Second, to: toAll}
	steps, err := b.overloadSteps(t.Context(), g, v)
	if err != nil || len(steps) != 4 {
		t.Fatalf("%d steps: %v", len(steps), err)
	}
	for _, s := range steps {
		if s.peak <= 0 || s.name == "4 in turn" && s.peak != s.goodput() {
			t.Errorf("got %s at a peak of %.0f events/s", s, s.peak)
		}
		if s.posts.good == 0 || s.posts.lost != 0 || s.posts.bare+s.reads.bare != 0 {
			t.Errorf("got %s", s)
		}
	}
	if r := steps[3].reads; r.good == 0 {
		t.Errorf("no read was answered: %+v", r)
	}
}
