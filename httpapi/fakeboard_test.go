package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"laurel/cache"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/ranking"
)

const race = "OG50BC/MAR"

// fakeBoards has one leaderboard, that of race.
type fakeBoards struct {
	revision uint64
	splits   map[string]*ranking.Board
	soon     func(context.Context) bool // returned by BoardNow
}

// raced returns a leaderboard with two splits, a shared first rank and a competitor that did not finish.
func raced() *fakeBoards {
	b := &fakeBoards{revision: 290, splits: map[string]*ranking.Board{"10 km": ranking.New(true), "finish": ranking.New(true)}}
	for i, code := range []string{"2888", "31", "7", "42"} {
		category := []string{"M", "W"}[i%2]
		b.splits["10 km"].Set(score.Mark{Competitor: code, Value: score.Points(int64(1900 + 10*i)), Category: category})
		b.splits["finish"].Set(score.Mark{Competitor: code, Value: score.Points(int64(8000 + 10*(i/2))), Category: category, Organisation: "GAU"})
	}
	b.splits["finish"].Set(score.Mark{Competitor: "99", IRM: "DNF"})
	return b
}

func (b *fakeBoards) page(contestID string, q *ranking.Query) (p ranking.Page, revision uint64, err error) {
	split := cmp.Or(q.Split, "finish")
	switch marks := b.splits[split]; {
	case contestID != race:
		return p, 8130, score.Problemf(score.NotFound, "the contest %q is not defined", contestID)
	case marks == nil:
		problem := score.Problemf(score.InvalidEvent, "the contest has no split %q; want one of 10 km, finish", q.Split)
		problem.Field = "split"
		return p, b.revision, problem
	default:
		p, ok := marks.Page(q)
		if !ok {
			return p, b.revision, score.Problemf(score.NotFound, "%q has no mark at %s", q.Around, split)
		}
		p.ContestID, p.Split = contestID, split
		for i := range p.Rows {
			if p.Rows[i].Competitor == "2888" {
				p.Rows[i].Name = "Obelix\t\x1b[31m"
			}
		}
		return p, b.revision, nil
	}
}

func (g *fakeGroup) Board(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, how string, err error) {
	if !g.leased() {
		return p, 0, "", cache.ErrNotLeased
	}
	if g.read != nil {
		if err := g.read(ctx); err != nil {
			return p, 0, "", err
		}
	}
	if g.board != nil {
		g.board()
	}
	p, revision, err = g.boards.page(contestID, q)
	return p, revision, cache.Hit, err
}

func (g *fakeGroup) BoardNow(contestID string, q *ranking.Query) (p ranking.Page, revision uint64, ok bool, soon func(context.Context) bool) {
	if !g.leased() || g.read != nil {
		return p, 0, false, nil
	}
	p, revision, err := g.boards.page(contestID, q)
	return p, revision, err == nil && g.boards.soon == nil, g.boards.soon
}

func (g *fakeGroup) StaleBoard(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, age time.Duration, known bool, err error) {
	p, revision, err = g.boards.page(contestID, q)
	return p, revision, g.age, !g.unknown, err
}

// answered returns the answer to a key, as the master makes it for another frontend.
func (g *fakeGroup) answered(key string) (body []byte, revision uint64, err error) {
	q, err := question.ByKey(key)
	switch {
	case err != nil:
		return nil, 0, err
	case q.Board != nil:
		p, revision, problem := g.boards.page(q.Board.Contest, &q.Board.Query)
		return q.Board.Body(&p, revision, problem)
	case q.Ask != nil:
		return q.Ask(g.records)
	}
	return nil, 0, fmt.Errorf("%s asks for nothing", key)
}
