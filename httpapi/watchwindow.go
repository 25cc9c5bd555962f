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
func (s watchStore) Board(ctx context.Context, w *watch.Window) (score.Leaderboard, uint64, error) {
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
			return score.Leaderboard{}, at, nil
		case err != nil:
			return score.Leaderboard{}, 0, err
		case at == revision || try == maxTotalReads:
			page.Rows = nil
			return page, min(revision, at), nil
		}
	}
}

// page answers a question about a leaderboard by the rules of the mode. The revision is
// valid with the problem that there is no such page, too.
func (s watchStore) page(ctx context.Context, b *question.BoardQuery) (score.Leaderboard, uint64, error) {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, revision, _, err := s.reader.source.Board(limited, b.Contest, &b.Query)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return page, 0, cache.ErrNotLeased
	case !errors.Is(err, cache.ErrNotLeased) || s.status.CacheMode() != score.Pull:
		return page, revision, err
	}
	e, _, _, err := s.reader.source.Pull(ctx, b.Key())
	switch {
	case err != nil:
		return page, 0, err
	case e.Body == nil:
		return page, e.Revision, b.Missing()
	}
	err = json.Unmarshal(e.Body, &page)
	return page, e.Revision, err
}
