package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"laurel/httpapi/web"
	"laurel/score"
	"laurel/score/ranking"
)

// boardQuestion reads a question about a leaderboard.
func boardQuestion(q url.Values) (*ranking.Query, error) {
	after, err := ranking.ParseCursor(q.Get("after"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	return &ranking.Query{Split: q.Get("split"), Category: q.Get("category"), Limit: max(limit, 1), After: after, Around: q.Get("around")}, err
}

func (f *fakeFront) leaderboard(w http.ResponseWriter, r *http.Request) {
	q, err := boardQuestion(r.URL.Query())
	var p ranking.Page
	if err == nil {
		p, _, err = f.site.machine.Board(r.Context(), r.PathValue("contest"), q)
	}
	var problem *score.Problem
	switch {
	case errors.As(err, &problem) && problem.Code == score.NotFound:
		http.Error(w, problem.Detail, http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(p.AppendJSON(nil))
	}
}

// fakeBoard is what a stream has told of its board.
type fakeBoard struct {
	told  bool
	total int
	rows  []ranking.Row
}

// data is what there is of the competitions that are watched: all, if none is named.
func (o *eventStream) data() web.Data {
	d := o.front.site.data(o.front)
	if named := o.query["competition"]; len(named) > 0 {
		d.Scores = slices.DeleteFunc(d.Scores, func(r score.Record) bool { return !slices.Contains(named, r.Competition) })
		d.Medals = slices.DeleteFunc(d.Medals, func(m score.Medals) bool { return !slices.Contains(named, m.Competition) })
	}
	return d
}

// leaderboard tells what is new of the board that the stream carries, if it carries one.
func (o *eventStream) leaderboard() {
	contest := o.query.Get("leaderboard")
	if contest == "" {
		return
	}
	q, err := boardQuestion(o.query)
	if err != nil {
		o.err = err
		return
	}
	p, revision, err := o.front.site.machine.Board(o.front.site.t.Context(), contest, q)
	if err != nil && q.Around != "" {
		all := *q
		all.Around, all.Limit = "", 1
		p, revision, err = o.front.site.machine.Board(o.front.site.t.Context(), contest, &all)
		p.Rows = nil
	}
	if err != nil {
		o.err = err
		return
	}
	if o.board.told && o.board.total == p.Total && slices.Equal(o.board.rows, p.Rows) {
		return
	}
	order, changed := []string{}, ranking.Page{}
	for _, r := range p.Rows {
		order = append(order, r.Competitor)
		if !slices.Contains(o.board.rows, r) {
			changed.Rows = append(changed.Rows, r)
		}
	}
	o.board = fakeBoard{true, p.Total, p.Rows}
	rows := []fakeRow{}
	for i := range changed.Rows {
		rows = append(rows, fakeRow{&changed.Rows[i]})
	}
	o.send("leaderboard", map[string]any{"contest_id": contest, "split": p.Split, "category": q.Category, "around": q.Around, "total": p.Total,
		"revision": revision, "order": order, "rows": rows})
}

type fakeRow struct{ *ranking.Row }

func (r fakeRow) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }
