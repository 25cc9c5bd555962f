package demo

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"laurel/score"
	"laurel/testdata/games"
)

// playlist repeats the Games of 50 BC without end. Each repetition is a competition of
// its own, a year later, so that every event of it is new to the store.
type playlist struct {
	edition int // number of editions that have begun
	queue   []score.Event
	seqs    map[string]uint64 // by source, the last one used
	last    time.Time         // of the last event
}

func newPlaylist() *playlist { return &playlist{seqs: make(map[string]uint64)} }

// Pauses at speed 1: a few events a second, slower where more time passes in the arena.
const (
	minPause     = 120 * time.Millisecond
	maxPause     = 600 * time.Millisecond
	maxPauseFrom = 5 * time.Minute // between the times of two events; from here on the pause is maxPause
	betweenGames = 3 * time.Second
)

// next returns the next event and the pause before it.
func (p *playlist) next() (score.Event, time.Duration) {
	pause := time.Duration(0)
	if len(p.queue) == 0 {
		if p.edition > 0 {
			pause = betweenGames
		}
		p.queue = p.events(p.edition)
		p.edition++
	} else {
		gap := min(p.queue[0].Time.Sub(p.last), maxPauseFrom)
		pause = minPause + time.Duration(float64(maxPause-minPause)*gap.Minutes()/maxPauseFrom.Minutes())
	}
	e := p.queue[0]
	p.queue = p.queue[1:]
	p.last = e.Time
	return e, pause
}

// events returns the events of the nth edition, counted from 0, with the seqs and ids
// that follow those of the edition before.
func (p *playlist) events(n int) []score.Event {
	competition, year := edition(n)
	text := strings.NewReplacer("OG50BC", competition, "50 BC", year).Replace(string(games.OG50BC))
	var list []score.Event
	ids := map[string]string{} // by the id in the file
	for line := range bytes.Lines([]byte(text)) {
		e, problem := score.Decode(bytes.TrimSpace(line))
		if problem != nil {
			panic("the embedded Games are invalid: " + problem.Error())
		}
		p.seqs[e.Source]++
		e.Seq = p.seqs[e.Source]
		id := fmt.Sprintf("%s-%06d", strings.TrimPrefix(e.Source, "bard/"), e.Seq)
		ids[e.ID], e.ID = id, id
		e.Time = shift(e.Time, n)
		switch d := e.Data.(type) {
		case *score.ContestDefine:
			d.StartTime = shift(d.StartTime, n)
		case *score.EventVoid:
			d.Voids = ids[d.Voids]
		}
		list = append(list, e)
	}
	return list
}

// edition returns the id and the year of the nth edition: OG50BC, OG49BC ... OG1BC, OG1AD
// ... There was no year 0.
func edition(n int) (competition, year string) {
	const first = 50 // BC
	if n < first {
		return fmt.Sprintf("OG%dBC", first-n), fmt.Sprintf("%d BC", first-n)
	}
	return fmt.Sprintf("OG%dAD", n-first+1), fmt.Sprintf("AD %d", n-first+1)
}

// calendar is the number of years after which the calendar of the Games begins again, so
// that no event is ahead of the clock. The file counts years from the founding of Rome,
// as RFC 3339 has none before the year 1.
const calendar = 1000

func shift(t time.Time, years int) time.Time { return t.AddDate(years%calendar, 0, 0) }
