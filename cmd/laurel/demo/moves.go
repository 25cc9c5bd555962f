package demo

import (
	"slices"
	"time"
)

// move is that clients leave a frontend that died, or return to one that is back.
type move struct {
	homeward bool
	clients  []*spectator
	began    time.Time
}

const (
	// awayWithin and homeWithin are the times after which a move that is not finished is
	// printed. A stream waits up to 2 s before it continues elsewhere; clients return
	// home one after the other.
	awayWithin = 10 * time.Second
	homeWithin = 25 * time.Second
	// leftBefore is how long before the death of a frontend its clients may have left it:
	// one that is told to stop takes its time.
	leftBefore = 6 * time.Second
)

// frontendDown begins the move of the clients of a frontend that has died.
func (a *audience) frontendDown(id string, now time.Time) {
	a.beginMove(id, false, now, func(s *spectator) bool {
		justLeft := s.previous == id && s.last != s.home && now.Sub(s.since) < leftBefore
		return s.last == id || justLeft
	})
}

// frontendUp begins the return of the clients whose home is back. The first may have
// found it already.
func (a *audience) frontendUp(id string, now time.Time) {
	a.beginMove(id, true, now, func(s *spectator) bool { return s.home == id })
}

// beginMove replaces the move of a frontend by one of the selected clients.
func (a *audience) beginMove(id string, homeward bool, now time.Time, selected func(*spectator) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &move{homeward: homeward, began: now}
	for _, s := range a.spectators {
		if selected(s) {
			m.clients = append(m.clients, s)
		}
	}
	if delete(a.moves, id); len(m.clients) > 0 {
		a.moves[id] = m
	}
}

// moveResult is the result of a move.
type moveResult struct {
	frontend       string // that was left or returned to
	homeward       bool
	clients, moved int
	to             []string // the frontends that serve those that have moved
	took           time.Duration
}

// finishedMoves returns and forgets the moves that are complete or have taken too long.
func (a *audience) finishedMoves(now time.Time) (list []moveResult) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, m := range a.moves {
		r := moveResult{frontend: id, homeward: m.homeward, clients: len(m.clients)}
		for _, s := range m.clients {
			if s.at == "" || (s.at == id) != m.homeward {
				continue
			}
			r.moved++
			r.took = max(r.took, s.since.Sub(m.began))
			if !slices.Contains(r.to, s.at) {
				r.to = append(r.to, s.at)
			}
		}
		within := awayWithin
		if m.homeward {
			within = homeWithin
		}
		if r.moved < r.clients {
			if now.Sub(m.began) < within {
				continue
			}
			r.took = within
		}
		slices.Sort(r.to)
		list = append(list, r)
		delete(a.moves, id)
	}
	return list
}
