package cache

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// group is a master and its frontends, with one clock and a perfect network. What is sent
// to a silent frontend stays undelivered until it is silent no more.
type group struct {
	t           *testing.T
	now         time.Duration
	master      *Master
	term        uint64
	frontends   map[string]*Frontend
	links       map[string]*Link
	stream      uint64
	undelivered map[string][]Outgoing
	silent      map[string]bool
}

func newGroup(t *testing.T, ids ...string) *group {
	g := &group{t: t, now: time.Hour, frontends: map[string]*Frontend{}, silent: map[string]bool{}}
	for _, id := range ids {
		g.frontends[id] = NewFrontend(1<<20, func() time.Duration { return g.now }, 0)
	}
	g.now += time.Hour // they have been running for an hour
	return g
}

// elect makes a new master and connects everybody to it.
func (g *group) elect(own string, members ...Member) {
	g.term++
	g.master = NewMaster(own, g.term, members, testTimings, true, 0)
	g.links, g.undelivered = map[string]*Link{}, map[string][]Outgoing{}
	for _, one := range members {
		g.connect(one.ID, one.ID == own)
	}
	g.pass(0)
}

func (g *group) connect(id string, own bool) {
	g.stream++
	g.links[id] = g.frontends[id].Open(own)
	g.undelivered[id] = nil
	g.master.StreamOpened(id, g.stream, g.now)
}

func voters(ids ...string) (list []Member) {
	for _, id := range ids {
		list = append(list, Member{id, true})
	}
	return list
}

// deliver delivers messages until none is left, but for those to silent frontends.
func (g *group) deliver() {
	g.t.Helper()
	for again := true; again; {
		again = false
		for _, o := range g.master.Outbox() {
			g.undelivered[o.Member] = append(g.undelivered[o.Member], o)
		}
		for _, id := range slices.Sorted(maps.Keys(g.undelivered)) { // a test is the same each time
			list := g.undelivered[id]
			if g.silent[id] || len(list) == 0 {
				continue
			}
			g.undelivered[id], again = nil, true
			for _, o := range list {
				answer, err := g.links[id].Receive(o.Message, g.term)
				if err != nil {
					g.t.Fatalf("%s refused %T: %v", id, o.Message, err)
				}
				if answer != nil {
					g.receive(id, o.Stream, answer)
				}
			}
		}
	}
}

func (g *group) receive(id string, stream uint64, m Message) {
	g.t.Helper()
	if err := g.master.Receive(id, stream, m, g.now); err != nil {
		g.t.Fatalf("the master refused %T of %s: %v", m, id, err)
	}
}

// pass lets time pass, a millisecond at a time.
func (g *group) pass(d time.Duration) {
	g.t.Helper()
	for end := g.now + d; ; g.now += time.Millisecond {
		g.master.Tick(g.now)
		g.deliver()
		if g.now >= end {
			return
		}
	}
}

// passUntil lets time pass until a condition holds, and returns how long that took.
func (g *group) passUntil(what string, limit time.Duration, so func() bool) time.Duration {
	g.t.Helper()
	for start := g.now; ; g.pass(time.Millisecond) {
		if so() {
			return g.now - start
		}
		if g.now-start > limit {
			g.t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// push pushes one new revision that changes a key.
func (g *group) push(key string) uint64 {
	g.t.Helper()
	to := g.master.pushed + 1
	g.master.Push([]Record{{key, to, []byte(fmt.Sprint(to))}}, nil, to, g.now)
	g.deliver()
	return to
}

func (g *group) leased(id string) bool { return g.frontends[id].State().Lease > 0 }

func (g *group) wantLeased(id string, want bool) {
	g.t.Helper()
	if g.leased(id) != want {
		g.t.Errorf("%s has a lease: %v, want %v", id, !want, want)
	}
}

func (g *group) wantReleased(want uint64) {
	g.t.Helper()
	if got := g.master.Released(); got != want {
		g.t.Errorf("released up to %d, want %d", got, want)
	}
}

// servingGroup returns a group of a, b and c with leases, at revision 10. a is the
// master.
func servingGroup(t *testing.T) *group {
	t.Helper()
	g := newGroup(t, "a", "b", "c")
	g.elect("a", voters("a", "b", "c")...)
	g.master.Ready(10, g.now)
	g.pass(3 * testTimings.Beat)
	for _, id := range []string{"a", "b", "c"} {
		g.wantLeased(id, true)
	}
	return g
}
