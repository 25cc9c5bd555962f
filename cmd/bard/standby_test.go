package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"laurel/internal/cli"
	"laurel/internal/testgroup"
)

func sing(t *testing.T, g *testgroup.Group, input string, args ...string) (code int, out, errs string) {
	t.Helper()
	return bard(t.Context(), g, strings.NewReader(input), append([]string{"sing", "-"}, args...)...)
}

func TestAStandbyPostsNothingThatTheOtherBardHasPosted(t *testing.T) {
	t.Parallel()
	g := group(t, 2)
	first, other := io.Pipe()
	type ended struct {
		code      int
		out, errs string
	}
	done := make(chan ended, 1)
	go func() {
		code, out, errs := bard(t.Context(), g, strings.NewReader(alerts(1500)), "sing", "--standby", "1h", "-")
		done <- ended{code, out, errs}
	}()
	go func() {
		for line := range strings.Lines(alerts(1500)) {
			if _, err := io.WriteString(other, line); err != nil {
				t.Error(err)
			}
		}
		other.Close()
	}()
	if code, _, errs := bard(t.Context(), g, first, "sing", "-"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if e := <-done; e.code != cli.ExitOK ||
		!sums(e.out, "events 0, duplicates 0, skipped (acknowledged before) 1,500\n") {
		t.Errorf("exit code %d, stderr %q, the summary is %q", e.code, e.errs, e.out)
	}
	wantAccepted(t, g, 1500)
}

func TestAStandbyPostsWhatIsNotAcknowledgedInTime(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	if code, _, errs := sing(t, g, alerts(5)); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	code, out, errs := sing(t, g, alerts(2000), "--standby", "100ms")
	if code != cli.ExitOK || !sums(out, "events 1,995, duplicates 0, skipped (acknowledged before) 5\n") {
		t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
	}
	wantAccepted(t, g, 2000)
	// The other bard comes back, and goes on behind what the standby posted.
	code, out, errs = sing(t, g, alerts(2010))
	if code != cli.ExitOK || !sums(out, "events 10, duplicates 0, skipped (acknowledged before) 2,000\n") {
		t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
	}
	wantAccepted(t, g, 2010)
}

func TestAStandbyWaitsSinceTheOtherBardLastPosted(t *testing.T) {
	t.Parallel()
	var s singer
	if got := s.noteLast(5); !got.IsZero() {
		t.Errorf("what was posted before is taken for a sign of life at %v", got)
	}
	s.following.sent = 7
	if got := s.noteLast(7); !got.IsZero() {
		t.Errorf("its own posts are taken for those of the other bard, at %v", got)
	}
	before := time.Now()
	moved := s.noteLast(8)
	if moved.Before(before) {
		t.Errorf("the other bard's post was noted at %v", moved)
	}
	if got := s.noteLast(8); got != moved {
		t.Errorf("got %v; want %v, as nothing was posted since", got, moved)
	}
	if got := s.noteLast(3); got != moved || s.following.last != 8 {
		t.Errorf("an old answer changed something: %v, last seq %d", got, s.following.last)
	}
}

func TestAStandbyStopsWhereTheOtherBardPostedSomethingElse(t *testing.T) {
	t.Parallel()
	for _, ids := range []bool{false, true} {
		g := group(t, 1)
		if code, _, errs := sing(t, g, numbered("d24/feed", 1, ids, "a", "b", "c")); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		// The feed is alive, so its input does not end.
		in, feed := io.Pipe()
		t.Cleanup(func() { feed.Close() })
		go io.WriteString(feed, numbered("d24/feed", 1, ids, "a", "B", "c", "d"))
		code, out, errs := bard(t.Context(), g, in, "sing", "--standby", "1h", "-")
		if code != cli.ExitFailed || !strings.Contains(errs, "bard: line 2") || !strings.Contains(errs, "id_conflict") ||
			!strings.HasPrefix(out, "events 0, ") {
			t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
		}
		if n := len(g.Events("OG50BC/1")); n != 3 {
			t.Errorf("%d events were counted", n)
		}
	}
}

func TestAStandbyKnowsTheAlertsInThePlacesOfRefusedEvents(t *testing.T) {
	t.Parallel()
	g := groupWithContest(t)
	input := withBad(6, bad["by the state"].line, 2, 5)
	if code, _, errs := sing(t, g, strings.Join(strings.SplitAfter(input, "\n")[:3], ""), "--on-refusal=skip"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	code, out, errs := sing(t, g, input, "--standby", "100ms", "--on-refusal=skip")
	if code != cli.ExitOK || !sums(out, "events 2, duplicates 0, skipped (acknowledged before) 3\n") ||
		!strings.Contains(out, "refused 1, ") {
		t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
	}
	wantSkipped(t, g, "does not compete", 6, 2, 5)
}

func TestAStandbyFollowsOneSourceThatCountsForItself(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	for name, c := range map[string]struct{ input, want string }{
		"numbered here": {anonymous(2), "line 1, event sung-"},
		"without a seq": {`{"id":"x","source":"a","type":"alert","contest_id":"OG50BC/1","data":{"text":"x"}}` + "\n", "line 1, event x: it needs"},
		"two sources":   {numbered("a", 1, false, "x") + numbered("b", 1, false, "x"), "line 2: invalid_event: its source is b"},
		"no JSON":       {"hail\n", "line 1: invalid_event: not valid JSON"},
	} {
		code, _, errs := sing(t, g, c.input, "--standby", "100ms")
		if code != cli.ExitFailed || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", name, code, errs, c.want)
		}
	}
}
