package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// electing bounds the time without a master after the loss of one. An election takes a
// second or two, but on a busy machine a frontend may be held up for many.
const electing = 30 * time.Second

// TestLosingTheMasterWhileItSendsALargeSnapshotCostsOneElection loses the master in three
// ways while a frontend that was away receives a large snapshot from it over a slow link.
// The vote of that frontend is needed: the two others must elect a master and accept
// events as after any other loss.
func TestLosingTheMasterWhileItSendsALargeSnapshotCostsOneElection(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	if !inOwnNetwork() {
		if err := runInOwnNetwork(t); err != nil {
			skipOrFail(t, "a link is slow in a network of the test's own: %v", err)
		}
		return
	}
	w := newNetwork(t, members+1)
	if err := w.addLines(); err != nil {
		skipOrFail(t, "slow links: %v", err)
	}
	g := newPlacedGroup(t, w, soon, "LAUREL_LOG_LEVEL=DEBUG")
	g.frontends = g.frontends[:members]
	marks := byForm(9_000, 15_000, 15_000) // 300 bytes each
	const (
		perSecond = 1 << 18 // bytes: a snapshot takes ten seconds and more
		begun     = 1 << 19 // bytes that have come when the master is lost
	)
	revision := g.frontends[0].addMarks(t, marks)
	for _, loss := range []struct {
		what string
		lose func(f *frontend, i int)
		back func(f *frontend, i int)
	}{
		{
			"hangs",
			func(f *frontend, _ int) { f.signal(t, syscall.SIGSTOP) },
			func(f *frontend, _ int) { f.signal(t, syscall.SIGCONT) },
		},
		{
			"is cut off",
			func(_ *frontend, i int) { w.isolate(i, members) },
			func(_ *frontend, i int) { w.reunite(i, members) },
		},
		{
			"dies",
			func(f *frontend, _ int) { f.Kill() },
			func(f *frontend, _ int) { f.start() },
		},
	} {
		var late, old *frontend
		var from, to int
		eventually(t, "a snapshot is on its way from the master", func() error {
			late = g.follower()
			late.Kill()
			revision += g.compactPast(revision)
			old = g.master()
			from, to = slices.Index(g.frontends, old), slices.Index(g.frontends, late)
			w.slow(from, to, perSecond, 2*time.Millisecond)
			before := w.lines[from][to].bytes()
			late.start()
			eventually(t, late.id+" receives a snapshot", func() error {
				got := w.lines[from][to].bytes() - before
				if got < begun && late.count(t, installedSnapshot) == 0 {
					return fmt.Errorf("%d bytes came from %s", got, old.id)
				}
				return nil
			})
			if late.count(t, installedSnapshot) == 0 {
				return nil
			}
			// On a busy machine another master has sent it, over a link that is not slow, or the
			// test was held up.
			w.fast(from, to)
			late.waitReady()
			return fmt.Errorf("%s has installed it already", late.id)
		})
		third := g.frontends[members-from-to]
		loss.lose(old, from)
		lost := time.Now()
		if err := poll(electing, func() error {
			s, err := third.status()
			if err == nil && (s.Master == "" || s.Master == old.id) {
				err = fmt.Errorf("according to %s the master is %q", third.id, s.Master)
			}
			return err
		}); err != nil {
			t.Fatalf("%s %s while it sends a snapshot to %s: no other master within %v: %v",
				old.id, loss.what, late.id, electing, err)
		}
		t.Logf("%s %s: %s has another master after %v",
			old.id, loss.what, third.id, time.Since(lost).Round(time.Millisecond))
		apply(t, third, alert(fmt.Sprintf("without-%d", revision)))
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

// compactPast posts events until every running frontend has dropped the log entries up to
// the given revision, in favour of a snapshot. It returns the number of events.
func (g *group) compactPast(revision uint64) (events uint64) {
	g.t.Helper()
	const enough = 3 * soonEntries // more than the log keeps
	list := g.running()
	before := make([]int, len(list)) // length of each log when there were enough events
	eventually(g.t, "the logs are compacted", func() error {
		for range 8 {
			apply(g.t, list[0], alert(fmt.Sprintf("past-%d-%d", revision, events)))
			events++
		}
		if events < enough {
			return errors.New("too few events")
		}
		for i, f := range list {
			output := f.output(g.t)
			if before[i] == 0 {
				before[i] = len(output)
			}
			// A snapshot that began before has too few of the events.
			_, after, begun := strings.Cut(output[before[i]:], "raft: starting snapshot up to")
			if !begun || !strings.Contains(after, "raft: snapshot complete up to") {
				return fmt.Errorf("%s has no snapshot", f.id)
			}
		}
		return nil
	})
	return events
}

// alert returns an event with an id that changes only the timeline.
func alert(id string) string {
	return fmt.Sprintf(`{"id":%q,"type":"alert","contest_id":%q,"data":{"text":"x"}}`, id, bulk)
}
