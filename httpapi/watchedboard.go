package httpapi

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/httpapi/watch"
	"laurel/score"
	"laurel/score/ranking"
)

// totalTries is how often the total is looked at again when a board changes between the look for a competitor and the look for the total.
const totalTries = 3

// Board is what a window shows, and at which revision that changed last. Where its competitor has no mark, the total is of the moment when there was none,
// but that in pull mode it may be of a later check. Then the revision is the earlier one: whoever had the later would take the competitor's mark, which
// came with it, for something he had been told already.
func (s watched) Board(ctx context.Context, w *watch.Window) (ranking.Page, uint64, error) {
	around := board{contest: w.ContestID, Query: ranking.Query{Split: w.Split, Category: w.Category, Around: w.Around, Limit: w.Limit}}
	all := around
	all.Around, all.Limit = "", 1
	for try := 1; ; try++ {
		page, revision, err := s.page(ctx, &around)
		if !absent(err) {
			return page, revision, err
		}
		page, at, err := s.page(ctx, &all)
		switch {
		case absent(err):
			return ranking.Page{}, at, nil
		case err != nil:
			return ranking.Page{}, 0, err
		case at == revision || try == totalTries:
			page.Rows = nil
			return page, min(revision, at), nil
		}
	}
}

func absent(err error) bool {
	problem, is := errors.AsType[*score.Problem](err)
	return is && problem.Code == score.NotFound
}

// page answers a question about a leaderboard here, by the rules of the mode. The revision is told beside the problem that there is no such page, too.
func (s watched) page(ctx context.Context, b *board) (ranking.Page, uint64, error) {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	page, revision, _, err := s.group.Board(limited, b.contest, &b.Query)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return page, 0, cache.ErrNotLeased
	case !errors.Is(err, cache.ErrNotLeased) || s.group.CacheMode() != score.Pull:
		return page, revision, err
	}
	e, _, _, err := s.group.Pull(ctx, b.key())
	switch {
	case err != nil:
		return page, 0, err
	case e.Body == nil:
		return page, e.Revision, b.missing()
	}
	var pulled score.Leaderboard
	if err := json.Unmarshal(e.Body, &pulled); err != nil {
		return page, 0, err
	}
	return pageOf(&pulled), e.Revision, nil
}

// pageOf is the page of which l is the answer. It does not tell the place to go on.
func pageOf(l *score.Leaderboard) ranking.Page {
	p := ranking.Page{ContestID: l.ContestID, Split: l.Split, Category: l.Category, Total: l.Total, Rows: make([]ranking.Row, len(l.Rows))}
	for i, r := range l.Rows {
		p.Rows[i] = ranking.Row{Competitor: r.Competitor, Name: r.Name, Organisation: r.Organisation, Category: r.Category, IRM: r.IRM, Rank: r.Rank, RankEqual: r.RankEqual}
		if r.Mark != nil && r.Diff != nil {
			p.Rows[i].Mark, p.Rows[i].Diff = *r.Mark, *r.Diff
		}
	}
	return p
}
