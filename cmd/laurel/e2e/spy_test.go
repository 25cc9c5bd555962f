//go:build spy

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	laurel "laurel/client"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/witness"
)

// spyRow is one lie, and what comes of it.
type spyRow struct {
	what  string
	lie   map[string]any // the contest is added
	quick bool           // it is in the short form
	// alone is true if the lie needs a group of its own: what comes of it lasts.
	alone bool
	env   []string // of that group
	idle  bool     // it is told while nothing else happens
	// then is what happens when the lie is told; a goal in another contest if it is nil.
	then func(g *spiedGroup, lie map[string]any, contest string)
	// master is true if only a master can tell the lie.
	master bool
	// objects is true if a reader who asks all names the liar.
	objects bool
	// putOut is true if all honest frontends then put the liar out.
	putOut bool
	// goesBack is true if the spy is gone as soon as it has lied, so that the frontend finds
	// by itself that its history is another one.
	goesBack bool
	// misled is how many honest frontends, the last ones, then have another history, and go
	// back.
	misled int
	// fault is the verdict of all honest frontends; "" for none.
	fault witness.Fault
	// stops is true if there may be no certificates meanwhile.
	stops bool
	// lost is true if the liar says that events are applied that are not.
	lost bool
}

var spyRows = []spyRow{
	{what: "another result in memory", lie: map[string]any{"lie": "result", "competitor": "ROM", "points": 10},
		quick: true, master: true, objects: true, fault: witness.Diverged, putOut: true},
	{what: "another result in memory of a follower", lie: map[string]any{"lie": "result", "competitor": "ROM", "points": 10},
		objects: true, fault: witness.Diverged, putOut: true},
	{what: "another result, of which the frontend knows nothing",
		lie: map[string]any{"lie": "result", "competitor": "ROM", "points": 10}, quick: true, goesBack: true},
	{what: "another record with a right checksum", lie: map[string]any{"lie": "record", "competitor": "ROM", "points": 9},
		quick: true, objects: true},
	{what: "another answer in memory", lie: map[string]any{"lie": "cache"}, quick: true, then: answersFalsely},
	{what: "another node of the tree of answers", lie: map[string]any{"lie": "tree"}, quick: true, then: provesFalsely,
		goesBack: true},
	{what: "a post split, and said to be applied", lie: map[string]any{"lie": "split"}, quick: true, master: true,
		then: splits},
	{what: "an event that nobody signed",
		lie:   map[string]any{"lie": "forge", "source": "bard/spy", "competitor": "ROM", "points": 5},
		quick: true, master: true},
	{what: "an event by a token",
		lie:   map[string]any{"lie": "forge", "source": desk, "competitor": "ROM", "points": 5, "token": "spy"},
		quick: true, master: true},
	{what: "a key granted by nobody", lie: map[string]any{"lie": "grant"}, quick: true, master: true},
	{what: "another entry for one", lie: map[string]any{"lie": "entries"}, quick: true, master: true, then: altersOne, misled: 1},
	{what: "pushes withheld", lie: map[string]any{"lie": "withhold"}, quick: true, master: true, then: withholds},
	{what: "nothing said about rounds", lie: map[string]any{"lie": "mute"}, quick: true, fault: witness.Silent},
	{what: "old notes again and again", lie: map[string]any{"lie": "replay"}, fault: witness.Silent},
	{what: "junk for notes", lie: map[string]any{"lie": "junk"}, quick: true, fault: witness.Silent},
	{what: "no seals", lie: map[string]any{"lie": "noseal"}, quick: true, master: true, stops: true},
	{what: "seals out of turn", lie: map[string]any{"lie": "seals"}, master: true},
	{what: "cosignatures of the future", lie: map[string]any{"lie": "future"}, quick: true},
	// Who took an event in may leave the liar late, so nobody needs it for a master afterwards.
	{what: "an event dropped, and said to be applied", lie: map[string]any{"lie": "drop"}, quick: true, master: true,
		then: drops, lost: true},
	// A frontend that is convicted stays so.
	{what: "two rounds of one number", lie: map[string]any{"lie": "equivocate"}, quick: true, fault: witness.Convicted,
		putOut: true},
	{what: "a cosignature of what nobody has proven", lie: map[string]any{"lie": "cosign"}, alone: true,
		fault: witness.Convicted, putOut: true},
	{what: "another record, of which the frontend knows nothing",
		lie: map[string]any{"lie": "record", "competitor": "ROM", "points": 9}, alone: true, goesBack: true},
	{what: "another order of sources for one", lie: map[string]any{"lie": "order", "member": "f4"}, alone: true,
		master: true, then: reorders, misled: 1}, // the second time f4 would leave its master for an hour
	{what: "another log for each", lie: map[string]any{"lie": "entries"}, alone: true, master: true, then: altersAll, misled: 3},
	{what: "a snapshot with another record", lie: map[string]any{"lie": "snapshot", "competitor": "ROM", "points": 9},
		alone: true, env: []string{soon}, idle: true, master: true, then: sendsSnapshot, misled: 1},
}

func TestNoSpyInAFrontendHasAReaderAcceptAWrongAnswer(t *testing.T) {
	needsProcesses(t)
	all := byForm(false, false, true) // with LAUREL_LONG=1
	t.Parallel()
	var g *spiedGroup
	for i, row := range spyRows {
		if !row.quick && !all {
			continue
		}
		if g == nil || row.alone {
			if g != nil {
				g.stop()
			}
			g = newSpiedGroup(t, row.env...)
			g.page = newPageReader(g)
		}
		t.Logf("%s ...", row.what)
		g.row(&row, fmt.Sprintf("OG50BC/ROW-%d", i))
	}
}

// row has the spy lie, and reads meanwhile.
func (g *spiedGroup) row(row *spyRow, contest string) {
	t := g.t
	t.Helper()
	if row.master {
		g.lead(g.liar)
	} else {
		g.lead(g.honest[0])
	}
	g.begin(contest)
	path := laurel.ScorePath(contest)
	truth := g.settled(path)
	g.readCertified(path, truth, false)
	g.page.expect(g, contest, truth)
	stop := func() int64 { return 0 }
	if !row.idle {
		stop = g.load()
	}
	defer func() { stop() }()
	begun := time.Now()
	g.backs = map[*frontend]int{}

	g.lied(row, contest)
	eventually(t, "the spy stops", func() error { return g.liar.obey(map[string]any{"lie": ""}) })
	if row.lost { // who took an event in leaves the liar when the revision that it named is certified
		g.lead(g.honest[0])
	}
	if row.stays() { // its state is false, and is made anew from the log
		g.liar.Kill()
		g.liar.start()
	}
	t.Logf("%s: readers have accepted %d answers within %.1f s", row.what, stop(), time.Since(begun).Seconds())
	if len(g.backs) > 0 {
		t.Logf("%s: gone back: %v", row.what, slices.Collect(maps.Values(g.backs)))
	}
	g.forget()
	g.goal(contest, 1)
	truth = g.settled(path)
	g.readNow(nil, path, truth)
	g.readCertified(path, truth, false)
	for _, f := range g.honest {
		eventually(t, f.id+" names no honest frontend", func() error {
			g.revive(g.honest)
			return g.namesHonest(f)
		})
		if row.lost {
			eventually(t, f.id+" has taken "+g.liar.id+" back", func() error {
				g.goal(other, 1)
				return putsOutOnly(f, "")
			})
		}
	}
	for _, f := range g.frontends {
		if f == g.liar && (row.fault == witness.Convicted || row.misled > 1) {
			continue // it is put out, for good or for an hour
		}
		eventually(t, f.id+" answers as it is", func() error {
			a, err := ask("GET", f.url+path, "")
			if err == nil && a.body != truth {
				err = fmt.Errorf("it is %s, and it answers %d %s", truth, a.status, a.body)
			}
			return err
		})
	}
}

// stays reports whether the spy keeps the frontend from going back.
func (r *spyRow) stays() bool { return r.objects || r.misled > 1 }

// lied has the spy tell the lie of a row, looks who is named, and reads.
func (g *spiedGroup) lied(row *spyRow, contest string) {
	t := g.t
	t.Helper()
	path := laurel.ScorePath(contest)
	before, keys := g.settled(path), g.certifiedKeys()
	lie := maps.Clone(row.lie)
	lie["contest_id"] = contest
	if g.leads = row.master; g.leads {
		g.lead(g.liar)
	}
	told := time.Now()
	if row.stays() {
		g.liar.order(t, map[string]any{"lie": "stay"})
	}
	if row.then == nil {
		g.tell(lie)
		g.goal(other, 1)
	} else {
		row.then(g, lie, contest)
	}
	if row.lost {
		g.forget()
	}
	if row.goesBack {
		g.expectBack(row, told, g.liar)
	}
	if row.misled > 0 {
		g.expectBack(row, told, g.honest[len(g.honest)-row.misled:]...)
	}
	if row.misled > 1 { // who blames the liar is behind while it is the master
		g.lead(g.honest[0])
	}
	truth := g.settled(path)
	if row.then == nil && truth != before {
		t.Fatalf("the honest frontends have\n%s\nand it was\n%s", truth, before)
	}
	var objector *frontend
	if row.objects {
		objector = g.liar
	}
	g.readNow(objector, path, truth)
	if row.fault != "" {
		silent := false // the liar heard what a quorum has before it reported something else
		for _, f := range g.honest {
			eventually(t, f.id+" names the liar", func() error {
				g.goal(other, 1) // a frontend is silent only while others are not
				if row.fault == witness.Diverged && names(f, g.liar, witness.Silent) == nil {
					silent = true
					return nil
				}
				return names(f, g.liar, row.fault)
			})
		}
		if row.putOut && !silent {
			g.expectPutOut(row.fault)
		}
		t.Logf("%s: %s by all after %.1f s", row.what, row.fault, time.Since(told).Seconds())
	}
	g.readCertified(path, truth, row.stops)
	if !row.stops {
		if now := g.certifiedKeys(); now != keys {
			t.Fatalf("readers accept the keys\n%s\nand they were\n%s", now, keys)
		}
	}
	g.readNow(nil, laurel.ScorePath(other), g.settled(laurel.ScorePath(other)))
	g.readByCommand(contest, truth, row.stops)
	if !row.stops {
		g.page.expect(g, contest, truth)
	}
}

// expectBack waits until frontends have gone back.
func (g *spiedGroup) expectBack(row *spyRow, told time.Time, list ...*frontend) {
	g.t.Helper()
	for _, f := range list {
		f.exit(g.t)
		g.t.Logf("%s: %s has gone back after %.1f s", row.what, f.id, time.Since(told).Seconds())
	}
	_ = g.liar.obey(map[string]any{"lie": ""})
	g.revive(list)
}

// revive starts frontends again that have gone back, twice at most.
func (g *spiedGroup) revive(list []*frontend) {
	g.t.Helper()
	for _, f := range list {
		if !f.Ended() {
			continue
		}
		if code := f.State().ExitCode(); code != cli.ExitGoBack || g.backs[f] == 2 {
			g.t.Fatalf("%s ended with exit code %d after it had gone back %d times", f.id, code, g.backs[f])
		}
		g.backs[f]++
		f.start()
	}
}

// answersFalsely has the liar answer those who do not verify from what was changed in its memory.
func answersFalsely(g *spiedGroup, lie map[string]any, contest string) {
	g.t.Helper()
	at := g.liar.url + laurel.ScorePath(contest)
	eventually(g.t, "the liar answers falsely", func() error {
		false := altered(get(g.t, at).body)
		lie["body"] = false
		if err := g.liar.obey(lie); err != nil {
			return err
		}
		if a := get(g.t, at); a.body != false {
			return fmt.Errorf("it answers %s", a.body)
		}
		return nil
	})
}

// provesFalsely changes the tree beside the contest, and the contest.
func provesFalsely(g *spiedGroup, lie map[string]any, contest string) {
	g.t.Helper()
	g.begin(contest + "-B") // there is a leaf beside it
	eventually(g.t, "there is a leaf beside the contest", func() error { return g.liar.obey(lie) })
	g.goal(contest, 1)
}

// drops has the liar say that a goal is applied that it drops. The frontend that took the goal does
// not pass that on.
func drops(g *spiedGroup, lie map[string]any, contest string) {
	g.t.Helper()
	path := laurel.ScorePath(contest)
	eventually(g.t, "the liar drops a goal", func() error {
		before := g.settled(path)
		g.tell(lie)
		events := g.next(contest, "score.play", goalOf(1))
		if a := g.postAt(g.honest[0], events); !strings.Contains(a.body, string(score.OutcomeUnknown)) {
			return fmt.Errorf("%s has answered %d %s", g.honest[0].id, a.status, a.body) // the liar led no more
		}
		if truth := g.settled(path); truth != before {
			g.t.Fatalf("the honest frontends have\n%s\nand it was\n%s", truth, before)
		}
		return nil
	})
}

// splits posts two goals of which one counts, until the liar is the master no more. Then both
// do.
func splits(g *spiedGroup, lie map[string]any, contest string) {
	g.t.Helper()
	g.tell(lie)
	g.goal(contest, 1, 1)
	said := g.seq
	if g.forget(); g.seq != said {
		g.t.Fatalf("the last event that counts is %d; want %d", g.seq, said)
	}
}

// alters has the liar give some of the last frontends another event each than the others. The
// goals are in one entry of the log.
func alters(g *spiedGroup, lie map[string]any, contest string, misled int) {
	g.t.Helper()
	alter := map[string]any{}
	for i, f := range g.honest[len(g.honest)-misled:] {
		name := nameOf(g.said + 1 + uint64(i))
		alter[f.id] = map[string]string{"from": name, "to": "romulus" + name[len("romulus"):]}
	}
	lie["alter"] = alter
	g.tell(lie)
	g.sayUntilRefused(contest, misled)
}

func altersOne(g *spiedGroup, lie map[string]any, contest string) { alters(g, lie, contest, 1) }
func altersAll(g *spiedGroup, lie map[string]any, contest string) { alters(g, lie, contest, 3) }

// reorders posts a goal, which then comes before the event of another source that came first,
// or after one that comes next.
func reorders(g *spiedGroup, lie map[string]any, contest string) {
	g.t.Helper()
	g.tell(lie)
	g.goal(contest, 1)
}

// withholds posts a goal of which plain readers hear when it is sealed.
func withholds(g *spiedGroup, lie map[string]any, contest string) {
	g.t.Helper()
	path, f := laurel.ScorePath(contest), g.honest[0]
	g.tell(lie)
	get(g.t, f.url+path) // it is in memory
	g.goal(contest, 1)
	truth := g.settled(path)
	eventually(g.t, "plain readers hear of a goal", func() error {
		if a := get(g.t, f.url+path); a.body != truth {
			return fmt.Errorf("they get %s", a.body)
		}
		return nil
	})
}

// sendsSnapshot has a frontend miss so much that it is sent a snapshot, which is false.
func sendsSnapshot(g *spiedGroup, lie map[string]any, contest string) {
	t := g.t
	t.Helper()
	late, path := g.honest[len(g.honest)-1], laurel.ScorePath(contest)
	late.Kill()
	for range 4 * soonEntries {
		g.goal(other, 1)
	}
	g.tell(lie)
	truth, err := g.honest[0].own(t, path)
	if err != nil {
		t.Fatal(err)
	}
	late.start()
	eventually(t, late.id+" has the false record", func() error {
		if body, err := late.own(t, path); err != nil || body == truth {
			return fmt.Errorf("it has %s, %v", body, err)
		}
		return nil
	})
	g.readCertified(path, truth, false)
	g.readNow(late, path, truth)
	g.goal(contest, 1) // so that it is sealed
	late.exit(t)
	g.lead(g.honest[0]) // which sends another snapshot
}
