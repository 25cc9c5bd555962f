package httpapi

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/httpapi/question"
	"laurel/httpapi/watch"
	"laurel/score"
	"laurel/score/ranking"
)

// maxTotalReads bounds how often the total is read again because the leaderboard changed
// between the search for a competitor and the read of the total.
const maxTotalReads = 3

// Board returns the rows of a window and the revision that last changed them. If the
// window's competitor has no mark, the total is that of the same revision; in pull mode
// it may be of a later one. Then the earlier revision is returned: with the later one,
// the watcher would not be sent the competitor's mark that came with it.
func (s watchStore) Board(ctx context.Context, w *watch.Window) (ranking.Page, uint64, error) {
	around := question.BoardQuery{Contest: w.ContestID, Query: ranking.Query{
		Split: w.Split, Category: w.Category, Around: w.Around, Limit: w.Limit,
	}}
	all := around
	all.Around, all.Limit = "", 1
	for try := 1; ; try++ {
		page, revision, err := s.page(ctx, &around)
		if score.CodeOf(err) != score.NotFound {
			return page, revision, err
		}
		page, at, err := s.page(ctx, &all)
		switch {
		case score.CodeOf(err) == score.NotFound:
			return ranking.Page{}, at, nil
		case err != nil:
			return ranking.Page{}, 0, err
		case at == revision || try == maxTotalReads:
			page.Rows = nil
			return page, min(revision, at), nil
		}
	}
}

// page answers a question about a leaderboard by the rules of the mode. The revision is
// valid with the problem that there is no such page, too.
func (s watchStore) page(ctx context.Context, b *question.BoardQuery) (ranking.Page, uint64, error) {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, revision, _, err := s.api.group.Reader.Board(limited, b.Contest, &b.Query)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return page, 0, cache.ErrNotLeased
	case !errors.Is(err, cache.ErrNotLeased) || s.api.group.Status.CacheMode() != score.Pull:
		return page, revision, err
	}
	e, _, _, err := s.api.group.Reader.Pull(ctx, b.Key())
	switch {
	case err != nil:
		return page, 0, err
	case e.Body == nil:
		return page, e.Revision, b.Missing()
	}
	var pulled score.Leaderboard
	if err := json.Unmarshal(e.Body, &pulled); err != nil {
		return page, 0, err
	}
	return pageOf(&pulled), e.Revision, nil
}

// pageOf returns the page that l was made from, without its next.
func pageOf(l *score.Leaderboard) ranking.Page {
	p := ranking.Page{
		ContestID: l.ContestID,
		Split:     l.Split,
		Category:  l.Category,
		Total:     l.Total,
		Rows:      make([]ranking.Row, len(l.Rows)),
	}
	for i, r := range l.Rows {
		p.Rows[i] = ranking.Row{
			Competitor:   r.Competitor,
			Name:         r.Name,
			Organisation: r.Organisation,
			Category:     r.Category,
			IRM:          r.IRM,
			Rank:         r.Rank,
			RankEqual:    r.RankEqual,
		}
		if r.Mark != nil && r.Diff != nil {
			p.Rows[i].Mark, p.Rows[i].Diff = *r.Mark, *r.Diff
		}
	}
	return p
}
