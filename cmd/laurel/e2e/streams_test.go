package e2e

import (
	"fmt"
	"testing"
)

// startBards starts a bard for each stream, each with another frontend first in its list.
func (g *group) startBards(all []*stream, speed func(*stream) string) []*process {
	g.t.Helper()
	var bards []*process
	for i, s := range all {
		bards = append(bards, g.startBard(s, i, speed(s)))
	}
	return bards
}

func (g *group) startBard(s *stream, first int, speed string) *process {
	g.t.Helper()
	return start(g.t, g.logs, "bard-"+s.name, nil, program(g.t, "bard"), "sing", "--to", g.urlsFrom(first),
		"--speed", speed, s.file)
}

func atFullSpeed(*stream) string { return "max" }

// awaitBards waits until the bards have posted everything.
func awaitBards(t testing.TB, bards []*process) {
	t.Helper()
	for _, b := range bards {
		if code := b.exit(t); code != 0 {
			t.Fatalf("%s ended with exit code %d:\n%s", b.Name, code, b.output(t))
		}
	}
}

// expectTruthEverywhere compares the truth with the answers of each frontend, first of
// the group as it is, then from each one's own database.
func (g *group) expectTruthEverywhere(all []*stream) {
	g.t.Helper()
	for _, f := range g.running() {
		for _, s := range all {
			s.expectTruth(g.t, f)
		}
	}
	g.expectTruthInEachDatabase(all)
}

func (g *group) expectTruthInEachDatabase(all []*stream) {
	g.t.Helper()
	for _, f := range g.running() {
		f.becomeMaster()
		for _, s := range all {
			s.expectTruth(g.t, f)
		}
	}
}

func TestRealGamesPostedAtFullSpeedAreCorrectAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	everything := allGames
	all := load(t, byForm([]string{"paris2024", "curling", "tokyo2020para", "worldcup2026"}, everything, everything)...)
	g := newGroup(t, 3)
	awaitBards(t, g.startBards(all, atFullSpeed))
	for _, f := range g.frontends {
		t.Logf("%s after %d events: %s", f.id, sum(all), f.memory())
	}
	g.expectRevision(sum(all))
	g.expectTruthEverywhere(all)

	for _, f := range g.frontends {
		for _, s := range all {
			for id, finishers := range s.truth.Leaderboards {
				expectEveryMark(t, f, id, finishers)
			}
		}
	}
}

func TestAStreamPostedAgainChangesNothing(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, "curling")
	g := newGroup(t, 3)
	awaitBards(t, g.startBards(all, atFullSpeed))

	// A bard continues after the last acknowledged event, so it sends nothing; curl sends
	// everything again.
	awaitBards(t, g.startBards(all, atFullSpeed))
	var again []byte
	if err := all[0].lines(func(line []byte) error {
		again = append(append(again, line...), '\n')
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, f := range g.frontends {
		n = 0
		list, _ := f.streamAgain(t, string(again))
		for _, r := range list {
			if n++; r.Status != "duplicate" || r.Revision != n || r.Seq != n {
				t.Fatalf("at %s: the result of event %d, posted again, is %+v; want a duplicate with its first revision", f.id, n, r)
			}
		}
		if n != sum(all) {
			t.Fatalf("at %s: %d results for %d events", f.id, n, sum(all))
		}
	}
	g.expectRevision(n)
	g.expectTruthEverywhere(all)
}

func TestABardPostsItsStandardInput(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, "worldcup2026")
	g := newGroup(t, 1)
	c := fmt.Sprintf("zcat %q | %q sing --to %s --speed max -", all[0].file, program(t, "bard"), g.frontends[0].url)
	awaitBards(t, []*process{start(t, g.logs, "bard", nil, "sh", "-c", c)})
	g.expectRevision(sum(all))
	all[0].expectTruth(t, g.frontends[0])
}
