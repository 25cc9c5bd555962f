// Package games composes the stone-age Games that `laurel demo` sings: Gaul, Rome, Egypt and Britain meet every summer to curl and
// skate with stones, to throw menhirs, run, chase boars and carry pots, and they do it for ever.
//
// A Composer reads no clock and no random source of the machine: the same seed gives the same events, byte for byte. Every event
// is one that the rules of package score accept in its place.
//
// Read program.go for what is held when, match.go and race.go for how a contest goes.
package games

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"laurel/score"
)

// Composer makes up the Games, one event after the other. It is not safe for concurrent use.
type Composer struct {
	seed  uint64
	held  int // Games that have been composed
	queue []*verse
	seqs  map[string]uint64
	now   time.Time // of the last event, by the clock of the Games
}

// New starts with the Games of 50 BC.
func New(seed uint64) *Composer {
	return &Composer{seed: seed, seqs: make(map[string]uint64)}
}

// How long a bard draws breath before an event: a few events a second, slower where more time passes in the arena.
const (
	leastPause   = 120 * time.Millisecond
	mostPause    = 600 * time.Millisecond
	slowFrom     = 5 * time.Minute // of the Games' clock; from here on a pause is the longest
	betweenGames = 3 * time.Second
)

// Next composes the next event, and says for how long a bard who sings at a lively pace pauses before it. There is always one more.
func (c *Composer) Next() (score.Event, time.Duration) {
	pause := time.Duration(0)
	if len(c.queue) == 0 {
		if c.held > 0 {
			pause = betweenGames
		}
		c.queue = compose(c.seed, c.held)
		c.held++
		c.number()
	} else {
		gap := min(c.queue[0].event.Time.Sub(c.now), slowFrom)
		pause = leastPause + time.Duration(float64(mostPause-leastPause)*gap.Minutes()/slowFrom.Minutes())
	}
	v := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.now = v.event.Time
	return v.event, pause
}

// number puts the Games' events into the order of their times and gives each its place in its bard's song. What refers to another
// event can name it only then.
func (c *Composer) number() {
	slices.SortStableFunc(c.queue, func(a, b *verse) int { return a.event.Time.Compare(b.event.Time) })
	for _, v := range c.queue {
		e := &v.event
		c.seqs[e.Source]++
		e.Seq = c.seqs[e.Source]
		e.ID = fmt.Sprintf("%s-%06d", strings.TrimPrefix(e.Source, "bard/"), e.Seq)
		e.IDGiven, e.TimeGiven = true, true
		if d, ok := e.Data.(*score.EventVoid); ok {
			d.Voids = v.voids.event.ID
		}
	}
}

// verse is an event that has no seq and no id yet.
type verse struct {
	event score.Event
	voids *verse // of an event.void: what it voids
}

// The two bards. Each has a song of its own, counted from 1.
const (
	ofMatches = "bard/cacofonix"
	ofRaces   = "bard/sopranus"
)

// edition is one year's Games while they are composed.
type edition struct {
	id      string
	year    string // "50 BC"
	opening time.Time
	rnd     *rand.Rand
	verses  []*verse
}

// compose writes all events of the nth Games (from 0), in no order.
func compose(seed uint64, n int) []*verse {
	e := &edition{
		id: competition(n), year: year(n), opening: opening(n),
		rnd: rand.New(rand.NewPCG(seed, uint64(n))),
	}
	e.program()
	return e.verses
}

// yearBC is the year of the first Games.
const yearBC = 50

// year names the year of the nth Games. There was no year 0.
func year(n int) string {
	if n < yearBC {
		return fmt.Sprintf("%d BC", yearBC-n)
	}
	return fmt.Sprintf("AD %d", n-yearBC+1)
}

// competition is the id of the nth Games: OG50BC, OG49BC ... OG1BC, OG1AD ...
func competition(n int) string {
	if n < yearBC {
		return fmt.Sprintf("OG%dBC", yearBC-n)
	}
	return fmt.Sprintf("OG%dAD", n-yearBC+1)
}

// The calendar of the Games counts the years from the founding of Rome, as the Romans did: RFC 3339 has none before the year 1,
// and 50 BC was the city's 704th. A thousand years on the calendar starts again, so that no event is ever ahead of today's clock.
const (
	yearAUC  = 704
	calendar = 1000
)

func opening(n int) time.Time {
	return time.Date(yearAUC+n%calendar, time.June, 21, 8, 0, 0, 0, time.UTC)
}

func (e *edition) say(at time.Time, source string, t score.Type, contestID string, d score.Data) *verse {
	v := &verse{event: score.Event{Source: source, Type: t, Time: at, ContestID: contestID, Data: d}}
	e.verses = append(e.verses, v)
	return v
}

// chance is true in p of 100 cases.
func (e *edition) chance(p int) bool { return e.rnd.IntN(100) < p }

// between is a whole number of seconds from least to most.
func (e *edition) between(least, most time.Duration) time.Duration {
	return least + time.Duration(e.rnd.Int64N(int64((most-least)/time.Second)+1))*time.Second
}

func pick[T any](e *edition, list []T) T { return list[e.rnd.IntN(len(list))] }

// shuffled is a copy of list in another order.
func shuffled[T any](e *edition, list []T) []T {
	list = slices.Clone(list)
	e.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// totals of two competitors, by code as a decoder keeps them.
func totals(a string, na score.Decimal, b string, nb score.Decimal) score.Totals {
	t := score.Totals{{Code: a, Value: na}, {Code: b, Value: nb}}
	slices.SortFunc(t, func(x, y score.Total) int { return cmp.Compare(x.Code, y.Code) })
	return t
}
