package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// placeOf returns where a contest is: the period, the clock, and the points of the sides in
// each period.
func placeOf(t *testing.T, m *Machine, contest string) string {
	t.Helper()
	r := recordOf(t, m, contest)
	text := fmt.Sprintf("%s %s; %s", r.Period, r.Clock, strings.Join(r.Periods, " "))
	for _, s := range r.Sides() {
		text += " | " + s.Code
		for _, p := range s.Periods {
			text += " " + p.Value.String()
		}
		if s.Adjustment != 0 {
			text += " adjustment " + s.Adjustment.String()
		}
	}
	return text
}

// The goal was the only one of its period, and no status has named the period.
func TestAVoidedGoalAndItsReplacementKeepTheContestAtItsTime(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m) // in P1
	mustPost(t, m, "h1", "score.play", "G/1", `{"competitor":"A","delta":1,"period":"H1","clock":"20'"}`)
	mustPost(t, m, "h2", "score.play", "G/1", `{"competitor":"B","delta":1,"period":"H2","clock":"50'"}`)
	want := func(when, place string) {
		t.Helper()
		if got := placeOf(t, m, "G/1"); got != place {
			t.Errorf("%s: got %s\nwant %s", when, got, place)
		}
	}
	want("before", "H2 50'; P1 H1 H2 | A 0 1 0 | B 0 0 1")
	mustVoid(t, m, "v1", "G/1", "h1")
	want("after the void", "H2 50'; P1 H2 | A 0 0 | B 0 1")
	mustPost(t, m, "h1b", "score.play", "G/1", `{"competitor":"B","delta":1,"period":"H1","clock":"21'"}`)
	want("after the right goal", "H2 50'; P1 H1 H2 | A 0 0 0 | B 0 1 1")
	mustVoid(t, m, "v2", "G/1", "v1")
	want("after the void of the void", "H2 50'; P1 H1 H2 | A 0 1 0 | B 0 1 1")
	mustVoid(t, m, "v3", "G/1", "h2")
	want("after the void of the second half", "H1 21'; P1 H1 | A 0 1 | B 0 1")
}

func TestAVoidByWhichPeriodsNoLongerAddUpShowsTheAdjustment(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":20,"period":"Q1"}`)
	mustPost(t, m, "set", "score.set", "G/1", `{"result":{"A":25},"period":"Q2","reason":"recount"}`)
	mustPost(t, m, "sum", "score.set", "G/1", `{"result":{"A":25},"reason":"checked"}`)
	mustVoid(t, m, "v", "G/1", "set")
	if got, want := placeOf(t, m, "G/1"), "Q1 ; P1 Q1 | A 0 20 adjustment 5 | B 0 0"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestPeriodsSurviveASnapshot(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	for i, period := range []string{"OT", "10", "9"} {
		mustPost(t, m, fmt.Sprint("g", i), "score.play", "G/1", fmt.Sprintf(`{"competitor":"B","delta":%d,"period":%q}`, i+1, period))
	}
	mustPost(t, m, "set", "score.set", "G/1", `{"result":{"A":5},"adjustment":true}`)
	before, again := placeOf(t, m, "G/1"), newMachine(t)
	if err := again.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	const want = "9 ; P1 OT 10 9 | A 0 0 0 0 adjustment 5 | B 0 1 2 3"
	if after := placeOf(t, again, "G/1"); before != want || after != want {
		t.Errorf("got %s, and from the snapshot %s\nwant %s", before, after, want)
	}
}
