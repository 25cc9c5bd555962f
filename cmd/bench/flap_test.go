package main

import (
	"strings"
	"testing"
	"time"

	"laurel/score"
)

// TestPostsToARealGroupAreMeasuredWhileAFollowerFlaps runs the quiet phase and one pattern.
func TestPostsToARealGroupAreMeasuredWhileAFollowerFlaps(t *testing.T) {
	b, g := realFrontends(t)
	of := &flapOptions{flapping: flapStart + 500*time.Millisecond, pause: time.Millisecond}
	for _, f := range []flapping{{}, flappings[0]} {
		got, err := b.flapCell(t.Context(), g, f, of)
		ordered := 0 < got.p50 && got.p50 <= got.p90 && got.p90 <= got.p99
		if err != nil || got.posts == 0 || got.mean <= 0 || !ordered {
			t.Errorf("%s: %s, %v", f, got, err)
		}
	}
}

func TestAPostThatIsAckedAfterTheEndCounts(t *testing.T) {
	fake := newFake(t)
	slow := uint64(3) // the first play, after the contest's definition and start
	fake.meddle = func(e score.Event) int {
		if e.Seq == slow {
			<-time.After(50 * time.Millisecond)
		}
		return 0
	}
	w := posters(t, fake, 1)[0]
	now := time.Now()
	m, err := postPaced(t.Context(), w, now, now.Add(10*time.Millisecond), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := newFlapFigures(m); got.posts != 1 || got.p90 < 45*time.Millisecond {
		t.Errorf("got %s; want one post of 50 ms", got)
	}
}

func TestTheTableOfFlapsComparesWithTheQuietPhase(t *testing.T) {
	quiet := flapFigures{posts: 10, p90: 4 * time.Millisecond}
	table := flapTable{rounds: map[flapping][]flapFigures{{}: {quiet}}}
	for _, f := range flappings {
		table.rounds[f] = []flapFigures{{posts: 7, p90: 6 * time.Millisecond, elections: 1}}
	}
	said := table.markdown()
	compared := strings.Count(said, "| 1.50 | 1 |")
	if compared != len(flappings) || !strings.Contains(said, "| quiet | 10 |") {
		t.Errorf("the table is\n%s", said)
	}
}
