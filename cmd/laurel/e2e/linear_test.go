package e2e

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How long a history is, and how many there are: LAUREL_RUNS says, and LAUREL_SEED which seed is the first.
const (
	shortHistory = 12 * time.Second
	longHistory  = time.Minute
)

// TestEveryHistoryIsLinearizable has many clients post and look at all frontends of a group that is killed, stopped, cut, changed and
// switched, and searches an order of all that they did and saw which one scoreboard, alone, would have given.
func TestEveryHistoryIsLinearizable(t *testing.T) {
	slow(t)
	if !inside() {
		err := again(t)
		if err == nil {
			return
		}
		if os.Getenv("LAUREL_CI") == "full" {
			t.Fatalf("LAUREL_CI=full: %v", err)
		}
		t.Logf("nothing is cut: %v", err)
	}
	length, runs, seed := shortHistory, 1, rand.Uint64N(1_000_000)
	if os.Getenv("LAUREL_LONG") != "" {
		length = longHistory
	}
	for name, v := range map[string]func(n uint64){"LAUREL_RUNS": func(n uint64) { runs = int(n) }, "LAUREL_SEED": func(n uint64) { seed = n }} {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v(n)
		}
	}
	var cuts *network
	if inside() {
		cuts = newNetwork(t, members+1)
	}
	t.Log(rowHead)
	for i := range runs {
		s := seed + uint64(i)
		if !t.Run("seed "+strconv.FormatUint(s, 10), func(t *testing.T) { oneHistory(t, cuts, s, length) }) {
			break
		}
	}
}

// soon makes snapshots that are installed: one that was away for a moment has missed more than the log still has.
const soon = "LAUREL_SNAPSHOT_ENTRIES=32"

const soonEntries = 32

// newPlacedGroup is a group of three, each at its site if there are any, and the place of a fourth.
func newPlacedGroup(t testing.TB, cuts *network, env ...string) *group {
	g := &group{t: t, dir: t.TempDir(), logs: logs(t), env: env}
	for i := range members + 1 {
		f := g.add()
		if cuts != nil {
			cuts.t = t
			cuts.settle(f, i)
		}
		if i > 0 {
			// Any of the first three may be the one that knows.
			f.entry = []string{"--join", urls(g.frontends[:min(i, members)])}
		}
		if i < members {
			f.start().waitReady()
		}
	}
	g.waitVotes()
	return g
}

func oneHistory(t *testing.T, cuts *network, seed uint64, length time.Duration) {
	g := newPlacedGroup(t, cuts, soon, "LAUREL_LOG_LEVEL=DEBUG")
	h := newHistory()
	setUp(t, g.frontends[0], h)
	var urls []string
	for _, f := range g.frontends {
		urls = append(urls, f.url)
	}
	c := newCrowd(urls, h, seed)
	n := newNemesis(g, cuts, h, seed)
	from := h.now()
	n.rage(length)
	to := h.now()
	n.heal()
	c.leave()
	for _, f := range g.running() {
		newClient("last", f.url, nil, h, nil).lookAtAll(t)
	}
	events, err := h.close(g.frontends[0].timelines(t))
	if err != nil {
		t.Error(err)
	}
	g.expectRevision(uint64(events))
	g.expectTheSame()
	if len(h.wrong) > 0 {
		t.Errorf("%d answers that no fault excuses, the first: %v", len(h.wrong), errors.Join(h.wrong[:min(len(h.wrong), 5)]...))
	}
	if len(h.posted) < 100 || len(h.read) < 1000 {
		t.Errorf("%d events acked and %d looks answered are too little to show anything", len(h.posted), len(h.read))
	}
	began := time.Now()
	verdict := "linearizable"
	if err := h.judge(); err != nil {
		verdict = "VIOLATION"
		t.Error(err)
		if err := os.WriteFile(filepath.Join(g.logs, "history.txt"), []byte(h.written()), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(h.counts)) {
		t.Logf("%7d %s", h.counts[what], what)
	}
	t.Logf("%d snapshots were installed; %d operations were judged in %v", g.installed(t), len(h.known)+len(h.aged), time.Since(began).Round(time.Millisecond))
	t.Log(rowHead + "\n" + row(seed, h, n, from, to, verdict))
}

// expectTheSame compares what all that run show of everything.
func (g *group) expectTheSame() {
	g.t.Helper()
	var paths []string
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

// installed counts the snapshots that members have taken over from the master, by their logs.
func (g *group) installed(t testing.TB) (n int) {
	paths, err := filepath.Glob(filepath.Join(g.logs, "f*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(b), "Installed remote snapshot")
	}
	return n
}

const rowHead = "| seed | operations | reads by Laurel-Mode/Laurel-Cache | no answer or refused | events acked, unknown | faults | " +
	"longest without an acked event, an answered read (s, and when) | verdict |"

// row is a line of the table in docs.
func row(seed uint64, h *history, n *nemesis, from, to int64, verdict string) string {
	var reads, faults []string
	refused, unknown := 0, 0
	for _, what := range slices.Sorted(maps.Keys(h.counts)) {
		switch {
		case strings.HasSuffix(what, "nobody there"): // the fourth, most of the time
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
	for _, what := range slices.Sorted(maps.Keys(n.done)) {
		faults = append(faults, fmt.Sprintf("%s %d", what, n.done[what]))
	}
	post, postAt := gap(h.posted, from, to)
	read, readAt := gap(h.read, from, to)
	return fmt.Sprintf("| %d | %d | %s | %d | %d, %d | %s | %.1f at %.0f, %.1f at %.0f | %s |", seed, len(h.known)+len(h.aged), strings.Join(reads, ", "), refused, len(h.posted), unknown,
		strings.Join(faults, ", "), post, postAt, read, readAt, verdict)
}

// gap is the longest time without one of the moments, and when it began, in seconds.
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
