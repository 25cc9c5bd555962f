package clienttest

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"laurel/score"
	"laurel/score/ranking"

	"github.com/go-json-experiment/json/jsontext"
)

// told is what a stream has said of a window.
type told struct {
	total int
	rows  map[string]string
	order []string
}

// window is what of a leaderboard is to be said to a stream, and whether that is anything; g.mu is held.
func (g *Group) window(q url.Values, id string, said map[string]told) (map[string]any, bool) {
	asked := ranking.Query{Category: q.Get("category"), Around: q.Get("around"), Limit: 10}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil {
		asked.Limit = n
	}
	var page ranking.Page
	revision := uint64(len(g.accepted))
	if c := g.contests[id]; c != nil && c.Definition.Kind == score.Ranked {
		asked.Split = cmp.Or(q.Get("split"), c.Split, c.Definition.FinalSplit())
		board, there := g.marksOf(c).board(asked.Split), false
		if page, there = board.Page(&asked); !there {
			asked.Around = ""
			page, _ = board.Page(&asked)
			page.Rows = nil
		}
		revision = c.Revision
	}
	before, begun := said[id]
	now := told{total: page.Total, rows: map[string]string{}, order: []string{}}
	rows := []jsontext.Value{}
	for i := range page.Rows {
		code, row := page.Rows[i].Competitor, string(page.Rows[i].AppendJSON(nil))
		now.order, now.rows[code] = append(now.order, code), row
		if before.rows[code] != row {
			rows = append(rows, jsontext.Value(row))
		}
	}
	said[id] = now
	changed := !begun || before.total != now.total || !maps.Equal(before.rows, now.rows) || !slices.Equal(before.order, now.order)
	w := map[string]any{"contest_id": id, "split": page.Split, "total": page.Total, "revision": revision, "order": now.order, "rows": rows}
	for _, name := range []string{"category", "around"} {
		if q.Get(name) != "" {
			w[name] = q.Get(name)
		}
	}
	return w, changed
}

// windows are the windows of which there is something to say; g.mu is held.
func (g *Group) windows(q url.Values, said map[string]told) []map[string]any {
	list := []map[string]any{}
	for _, id := range q["leaderboard"] {
		if w, changed := g.window(q, id, said); changed {
			list = append(list, w)
		}
	}
	return list
}
