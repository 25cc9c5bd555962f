package demo

import (
	"slices"
	"time"
)

// journey is that spectators leave a frontend that has gone, or come home to one that is back.
type journey struct {
	homeward bool
	who      []*spectator
	begun    time.Time
}

const (
	// moveWithin and homeWithin are after what time a journey is told of that is not over. A stream waits up to 2 s before it goes on
	// elsewhere; those who come home do so one after the other.
	moveWithin = 10 * time.Second
	homeWithin = 25 * time.Second
	// justNow is how long ago a spectator may have left a frontend because that was going: one that is told to end takes its time.
	justNow = 6 * time.Second
)

// gone notes that a frontend has gone, so that those whom it served have to move.
func (a *audience) gone(id string, now time.Time) {
	a.begin(id, false, now, func(s *spectator) bool {
		return s.last == id || s.from == id && s.last != s.home && now.Sub(s.since) < justNow
	})
}

// back notes that a frontend is back, so that those whose home it is can come. The first of them may have found that out before.
func (a *audience) back(id string, now time.Time) {
	a.begin(id, true, now, func(s *spectator) bool { return s.home == id })
}

// begin begins the journey of those who take part, instead of any that has to do with the same frontend.
func (a *audience) begin(id string, homeward bool, now time.Time, takesPart func(*spectator) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := &journey{homeward: homeward, begun: now}
	for _, s := range a.spectators {
		if takesPart(s) {
			j.who = append(j.who, s)
		}
	}
	if delete(a.journeys, id); len(j.who) > 0 {
		a.journeys[id] = j
	}
}

// outcome is what became of a journey.
type outcome struct {
	frontend    string // that was left, or come home to
	homeward    bool
	of, arrived int
	to          []string // where those are who have arrived
	took        time.Duration
}

// outcomes are the journeys that are over, or have gone on for long enough; each is told once.
func (a *audience) outcomes(now time.Time) (list []outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, j := range a.journeys {
		o := outcome{frontend: id, homeward: j.homeward, of: len(j.who)}
		for _, s := range j.who {
			if s.at == "" || (s.at == id) != j.homeward {
				continue
			}
			o.arrived++
			o.took = max(o.took, s.since.Sub(j.begun))
			if !slices.Contains(o.to, s.at) {
				o.to = append(o.to, s.at)
			}
		}
		within := moveWithin
		if j.homeward {
			within = homeWithin
		}
		if o.arrived < o.of {
			if now.Sub(j.begun) < within {
				continue
			}
			o.took = within
		}
		slices.Sort(o.to)
		list = append(list, o)
		delete(a.journeys, id)
	}
	return list
}
