package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// copyData copies the data directory of a stopped frontend.
func (f *frontend) copyData() (dir string) {
	f.group.t.Helper()
	dir = filepath.Join(f.group.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(f.data)); err != nil {
		f.group.t.Fatal(err)
	}
	return dir
}

// forgotten matches the metric of a frontend that forgot.
var forgotten = regexp.MustCompile(`(?m)^laurel_forgotten_entry [1-9]`)

func TestAFrontendWithAnOldDirectoryGivesNoVoteUntilItHasEverythingAgain(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	old := g.follower()
	old.stop()
	dir := old.copyData()
	old.start().waitReady()
	for i := range 5 {
		apply(t, old, play(fmt.Sprintf("play-%d", i), 1))
	}
	g.expectRevision(7) // the others have heard what this one has
	old.stop()
	if err := errors.Join(os.RemoveAll(old.data), os.Rename(dir, old.data)); err != nil {
		t.Fatal(err)
	}
	// On a busy machine the mastership may have moved until now.
	master := g.master()
	var witness *frontend
	for _, f := range g.running() {
		if f != master {
			witness = f
		}
	}
	master.Kill()
	before, _ := witness.status() // it may have been elected just before
	old.start()
	eventually(t, "it shows that it forgot", func() error {
		a, err := ask("GET", old.url+"/metrics", "")
		if err == nil && !forgotten.MatchString(a.body) {
			err = errors.New("it does not")
		}
		return err
	})
	if s, err := witness.status(); err == nil && s.Master != "" && s.Master != master.id && s.Master != before.Master {
		t.Errorf("%s is the master by the vote of one that forgot", s.Master)
	}
	master.start().waitReady()
	old.waitReady()
	g.expectRevision(7)
	g.expectGaul(5)
	eventually(t, "it lacks nothing any more", func() error {
		a, err := ask("GET", old.url+"/metrics", "")
		if err == nil && forgotten.MatchString(a.body) {
			err = errors.New("it does")
		}
		return err
	})
	if text := old.output(t); !strings.Contains(text, "has forgotten what it acknowledged") {
		t.Errorf("its log has no word of it:\n%s", text)
	}
}

// copied copies the directory of a frontend, which is killed for that and started again.
// Later the frontend gets the old copy back, or the copy is started beside it. The other
// two are up all the while.
func (n *nemesis) copied(f *frontend, who string) (what string, undo func()) {
	g := n.g
	f.Kill()
	dir := f.copyData()
	f.start()
	n.awaitAll(f)
	if n.rand.IntN(2) == 0 {
		return "clone " + who, func() {
			clone := &frontend{id: f.id, data: dir, entry: []string{"--join", urls(g.frontends[:members])}, group: g}
			clone.move(freePort(g.t), freePort(g.t))
			clone.start()
			if code := clone.exit(g.t); code != 1 {
				g.t.Errorf("a copy of %s ended with exit code %d; want 1:\n%s", f.id, code, lastLines(clone.output(g.t)))
			}
		}
	}
	return "old directory of " + who, func() {
		if n.died(f) {
			return
		}
		f.Kill()
		if err := errors.Join(os.RemoveAll(f.data), os.Rename(dir, f.data)); err != nil {
			g.t.Fatal(err)
		}
		f.start()
		n.awaitAll(f)
	}
}

var revisionMetric = regexp.MustCompile(`(?m)^laurel_revision ([0-9.e+]+)$`)

// awaitAll waits until a frontend has all that the others had, and votes.
func (n *nemesis) awaitAll(f *frontend) {
	n.g.t.Helper()
	goal := uint64(0)
	for _, other := range n.g.frontends[:members] {
		for _, m := range n.see(other).Frontends {
			goal = max(goal, m.Revision)
		}
	}
	eventually(n.g.t, f.id+" has everything", func() error {
		a, err := ask("GET", f.url+"/metrics", "")
		if err != nil {
			return err
		}
		if found := revisionMetric.FindStringSubmatch(a.body); len(found) == 2 && !forgotten.MatchString(a.body) {
			if has, err := strconv.ParseFloat(found[1], 64); err == nil && uint64(has) >= goal {
				return nil
			}
		}
		return fmt.Errorf("it has not, up to revision %d", goal)
	})
	f.waitReady()
}

// TestEveryHistoryWithOldDirectoriesAndClonesIsLinearizable is
// TestEveryHistoryIsLinearizable with other faults: one member at a time comes back with
// an old copy of its directory, or a copy of it is started beside it.
func TestEveryHistoryWithOldDirectoriesAndClonesIsLinearizable(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	length := byForm(6*time.Second, 12*time.Second, longHistory)
	runs, seed := 1, rand.Uint64N(1_000_000)
	t.Log(rowHead)
	if os.Getenv("LAUREL_LONG") != "" {
		runs = 10
	}
	for i := range uint64(runs) {
		t.Run(fmt.Sprint("seed ", seed+i), func(t *testing.T) { oneHistory(t, nil, seed+i, length, true) })
	}
}

func TestACopyOfAFrontendIsRefusedWhileTheFirstAnswers(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	// The master asks the first one for a second, times the scale: it may be held up.
	g := newGroup(t, 3, "LAUREL_TIME_SCALE=10")
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	first := g.follower()
	first.stop()
	dir := first.copyData()
	first.start().waitReady()
	clone := &frontend{id: first.id, data: dir, entry: []string{"--join", urls(g.frontends)}, group: g}
	clone.move(freePort(t), freePort(t))
	clone.start()
	if code := clone.exit(t); code != 1 {
		t.Errorf("the copy ended with exit code %d; want 1", code)
	}
	if text := clone.output(t); !strings.Contains(text, "another process with the data of this frontend answers at "+first.peer) {
		t.Errorf("the copy does not say why it ends:\n%s", text)
	}
	for i, f := range g.frontends {
		apply(t, f, play(fmt.Sprintf("play-%d", i), 1))
		if m, err := f.member(first.id); err != nil || m.Peer != first.peer {
			t.Errorf("%s has %s at %s, %v; want %s", f.id, first.id, m.Peer, err, first.peer)
		}
	}
	g.expectRevision(5)
}
