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

const (
	crowdEach = 100 // watchers at home at each frontend
	// awayFor is how long the frontend is away, and backWithin by when its watchers are back.
	awayFor    = 5 * time.Second
	backWithin = 20 * time.Second
	// resettled is by when those who lost a frontend are elsewhere: each waits up to 2 s before it connects again.
	resettled = 4 * time.Second
	// evenFor is how long the balance is looked at once it is there.
	evenFor = 5 * time.Second

	// How far from its fair share a frontend may be when all is even, and how far above it ever, once all has settled.
	nearly  = 0.10
	tooMuch = 0.20
)

// TestTheWatchersOfAFrontendThatComesBackAreEvenAgainWithin20s kills one of three frontends under 300 watchers. The table in the log has each count over time.
func TestTheWatchersOfAFrontendThatComesBackAreEvenAgainWithin20s(t *testing.T) {
	slow(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	watchCrowd(g)
	c := &counts{g: g, began: time.Now()}
	defer c.print()
	c.until("all watch, and evenly", patience, func(n []int) bool { return sumOf(n) == 3*crowdEach && spread(n) <= nearly })

	victim := g.frontends[1]
	victim.Kill()
	c.note(victim.id + " is killed")
	died := time.Now()
	c.until("those of "+victim.id+" are elsewhere", patience, func(n []int) bool {
		return time.Since(died) >= resettled && sumOf(n) == 3*crowdEach && above(n) <= tooMuch
	})
	c.while(awayFor-time.Since(died), func(n []int) error {
		if above(n) > tooMuch {
			return fmt.Errorf("one of those that are left has %.0f %% more than its share; want at most %.0f %%: %d", 100*above(n), 100*tooMuch, n)
		}
		return nil
	})

	victim.start().waitReady()
	c.note(victim.id + " is back")
	back := time.Now()
	c.until("even again", backWithin, func(n []int) bool { return sumOf(n) == 3*crowdEach && spread(n) <= nearly })
	t.Logf("even within %.0f %% after %v", 100*nearly, time.Since(back).Round(100*time.Millisecond))
	c.while(evenFor, func(n []int) error {
		if above(n) > tooMuch || spread(n) > nearly {
			return fmt.Errorf("the balance was lost again: %d", n)
		}
		return nil
	})
}

// watchCrowd lets watchers watch, as many at home at each frontend, until the test ends. Each is a client of its own, as in as many programs.
func watchCrowd(g *group) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	transport := laurel.NewTransport(8)
	for i := range crowdEach * len(g.frontends) {
		k := i % len(g.frontends)
		c, err := laurel.New(strings.Split(g.urlsFrom(k), ","), laurel.Options{Home: g.frontends[k].id, Transport: transport})
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

// counts are how many watchers each frontend has, over time.
type counts struct {
	g     *group
	began time.Time
	table strings.Builder
}

const lookEvery = 250 * time.Millisecond

// look asks each running frontend how many it has itself: what it says of others is a moment old.
func (c *counts) look() (n []int) {
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

func (c *counts) note(what string) { c.table.WriteString(what + "\n") }

func (c *counts) print() {
	c.g.t.Helper()
	c.g.t.Logf("watchers at each frontend:\n%s", c.table.String())
}

// until looks until ok, and fails the test if that takes longer than within.
func (c *counts) until(what string, within time.Duration, ok func([]int) bool) {
	c.g.t.Helper()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for end := time.Now().Add(within); ; <-tick.C {
		n := c.look()
		if ok(n) {
			return
		}
		if time.Now().After(end) {
			c.g.t.Fatalf("%s: not within %v: %d", what, within, n)
		}
	}
}

// while looks for some time, and all that time good must have nothing to say.
func (c *counts) while(lasts time.Duration, good func([]int) error) {
	c.g.t.Helper()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for end := time.Now().Add(lasts); time.Now().Before(end); <-tick.C {
		if err := good(c.look()); err != nil {
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

// spread is how far from its share, as a part of that, the frontend is that is farthest from it.
func spread(n []int) (most float64) {
	share := float64(sumOf(n)) / float64(len(n))
	for _, one := range n {
		most = max(most, math.Abs(float64(one)-share)/share)
	}
	return most
}

// above is how far above its share the frontend is that has most.
func above(n []int) (most float64) {
	share := float64(sumOf(n)) / float64(len(n))
	for _, one := range n {
		most = max(most, (float64(one)-share)/share)
	}
	return most
}
