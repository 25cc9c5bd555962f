package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// electing bounds how long the rest of a group may have no master after it lost one. An election
// takes a second or two.
const electing = 10 * time.Second

// TestAMasterLostWhileItSendsALargeSnapshotCostsOneElection loses the master in three ways while a
// frontend that was away receives a large snapshot from it over a slow link. That frontend's vote
// is needed: the other two frontends must elect a master and take events as after any other loss.
func TestAMasterLostWhileItSendsALargeSnapshotCostsOneElection(t *testing.T) {
	slow(t)
	if !inside() {
		if err := again(t); err != nil {
			unable(t, "a link is slow in a network of the test's own: %v", err)
		}
		return
	}
	w := newNetwork(t, members+1)
	if err := w.lay(); err != nil {
		unable(t, "slow links: %v", err)
	}
	g := newPlacedGroup(t, w, soon, "LAUREL_LOG_LEVEL=DEBUG")
	g.frontends = g.frontends[:members]
	const (
		marks     = 15_000  // 4.5 MB
		perSecond = 1 << 20 // bytes: more than four seconds for a snapshot
		begun     = 1 << 19 // bytes that have come when the master is lost
	)
	revision := g.frontends[0].fatten(t, marks)
	for _, loss := range []struct {
		what string
		lose func(f *frontend, i int)
		back func(f *frontend, i int)
	}{
		{"hangs", func(f *frontend, _ int) { f.signal(t, syscall.SIGSTOP) }, func(f *frontend, _ int) { f.signal(t, syscall.SIGCONT) }},
		{"is cut off", func(_ *frontend, i int) { w.isolate(i, members) }, func(_ *frontend, i int) { w.reunite(i, members) }},
		{"dies", func(f *frontend, _ int) { f.kill() }, func(f *frontend, _ int) { f.start() }},
	} {
		old, late := g.master(), g.follower()
		from, to := slices.Index(g.frontends, old), slices.Index(g.frontends, late)
		third := g.frontends[members-from-to]
		late.kill()
		revision += old.compactPast(t, revision)
		w.slow(from, to, perSecond, 2*time.Millisecond)
		before := w.lines[from][to].bytes()
		late.start()
		eventually(t, late.id+" receives a snapshot", func() error {
			if got := w.lines[from][to].bytes() - before; got < begun {
				return fmt.Errorf("%d bytes came from %s", got, old.id)
			}
			return nil
		})
		if n := late.count(t, installedSnapshot); n > 0 {
			t.Fatalf("%s has installed %d snapshots already; the link is too fast", late.id, n)
		}
		loss.lose(old, from)
		lost := time.Now()
		if err := poll(electing, func() error {
			s, err := third.seen()
			if err == nil && (s.Master == "" || s.Master == old.id) {
				err = fmt.Errorf("%s says that the master is %q", third.id, s.Master)
			}
			return err
		}); err != nil {
			t.Fatalf("%s %s while it sends a snapshot to %s: no other master within %v: %v", old.id, loss.what, late.id, electing, err)
		}
		t.Logf("%s %s: %s has another master after %v", old.id, loss.what, third.id, time.Since(lost).Round(time.Millisecond))
		event := fmt.Sprintf(`{"id":"without-%d","type":"alert","contest_id":%q,"data":{"text":"the master is gone"}}`, revision, bulk)
		eventually(t, third.id+" takes an event", func() error {
			a, err := ask("POST", third.url+"/v1/events", event, "Content-Type", "application/json")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
		revision++
		t.Logf("an event was acked after %v", time.Since(lost).Round(time.Millisecond))
		loss.back(old, from)
		w.fast(from, to)
		for _, f := range g.frontends {
			f.waitReady()
		}
		g.expectRevision(revision)
	}
}

// compactPast posts events until f has dropped the log entries up to the given revision from its
// log, in favour of a snapshot. It returns the number of events.
func (f *frontend) compactPast(t testing.TB, revision uint64) (events uint64) {
	t.Helper()
	const enough = 3 * soonEntries // more than the log keeps
	before := -1
	eventually(t, f.id+" compacts its log", func() error {
		for range 8 {
			apply(t, f, fmt.Sprintf(`{"id":"past-%d-%d","type":"alert","contest_id":%q,"data":{"text":"x"}}`, revision, events, bulk))
			events++
		}
		if events < enough {
			return errors.New("too few events")
		}
		said := f.said(t)
		if before < 0 {
			before = len(said)
		}
		// A snapshot that was begun before has too few of the events.
		_, after, begun := strings.Cut(said[before:], "raft: starting snapshot up to")
		if !begun || !strings.Contains(after, "raft: compacting logs") {
			return errors.New("no snapshot")
		}
		return nil
	})
	return events
}
