package witness

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// worldCount returns how many worlds a test runs: usually so few that they take seconds, and
// as many as LAUREL_WORLDS says for a long search.
func worldCount(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("LAUREL_WORLDS")); err == nil {
		return n
	}
	return usual
}

const (
	lying = 15 * time.Second
	quiet = 6 * time.Second
)

// runWorld lets a world run, and then go on without the corrupt one.
func runWorld(seed uint64, rule broken, only string) *world {
	w := newWorld(seed, rule)
	w.only = only
	w.run(lying)
	w.settle()
	return w
}

// settle lets the corrupt one fall silent and all others come up, and looks how many rounds
// it takes until there is a certificate again.
func (w *world) settle() {
	if w.fault != "" || w.broken != breakNothing {
		return
	}
	w.calm, w.loss, w.delay = true, 0, 5*time.Millisecond
	silent, had := w.now, len(w.certs)
	for _, f := range w.honest() {
		if !f.up() {
			f.start()
		}
	}
	w.run(quiet)
	before := len(w.certs)
	for rounds, waits := 0, 0; rounds < 3 && waits < 4*maxAhead && w.fault == ""; {
		if w.ready() {
			rounds++
		} else {
			waits++
		}
		w.run(SealInterval)
		if len(w.certs) > before {
			w.counts.recovered++
			w.counts.slowest = max(w.counts.slowest, rounds)
			w.counts.waited = max(w.counts.waited, waits)
			w.counts.longest = w.certs[had].at.Sub(silent)
			return
		}
	}
	w.failed("%s within 3 rounds: %s", noMore, w.describe())
}

// ready reports whether a round can be certified next: the master has gone back if it had to,
// and the size comes that nobody has reported in a history that it has left.
func (w *world) ready() bool {
	log := w.master.log
	return !slices.ContainsFunc(w.honest(), func(f *front) bool {
		top := f.node.top
		return max(f.node.state.reported.Size, top.Size) > uint64(len(log)) || top.Size > 0 && log[top.Size-1] != top
	})
}

func (w *world) describe() (all string) {
	for _, f := range w.honest() {
		if !f.up() {
			all += fmt.Sprintf("\n%s is down", f.key.name)
			continue
		}
		n := f.node
		all += fmt.Sprintf("\n%s: master %t, log %v, reported %d, cosigned %v, proven %v, holds %t, left %d, leaving %t",
			f.key.name, w.master == f, w.logs[f.head()], n.state.reported.Size, w.logs[n.state.cosigned], w.logs[n.top],
			n.holds, n.state.left, n.leaving)
	}
	return all
}

func (c *simCounts) add(o simCounts) {
	c.certificates += o.certificates
	c.convicted += o.convicted
	c.diverged += o.diverged
	c.split += o.split
	c.silent += o.silent
	c.crashes += o.crashes
	c.goneBack += o.goneBack
	c.recovered += o.recovered
	c.slowest = max(c.slowest, o.slowest)
	c.waited = max(c.waited, o.waited)
	c.longest = max(c.longest, o.longest)
}

func TestNoWorldHasTwoCertificatesThatDisagree(t *testing.T) {
	t.Parallel()
	first, _ := strconv.ParseUint(os.Getenv("LAUREL_SEED"), 10, 64)
	usual := 20
	if testing.Short() {
		usual = 4
	}
	worlds, sum := worldCount(usual), simCounts{}
	for seed := first; seed < first+uint64(worlds); seed++ {
		w := runWorld(seed, breakNothing, "")
		if w.fault != "" {
			t.Fatalf("seed %d: %s", seed, w.fault)
		}
		sum.add(w.counts)
		if done := seed + 1 - first; done%100 == 0 {
			t.Logf("%d worlds: %+v", done, sum)
		}
	}
	t.Logf("%d worlds: %+v", worlds, sum)
	// A checker that sees nothing finds nothing: each case must have happened often.
	for what, often := range map[string]bool{
		"certificates":     sum.certificates > 10*worlds,
		"convictions":      sum.convicted > worlds,
		"frontends astray": sum.diverged > worlds,
		"splits":           sum.split > worlds/40,
		"silence":          sum.silent > worlds,
		"crashes":          sum.crashes > worlds,
		"going back":       sum.goneBack > worlds,
		"recoveries":       sum.recovered == worlds,
	} {
		if !often && worlds >= 20 {
			t.Errorf("too few: %s: %+v", what, sum)
		}
	}
}

// Each rule is broken on purpose, and the same checks must notice it in such worlds. A
// broken R2 does harm too rarely for that; the model finds it. Other seeds may be needed when
// the rules or the simulation change: LAUREL_WORLDS=1000 finds them.
func TestEveryBrokenRuleIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and too slow for the race detector")
	}
	worlds := uint64(worldCount(20)) // all are found in the first ten
	for _, one := range []struct {
		rule  broken
		fault string // or any
		from  uint64 // the seed of the first world: one rule is found in few worlds only
	}{
		{breakSaving, "", 0},
		{breakAmnesia, "", 0},
		{breakOnce, "convicted", 0},
		{breakTwoReports, disagree, 0},
		{breakUnproven, disagree, 80},
		{breakLate, tooFresh, 0},
		{breakReader, "", 24},
		{breakOlderTimes, tooFresh, 0},
		{breakWaiting, waited, 0},
	} {
		t.Run(string(one.rule), func(t *testing.T) {
			for seed := one.from; seed < one.from+worlds; seed++ {
				if w := runWorld(seed, one.rule, one.fault); w.fault != "" {
					t.Logf("seed %d: %s", seed, w.fault)
					return
				}
			}
			t.Errorf("nothing was found in %d worlds; look for another first seed with LAUREL_WORLDS=1000", worlds)
		})
	}
}

func TestAWorldIsDeterminedByItsSeed(t *testing.T) {
	rules := []broken{breakNothing, breakLate, breakOlderTimes}
	if testing.Short() {
		rules = rules[2:]
	}
	for _, rule := range rules {
		history := func() string {
			w := runWorld(7, rule, "nothing that a check says, so that it goes on")
			return fmt.Sprint(w.counts, w.certs, w.seq, w.describe())
		}
		if first, again := history(), history(); first != again {
			t.Errorf("%q broken: %s, and then %s", rule, first, again)
		}
	}
}
