package demo

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

func TestEveryEditionOfTheGamesIsNewToAStore(t *testing.T) {
	p := newPlaylist()
	competitions, awards, ids := map[string]bool{}, map[string]bool{}, map[string]bool{}
	seqs := map[string]uint64{}
	var last score.Event
	for len(competitions) < 60 { // beyond the turn of the era
		e, pause := p.next()
		if ids[e.ID] || e.Seq != seqs[e.Source]+1 {
			t.Fatalf("%s has seq %d after %d, its id is known: %t", e.ID, e.Seq, seqs[e.Source], ids[e.ID])
		}
		ids[e.ID], seqs[e.Source] = true, e.Seq
		if pause < 0 || pause > betweenGames || e.Time.After(time.Now()) {
			t.Fatalf("%s of %s comes after a pause of %s", e.ID, e.Time, pause)
		}
		switch d := e.Data.(type) {
		case *score.CompetitionDefine:
			if competitions[e.Competition()] {
				t.Fatalf("%s is there twice", e.Competition())
			}
			competitions[e.Competition()] = true
		case *score.ContestDefine:
			if y := d.StartTime.Year(); y != e.Time.Year() {
				t.Fatalf("%s begins in %d, and is defined in %d", e.ContestID, y, e.Time.Year())
			}
		case *score.MedalAward:
			if awards[d.AwardID] {
				t.Fatalf("the award %s is there twice", d.AwardID)
			}
			awards[d.AwardID] = true
		case *score.MedalRevoke:
			if !awards[d.AwardID] {
				t.Fatalf("%s revokes %s, which is not there", e.ID, d.AwardID)
			}
		case *score.EventVoid:
			if !ids[d.Voids] || d.Voids == e.ID {
				t.Fatalf("%s voids %s, which is not there", e.ID, d.Voids)
			}
		}
		if e.Competition() == last.Competition() && e.Time.Before(last.Time) {
			t.Fatalf("%s is before %s", e.ID, last.ID)
		}
		if !competitions[e.Competition()] {
			t.Fatalf("%s is of %s, which is not defined", e.ID, e.Competition())
		}
		last = e
		b, err := json.Marshal(&e)
		if _, p := score.Decode(b); err != nil || p != nil {
			t.Fatalf("%s: %v %v", b, err, p)
		}
	}
}
