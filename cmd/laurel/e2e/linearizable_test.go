package e2e

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// longHistory is the length of a history in the long form.
const longHistory = time.Minute

// TestEveryHistoryIsLinearizable runs many clients that post to and read from all
// frontends of a group under faults, and searches for an order of all operations that a
// single scoreboard could have executed.
func TestEveryHistoryIsLinearizable(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	if !inOwnNetwork() && ranInOwnNetwork(t) {
		return
	}
	length := byForm(4*time.Second, 12*time.Second, longHistory)
	cuts := newSlowNetwork(t)
	t.Log(rowHead)
	eachSeed(t, func(t *testing.T, seed uint64) { oneHistory(t, cuts, seed, length, false) })
}

// ranInOwnNetwork reports whether the test has run in a network of its own, as far as one can
// be made.
func ranInOwnNetwork(t *testing.T) bool {
	t.Helper()
	err := runInOwnNetwork(t)
	if err == nil {
		return true
	}
	if os.Getenv("LAUREL_CI") == "full" {
		t.Fatalf("LAUREL_CI=full: %v", err)
	}
	t.Logf("nothing is cut: %v", err)
	return false
}

// newSlowNetwork returns a network of one more place than members, with links that can be slow;
// nil if the test has none of its own.
func newSlowNetwork(t *testing.T) *network {
	t.Helper()
	if !inOwnNetwork() {
		return nil
	}
	cuts := newNetwork(t, members+1)
	if err := cuts.addLines(); err != nil {
		if os.Getenv("LAUREL_CI") == "full" {
			t.Fatalf("LAUREL_CI=full: slow links: %v", err)
		}
		t.Logf("no link is slow: %v", err)
	}
	return cuts
}

// eachSeed makes one run, or as many as LAUREL_RUNS says.
func eachSeed(t *testing.T, run func(t *testing.T, seed uint64)) {
	t.Helper()
	runs, seed := runsAndSeed(t, 1)
	for s := seed; s < seed+uint64(runs); s++ {
		if !t.Run("seed "+strconv.FormatUint(s, 10), func(t *testing.T) { run(t, s) }) {
			break
		}
	}
}

// runsAndSeed returns how many runs a test makes, usually or by LAUREL_RUNS, and the seed of
// the first, at random or by LAUREL_SEED.
func runsAndSeed(t *testing.T, usual int) (runs int, seed uint64) {
	t.Helper()
	number := func(name string, unset uint64) uint64 {
		s := os.Getenv(name)
		if s == "" {
			return unset
		}
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	return int(number("LAUREL_RUNS", uint64(usual))), number("LAUREL_SEED", rand.Uint64N(1_000_000))
}

// soon makes snapshots frequent, so that they are installed: a frontend that was away for
// a moment has missed more than the log keeps.
const soon = "LAUREL_SNAPSHOT_ENTRIES=32"

const soonEntries = 32

// In a long history a snapshot is large, and its transfer and installation take seconds.
// The log keeps what is posted meanwhile; otherwise a frontend that is behind would never
// catch up.
const (
	largeSnapshots = "LAUREL_SNAPSHOT_ENTRIES=96"
	marksOfBulk    = 80_000 // 24 MB of a snapshot
	large          = 16 << 20
)

// newPlacedGroup starts a group of three, each at its place in the network if there is
// one, and adds a fourth frontend.
func newPlacedGroup(t testing.TB, cuts *network, env ...string) *group {
	if cuts != nil {
		cuts.t = t
	}
	g := &group{t: t, dir: t.TempDir(), logs: logs(t), env: env, cuts: cuts}
	for i := range members + 1 {
		f := g.add()
		if i > 0 {
			// The fourth may join through any of the first three.
			f.entry = []string{"--join", urls(g.frontends[:min(i, members)])}
		}
		if i < members {
			f.start().waitReady()
		}
	}
	return g
}

// oneHistory makes and checks one history. With copies its faults are those of
// nemesis.copied.
func oneHistory(t *testing.T, cuts *network, seed uint64, length time.Duration, copies bool) {
	long := length == longHistory
	snapshots, before := soon, uint64(0)
	if long {
		snapshots = largeSnapshots
	}
	env := []string{snapshots, "LAUREL_LOG_LEVEL=DEBUG"}
	if copies && !long {
		// The master asks the first one for a second, times the scale, before it believes a clone. On a
		// busy machine the first one may be held up for seconds.
		env = append(env, "LAUREL_TIME_SCALE=10")
	}
	g := newPlacedGroup(t, cuts, env...)
	if long {
		before = g.frontends[0].addMarks(t, marksOfBulk)
	}
	h := newHistory()
	setUp(t, g.frontends[0], h)
	var urls []string
	for _, f := range g.frontends {
		urls = append(urls, f.url)
	}
	c := newClientPool(urls, h, seed)
	n := newNemesis(g, h, seed)
	n.copies = copies
	from := h.now()
	n.run(length)
	for began := time.Now(); h.few() && time.Since(began) < patience; { // the machine is busy
		n.run(length)
	}
	to := h.now()
	n.heal()
	c.stopAll()
	lookAtAll(t, g.running(), h) // settle could repair what is missing
	c.settle(t)
	lookAtAll(t, g.running(), h)
	events, err := h.close(g.frontends[0].timelines(t))
	if err != nil {
		t.Error(err)
	}
	g.expectRevision(before + uint64(events))
	if long {
		g.expectTheSame("/v1/leaderboard/" + bulk + "?split=finish&limit=1000")
	} else {
		g.expectTheSame()
	}
	if len(h.wrong) > 0 {
		t.Errorf("%d answers that no fault excuses, the first: %v", len(h.wrong),
			errors.Join(h.wrong[:min(len(h.wrong), 5)]...))
	}
	if h.few() {
		t.Errorf("%d events acked and %d reads answered are too few to show anything", len(h.posted), len(h.read))
	}
	began := time.Now()
	verdict := "linearizable"
	if err := h.check(); err != nil {
		verdict = "VIOLATION"
		t.Error(err)
		if err := os.WriteFile(filepath.Join(g.logs, "history.txt"), []byte(h.text()), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(h.counts)) {
		t.Logf("%7d %s", h.counts[what], what)
	}
	t.Logf("%d operations were judged in %v", len(h.known)+len(h.aged), time.Since(began).Round(time.Millisecond))
	done := n.tally(g.transfers(t))
	for _, what := range slices.Sorted(maps.Keys(done)) {
		t.Logf("%7d %s", done[what], what)
		// In a single history no fault may meet a transfer.
		if long && n.slows() && done[what] == 0 && what != unfinished {
			t.Errorf("%s: none in %v; the history shows nothing about that", what, length)
		}
	}
	t.Log(rowHead + "\n" + row(seed, h, done, from, to, verdict))
}

// expectTheSame compares the answers of all running frontends about everything, and at
// more paths.
func (g *group) expectTheSame(paths ...string) {
	g.t.Helper()
	for i := range meets {
		paths = append(paths, "/v1/medals/"+meet(i), medalsOfGaul(i), "/v1/scores?competition="+meet(i))
		for j := range contestsOfMeet {
			paths = append(paths, "/v1/scores/"+contestOf(i, j), "/v1/timeline/"+contestOf(i, j)+"?limit=1000")
		}
	}
	first := g.running()[0]
	for _, path := range paths {
		want := get(g.t, first.url+path)
		for _, f := range g.running()[1:] {
			if a := get(g.t, f.url+path); a.body != want.body {
				g.t.Errorf("%s answers to %s at revision %s\n%.2000s\nand %s at %s\n%.2000s", f.id, path,
					a.header.Get("Laurel-Revision"), a.body, first.id, want.header.Get("Laurel-Revision"), want.body)
			}
		}
	}
}

// transfers counts the snapshots that members began to receive from a master.
type transfers struct {
	begun, large, installed int
}

// receiving matches the line that a member logs when the first bytes of a snapshot have
// come.
var receiving = regexp.MustCompile(`"receiving a snapshot of the master" .*size=(\d+)`)

// transfers reads the logs of all members.
func (g *group) transfers(t testing.TB) (all transfers) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(g.logs, "f*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range receiving.FindAllSubmatch(b, -1) {
			all.begun++
			if size, err := strconv.Atoi(string(m[1])); err == nil && size >= large {
				all.large++
			}
		}
		all.installed += strings.Count(string(b), installedSnapshot)
	}
	return all
}

// unfinished counts transfers that a fault interrupted or a newer one replaced.
const unfinished = "snapshots not finished"

// tally returns the number of faults of each kind.
func (n *nemesis) tally(snapshots transfers) map[string]int {
	of := func(beginnings ...string) (times int) {
		for what, k := range n.done {
			if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(what, b) }) {
				times += k
			}
		}
		return times
	}
	all := map[string]int{
		"kills":                of("kill "),
		"pauses":               of("stop "),
		"cuts":                 of("cut ", "nothing "),
		"slow links":           of("slow "),
		"slow seconds":         int(n.slowFor.Seconds()),
		"pulls":                of("pull"),
		"joins":                of("join "),
		"transfers":            of("transfer"),
		"snapshots sent":       snapshots.begun,
		"large snapshots sent": snapshots.large,
		"snapshots installed":  snapshots.installed,
		unfinished:             snapshots.begun - snapshots.installed,
	}
	if n.copies {
		all["old directories"], all["clones"] = of("old "), of("clone ")
	}
	return all
}

const rowHead = "| seed | operations | reads by Laurel-Mode/Laurel-Cache | no answer or refused | events acked, unknown | faults | " +
	"longest without an acked event, an answered read (s, and when) | verdict |"

// row returns a line of the table in docs/benchmarks.md.
func row(seed uint64, h *history, done map[string]int, from, to int64, verdict string) string {
	var reads, faults []string
	refused, unknown := 0, 0
	for _, what := range slices.Sorted(maps.Keys(h.counts)) {
		switch {
		case strings.HasSuffix(what, "not running"): // the fourth, most of the time
		case strings.HasPrefix(what, "read: "):
			refused += h.counts[what]
		case strings.Contains(what, "/"):
			reads = append(reads, fmt.Sprintf("%s %d", what, h.counts[what]))
		}
	}
	for _, o := range h.known {
		if o.Return == never {
			unknown++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(done)) {
		faults = append(faults, fmt.Sprintf("%s %d", what, done[what]))
	}
	post, postAt := gap(h.posted, from, to)
	read, readAt := gap(h.read, from, to)
	return fmt.Sprintf("| %d | %d | %s | %d | %d, %d | %s | %.1f at %.0f, %.1f at %.0f | %s |", seed,
		len(h.known)+len(h.aged), strings.Join(reads, ", "), refused, len(h.posted), unknown,
		strings.Join(faults, ", "), post, postAt, read, readAt, verdict)
}

// gap returns the longest time between two of the moments, and when it began, in seconds.
func gap(moments []int64, from, to int64) (long, since float64) {
	longest, began, last := int64(0), from, from
	for _, m := range append(slices.Sorted(slices.Values(moments)), to) {
		if m = min(max(m, from), to); m-last > longest {
			longest, began = m-last, last
		}
		last = max(last, m)
	}
	return float64(longest) / 1e9, float64(began) / 1e9
}
