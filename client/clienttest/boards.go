package clienttest

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"

	"laurel/score"
	"laurel/score/ranking"
)

// marks are those of a ranked contest, by split and competitor. It is a score.Marks.
type marks struct {
	least  bool // is best
	splits map[string]map[string]score.Mark
}

func (m *marks) copy() *marks {
	c := &marks{least: m.least, splits: map[string]map[string]score.Mark{}}
	for split, list := range m.splits {
		c.splits[split] = maps.Clone(list)
	}
	return c
}

func (m *marks) Set(split string, mark score.Mark) (total int) {
	if m.splits[split] == nil {
		m.splits[split] = map[string]score.Mark{}
	}
	m.splits[split][mark.Competitor] = mark
	return len(m.splits[split])
}

func (m *marks) board(split string) *ranking.Board {
	b := ranking.New(m.least)
	for _, mark := range m.splits[split] {
		b.Set(mark)
	}
	return b
}

func (m *marks) First(split string, n int) (first []score.Mark, total int) {
	p, _ := m.board(split).Page(&ranking.Query{Limit: n})
	for _, r := range p.Rows {
		first = append(first, m.splits[split][r.Competitor])
	}
	return first, p.Total
}

// marksOf are those of a contest, made if there are none; g.mu is held.
func (g *Group) marksOf(c *score.Contest) *marks {
	m := g.marks[c.ID]
	if m == nil {
		m = &marks{least: c.Definition.LowerIsBetter(), splits: map[string]map[string]score.Mark{}}
		g.marks[c.ID] = m
	}
	return m
}

func (g *Group) leaderboard(w http.ResponseWriter, r *http.Request) {
	id, asked := r.PathValue("contest"), r.URL.Query()
	q := ranking.Query{Category: asked.Get("category"), Around: asked.Get("around"), Limit: 100}
	if n, err := strconv.Atoi(asked.Get("limit")); err == nil {
		q.Limit = n
	}
	var err error
	if q.After, err = ranking.ParseCursor(asked.Get("after")); err != nil {
		problem(w, score.Problemf(score.InvalidEvent, "after: %v", err))
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.contests[id]
	if c == nil || c.Definition.Kind != score.Ranked {
		problem(w, score.Problemf(score.NotFound, "there is no leaderboard of a contest %q", id))
		return
	}
	q.Split = cmp.Or(asked.Get("split"), c.Split, c.Definition.FinalSplit())
	page, ok := g.marksOf(c).board(q.Split).Page(&q)
	if !ok {
		problem(w, score.Problemf(score.NotFound, "%q has no mark at %s", q.Around, q.Split))
		return
	}
	page.ContestID = id
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(page.AppendJSON(nil), '\n'))
}
