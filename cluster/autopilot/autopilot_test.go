package autopilot_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"laurel/cluster/autopilot"
)

// watch is a Pilot at the master of a small group, in virtual time.
type watch struct {
	t      *testing.T
	pilot  *autopilot.Pilot
	policy autopilot.Policy
	o      autopilot.Observation
	silent map[string]bool
	log    func(id string) uint64 // what a member reports
	lie    func(id string, r *autopilot.Report)
	health autopilot.Health
}

// newWatch returns a watch of voters v0, v1 and so on, of which v0 is the master, and of
// non-voters n0, n1 and so on.
func newWatch(t *testing.T, voters, nonvoters int) *watch {
	w := &watch{t: t, pilot: autopilot.New(patience), policy: autopilot.Default, silent: map[string]bool{}}
	w.o = autopilot.Observation{At: time.Unix(1e9, 0), Epoch: 7, Heard: map[string]time.Time{}}
	w.log = func(string) uint64 { return w.o.Log }
	for i := range voters {
		w.o.Servers = append(w.o.Servers, autopilot.Server{ID: fmt.Sprint("v", i), Voter: true})
	}
	for i := range nonvoters {
		w.o.Servers = append(w.o.Servers, autopilot.Server{ID: fmt.Sprint("n", i)})
	}
	return w
}

// pass lets a time pass, with an observation each second.
func (w *watch) pass(d time.Duration) {
	for end := w.o.At.Add(d); w.o.At.Before(end); {
		w.o.At = w.o.At.Add(time.Second)
		w.observe()
	}
}

func (w *watch) observe() {
	w.o.Reports = map[string]autopilot.Report{}
	for _, s := range w.o.Servers {
		if !w.silent[s.ID] {
			w.o.Heard[s.ID] = w.o.At
			r := autopilot.Report{Follows: true, Log: w.log(s.ID)}
			if w.lie != nil {
				w.lie(s.ID, &r)
			}
			w.o.Reports[s.ID] = r
		}
	}
	w.health = w.pilot.Observe(w.o, w.policy)
}

// kill lets members have been silent for a time.
func (w *watch) kill(ago time.Duration, ids ...string) {
	for _, id := range ids {
		w.silent[id], w.o.Heard[id] = true, w.o.At.Add(-ago)
	}
}

func (w *watch) leave(id string) {
	w.o.Servers = slices.DeleteFunc(w.o.Servers, func(s autopilot.Server) bool { return s.ID == id })
}

func (w *watch) wantRemoved(id string) {
	w.t.Helper()
	if w.health.Remove != id {
		w.t.Errorf("%q is to be removed; want %q; %+v", w.health.Remove, id, w.health.Members)
	}
}

func (w *watch) wantKept(id, why string) {
	w.t.Helper()
	i := slices.IndexFunc(w.health.Members, func(m autopilot.Member) bool { return m.ID == id })
	if m := w.health.Members[i]; m.Kept != why {
		w.t.Errorf("%s is kept because %q; want %q", id, m.Kept, why)
	}
}

func TestADeadNonvoterIsRemovedAfterItsTime(t *testing.T) {
	w := newWatch(t, 3, 1)
	w.pass(time.Minute)
	w.kill(72*time.Hour-10*time.Second, "n0")
	w.pass(9 * time.Second)
	w.wantRemoved("")
	w.pass(time.Second)
	w.wantRemoved("n0")
	w.silent["n0"] = false
	w.pass(time.Second)
	w.wantRemoved("")
}

func TestNobodyIsRemovedByAPolicyWithoutATime(t *testing.T) {
	w := newWatch(t, 3, 1)
	w.policy.CleanUpAfter = 0
	w.pass(time.Minute)
	w.kill(1e4*time.Hour, "n0")
	w.pass(time.Minute)
	w.wantRemoved("")
}

func TestADeadVoterStaysUntilAMinimumIsSet(t *testing.T) {
	w := newWatch(t, 4, 0)
	w.pass(time.Minute)
	w.kill(80*time.Hour, "v1")
	w.pass(time.Minute)
	w.wantRemoved("")
	w.wantKept("v1", "no voter is removed until min_voters is set")
	w.policy.MinVoters = 4
	w.pass(time.Second)
	w.wantKept("v1", "3 voters would stay, and min_voters is 4")
	w.policy.MinVoters = 3
	w.pass(time.Second)
	w.wantRemoved("v1")
}

func TestTheDeadGoOneAtATimeAndNonvotersFirst(t *testing.T) {
	w := newWatch(t, 5, 2)
	w.policy.MinVoters = 3
	w.pass(time.Minute)
	w.kill(100*time.Hour, "v1")
	w.kill(90*time.Hour, "v2", "n0")
	w.kill(91*time.Hour, "n1")
	for _, id := range []string{"n1", "n0", "v1", "v2"} {
		w.pass(10 * time.Second)
		w.wantRemoved(id)
		if id == "n1" {
			w.wantKept("n0", "one goes at a time")
		}
		w.leave(id)
		w.pass(time.Second)
		w.wantRemoved("")
		w.pass(8 * time.Second)
		w.wantRemoved("")
	}
}

func TestOnlyAMajorityOfThoseThatWereWellTogetherMayShrink(t *testing.T) {
	w := newWatch(t, 7, 0)
	w.policy.MinVoters = 3
	w.pass(time.Minute)
	for _, id := range []string{"v1", "v2", "v3"} {
		w.kill(80*time.Hour, id, "v4") // one is dead all the time, so that they are never all well
		w.pass(20 * time.Second)
		w.leave(w.health.Remove)
		w.o.Heard["v4"] = w.o.At
	}
	w.kill(80*time.Hour, "v4")
	w.pass(20 * time.Second)
	w.wantRemoved("")
	w.wantKept("v4", "3 voters would stay, no majority of the 7 that were last healthy together")
	w.silent["v4"] = false
	w.pass(20 * time.Second)
	w.kill(80*time.Hour, "v4")
	w.pass(20 * time.Second)
	w.wantRemoved("v4")
}

func TestAVoterGoesOnlyWhenAMajorityOfThoseThatStayHasBeenWellForAWhile(t *testing.T) {
	w := newWatch(t, 5, 0)
	w.policy.MinVoters = 3
	w.pass(time.Minute)
	w.kill(80*time.Hour, "v4")
	w.silent["v1"], w.silent["v2"] = true, true
	w.pass(20 * time.Second)
	const no = "2 of the 4 voters that would stay are healthy, no majority"
	w.wantKept("v4", no)
	w.silent["v1"] = false
	w.pass(10 * time.Second) // the first second makes it healthy
	w.wantRemoved("")
	w.wantKept("v4", no)
	w.pass(time.Second)
	w.wantRemoved("v4")
}

func TestAPilotThatWasStoppedWaits(t *testing.T) {
	w := newWatch(t, 1, 1)
	w.pass(time.Minute)
	// The machine was stopped for days. The other one has had no time to answer.
	w.o.At = w.o.At.Add(80 * time.Hour)
	w.o.Reports = map[string]autopilot.Report{"v0": {Follows: true}}
	if h := w.pilot.Observe(w.o, w.policy); h.Remove != "" {
		t.Errorf("%s is to be removed at once", h.Remove)
	}
	w.pass(time.Minute)
	w.wantRemoved("")
}

func TestWhatWasBeforeAPauseDoesNotCountAsHealth(t *testing.T) {
	w := newWatch(t, 3, 0)
	w.pass(time.Minute)
	w.o.Servers = append(w.o.Servers, autopilot.Server{ID: "v3", Voter: true})
	w.silent["v3"] = true
	w.pass(time.Second)
	w.silent["v3"] = false
	w.pass(9 * time.Second)
	w.o.At = w.o.At.Add(time.Hour)
	w.observe()
	for _, m := range w.health.Members {
		if m.Healthy {
			t.Errorf("right after a pause %s is healthy for %s", m.ID, w.o.At.Sub(m.Since))
		}
	}
	w.pass(10 * time.Second) // the first second makes them healthy
	if w.health.Whole != 3 {
		t.Errorf("%d voters were healthy together for %s; want 3", w.health.Whole, w.policy.Stabilize)
	}
	w.pass(time.Second)
	if w.health.Whole != 4 {
		t.Errorf("%d voters were healthy together for %s; want 4", w.health.Whole, w.policy.Stabilize)
	}
}

func TestOnlyTheMasterJudges(t *testing.T) {
	w := newWatch(t, 3, 1)
	w.o.Epoch = 0
	w.pass(time.Minute)
	w.kill(80*time.Hour, "n0")
	w.pass(time.Minute)
	w.wantRemoved("")
	w.wantKept("n0", "")
	w.o.Epoch = 8
	w.pass(9 * time.Second)
	w.wantKept("n0", "the master was just elected")
	w.o.Epoch = 9
	w.pass(10 * time.Second)
	w.wantRemoved("")
	w.pass(time.Second)
	w.wantRemoved("n0")
}

func TestToleranceIsTheNumberOfVotersThatMayBeLost(t *testing.T) {
	for _, test := range []struct{ voters, dead, want int }{
		{1, 0, 0}, {2, 0, 0}, {3, 0, 1}, {3, 1, 0}, {3, 2, 0}, {4, 0, 1}, {5, 0, 2}, {5, 1, 1}, {5, 3, 0},
	} {
		w := newWatch(t, test.voters, 2)
		w.pass(time.Minute)
		for i := range test.dead {
			w.kill(0, fmt.Sprint("v", i))
		}
		w.pass(10 * time.Second)
		if w.health.Tolerance != test.want || w.health.Healthy() != (test.dead == 0) {
			t.Errorf("%+v: the tolerance is %d, healthy %t", test, w.health.Tolerance, w.health.Healthy())
		}
	}
}

func TestAMemberIsHealthyWhileItsLogFollowsTheMasters(t *testing.T) {
	w := newWatch(t, 3, 0)
	healthy := func(log func() uint64) bool {
		w.log = func(id string) uint64 {
			if id == "v2" {
				return log()
			}
			return w.o.Log
		}
		for range 60 {
			w.o.Log += 100_000
			w.pass(time.Second)
		}
		return w.health.Healthy()
	}
	w.o.Log = 1e6
	if !healthy(func() uint64 { return w.o.Log - 150_000 }) {
		t.Error("a member whose report is two seconds old is not healthy")
	}
	stuck := w.o.Log
	if healthy(func() uint64 { return stuck }) {
		t.Error("a member whose log stands still is healthy")
	}
}

// A member can keep a dead one in the group for as long as it answers. It can have nobody removed.
func TestNoWordOfAMemberHasAnotherRemoved(t *testing.T) {
	for name, lie := range map[string]func(w *watch, r *autopilot.Report){
		"nobody was heard for years": func(w *watch, r *autopilot.Report) {
			r.Heard = map[string]time.Time{}
			for _, s := range w.o.Servers {
				r.Heard[s.ID] = w.o.At.Add(-1e5 * time.Hour)
			}
		},
		"the group was never larger": func(_ *watch, r *autopilot.Report) { r.Whole = -1 },
		"the group was far larger":   func(_ *watch, r *autopilot.Report) { r.Whole = 1 << 62 },
		"no log":                     func(_ *watch, r *autopilot.Report) { r.Log = 0 },
		"a log far ahead":            func(_ *watch, r *autopilot.Report) { r.Log = 1 << 62 },
		"another master":             func(_ *watch, r *autopilot.Report) { r.Follows = false },
	} {
		for _, liar := range []string{"v4", "n1"} {
			w := newWatch(t, 5, 2)
			w.policy.CleanUpAfter, w.policy.MinVoters = 10*time.Minute, 3
			w.lie = func(id string, r *autopilot.Report) {
				if id == liar {
					lie(w, r)
				}
			}
			for range 700 {
				w.o.Log++
				if w.pass(time.Second); w.health.Remove != "" {
					t.Fatalf("%s says %s, and %s is removed", liar, name, w.health.Remove)
				}
			}
		}
	}
	w := newWatch(t, 5, 0)
	w.policy.CleanUpAfter, w.policy.MinVoters = 10*time.Minute, 3
	w.pass(time.Minute)
	w.lie = func(id string, r *autopilot.Report) {
		if id == "v4" {
			r.Heard = map[string]time.Time{"v3": w.o.At}
		}
	}
	w.kill(time.Hour, "v3")
	w.pass(time.Hour)
	w.wantRemoved("")
	w.lie = nil
	w.pass(time.Second)
	w.wantRemoved("v3")
}
