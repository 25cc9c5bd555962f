package e2e

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	laurel "laurel/client"
)

var (
	// watchersPerHome is the number of watchers at home at each frontend.
	watchersPerHome = byForm(40, 100, 100)
	// backWithin is the time in which the watchers of a frontend return when it is back.
	// Only the long form has the machine for itself.
	backWithin = byForm(patience, patience, 20*time.Second)
)

const (
	// awayFor is the time for which the frontend is away.
	awayFor = 5 * time.Second
	// resettled is the time in which clients that lost a frontend connect elsewhere: each
	// waits up to 2 s.
	resettled = 4 * time.Second

	// nearly is the largest deviation from a fair share when the watchers are balanced,
	// tooMuch the largest excess at any time once they have settled. A frontend may have
	// minExcess watchers more than that: it then keeps a new one.
	nearly    = 0.10
	tooMuch   = 0.20
	minExcess = 10
)

// TestWatchersAreBalancedAgainWithin20sAfterAFrontendReturns kills one of three frontends
// under 300 watchers (120 in the quick form). The table in the log has each count over
// time.
func TestWatchersAreBalancedAgainWithin20sAfterAFrontendReturns(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	startWatchers(g)
	c := &watcherCounts{g: g, began: time.Now()}
	defer c.print()
	c.await("all watch, and evenly", patience,
		func(n []int) bool { return sumOf(n) == 3*watchersPerHome && spread(n) <= nearly })

	victim := g.frontends[1]
	victim.Kill()
	c.note(victim.id + " is killed")
	died := time.Now()
	c.await("those of "+victim.id+" are elsewhere", patience, func(n []int) bool {
		return time.Since(died) >= resettled && sumOf(n) == 3*watchersPerHome && above(n) <= tooMuch
	})
	c.holds(awayFor-time.Since(died), func(n []int) error {
		if above(n) > tooMuch {
			return fmt.Errorf("one of those that are left has %.0f %% more than its share; want at most %.0f %%: %d",
				100*above(n), 100*tooMuch, n)
		}
		return nil
	})

	victim.start().waitReady()
	c.note(victim.id + " is back")
	back := time.Now()
	c.await("even again", backWithin, func(n []int) bool {
		return sumOf(n) == 3*watchersPerHome &&
			spread(n) <= nearly
	})
	t.Logf("even within %.0f %% after %v", 100*nearly, time.Since(back).Round(100*time.Millisecond))
	c.holds(byForm(time.Second, 5*time.Second, 5*time.Second), func(n []int) error {
		if above(n) > tooMuch || spread(n) > nearly {
			return fmt.Errorf("the balance was lost again: %d", n)
		}
		return nil
	})
}

// startWatchers runs watchers until the test ends, the same number at home at each
// frontend. Each is a client of its own, as in a program of its own.
func startWatchers(g *group) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	transport := laurel.NewTransport(8)
	for i := range watchersPerHome * len(g.frontends) {
		k := i % len(g.frontends)
		c, err := laurel.New(strings.Split(g.urlsFrom(k), ","),
			laurel.Options{Home: g.frontends[k].id, Transport: transport})
		if err != nil {
			g.t.Fatal(err)
		}
		watching.Go(func() {
			defer c.Close()
			for _, err := range c.Watch(ctx, laurel.WatchOptions{Competitions: []string{"OG50BC"}}) {
				if err != nil {
					g.t.Errorf("a watch ended: %v", err)
				}
			}
		})
	}
	g.t.Cleanup(func() {
		cancel()
		watching.Wait()
		transport.CloseIdleConnections()
	})
}

// watcherCounts records the number of watchers of each frontend over time.
type watcherCounts struct {
	g     *group
	began time.Time
	table strings.Builder
}

const lookEvery = 250 * time.Millisecond

// sample asks each running frontend for its own number of watchers; what it knows of
// others is older.
func (c *watcherCounts) sample() (n []int) {
	fmt.Fprintf(&c.table, "%7.2f s", time.Since(c.began).Seconds())
	for _, f := range c.g.frontends {
		m, err := f.member(f.id)
		if f.Ended() || err != nil {
			c.table.WriteString("     -")
			continue
		}
		fmt.Fprintf(&c.table, " %5d", m.Watchers)
		n = append(n, m.Watchers)
	}
	c.table.WriteByte('\n')
	return n
}

func (c *watcherCounts) note(what string) { c.table.WriteString(what + "\n") }

func (c *watcherCounts) print() {
	c.g.t.Helper()
	c.g.t.Logf("watchers at each frontend:\n%s", c.table.String())
}

// await samples until ok, and fails the test if that takes too long.
func (c *watcherCounts) await(what string, within time.Duration, ok func([]int) bool) {
	c.g.t.Helper()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for end := time.Now().Add(within); ; <-tick.C {
		n := c.sample()
		if ok(n) {
			return
		}
		if time.Now().After(end) {
			c.g.t.Fatalf("%s: not within %v: %d", what, within, n)
		}
	}
}

// holds samples for some time, and fails the test if check returns an error. Watchers leave a
// frontend that a busy machine holds up, so beside other tests it is enough if check is
// content again afterwards.
func (c *watcherCounts) holds(lasts time.Duration, check func([]int) error) {
	c.g.t.Helper()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	end := time.Now().Add(lasts)
	last := end.Add(byForm(patience, patience, 0))
	for ; ; <-tick.C {
		err, now := check(c.sample()), time.Now()
		switch {
		case err == nil && now.After(end):
			return
		case err != nil && (now.After(last) || last.Equal(end)):
			c.g.t.Fatal(err)
		}
	}
}

func sumOf(n []int) (total int) {
	for _, one := range n {
		total += one
	}
	return total
}

// spread returns the largest deviation from a fair share, as a fraction of it.
func spread(n []int) (most float64) {
	share := float64(sumOf(n)) / float64(len(n))
	for _, one := range n {
		most = max(most, math.Abs(float64(one)-share)/share)
	}
	return most
}

// above returns the largest excess over a fair share, less minExcess, as a fraction of
// the share.
func above(n []int) (most float64) {
	share := float64(sumOf(n)) / float64(len(n))
	for _, one := range n {
		most = max(most, (float64(one)-minExcess-share)/share)
	}
	return most
}
