package clienttest

import (
	"net/http"

	"laurel/score"
)

// award is a medal with the revision that brought it.
type award struct {
	score.MedalAward
	revision uint64
}

func (g *Group) award(contest string, d *score.MedalAward, revision uint64) {
	competition := score.CompetitionOf(contest)
	if g.medals[competition] == nil {
		g.medals[competition] = map[string]*award{}
	}
	g.medals[competition][d.AwardID] = &award{*d, revision}
}

// table counts a competition's medals; g.mu is held.
func (g *Group) table(competition string) score.Medals {
	t := score.MedalTable{Competition: competition}
	for _, a := range g.medals[competition] {
		t.AddOrganisation(a.Organisation)
		for i := range t.Counts {
			c := &t.Counts[i]
			switch {
			case c.Organisation != a.Organisation:
			case a.Medal == "GOLD":
				c.Gold++
			case a.Medal == "SILVER":
				c.Silver++
			default:
				c.Bronze++
			}
		}
		t.Revision = max(t.Revision, a.revision)
	}
	return t.Medals()
}

func (g *Group) medalTable(w http.ResponseWriter, r *http.Request) {
	competition := r.PathValue("competition")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.medals[competition] == nil {
		problem(w, score.Problemf(score.NotFound, "there is no competition %q", competition))
		return
	}
	answer(w, g.table(competition))
}
