package fsm

import (
	"context"
	"iter"
	"slices"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/leaderboard"
	"laurel/fsm/ranked"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// Board returns a page of the leaderboard of a ranked contest, with at least everything
// that Revision counted before the call. If the board is not in memory, Board waits until
// it is. revision is that of the last event that changed the contest, also with a
// *score.Problem; nothing in the page is newer.
func (m *Machine) Board(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, err error) {
	for {
		a := m.boards.Ask(contestID, q)
		if a.Err == leaderboard.ErrNotLoaded {
			a = m.loadBoard(contestID, q.Split)
		}
		if a.Build == nil {
			return a.Page, a.Revision, a.Err
		}
		if err := a.Build.Wait(ctx); err != nil {
			return p, 0, err
		}
	}
}

// BoardNow returns what Board would return if the board is in memory. If ok is false,
// Board returns the page or the error.
func (m *Machine) BoardNow(contestID string, q *ranking.Query) (p ranking.Leaderboard, revision uint64, ok bool) {
	a := m.boards.Ask(contestID, q)
	return a.Page, a.Revision, a.Err == nil && a.Build == nil
}

func (m *Machine) loadBoard(contestID, split string) (a leaderboard.Answer) {
	m.applying.Lock()
	defer m.applying.Unlock()
	if a.Err = m.commit(); a.Err != nil {
		return a
	}
	var c fold.Contest
	a.Err = m.db.View(func(tx *bolt.Tx) error {
		found, err := database.GetJSON(tx.Bucket(database.Contests), []byte(contestID), &c)
		if err == nil && !found {
			a.Revision = m.Revision()
			return score.Problemf(score.NotFound, "the contest %.64q is not defined", contestID)
		}
		return err
	})
	if a.Err != nil {
		return a
	}
	return m.boards.Load(&c, split)
}

// readMarks is a leaderboard.MarkReader.
func (m *Machine) readMarks(
	contestID, split string, use func(total int, marks iter.Seq2[ranking.Mark, error]) error,
) error {
	tx, _, err := m.beginRead()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	total, err := ranked.Total(tx, contestID, split)
	if err != nil {
		return err
	}
	var c fold.Contest
	if _, err := database.GetJSON(tx.Bucket(database.Contests), []byte(contestID), &c); err != nil {
		return err
	}
	number := slices.Index(c.Definition.AllSplits(), split) // -1 if the contest has changed: none is left
	const manyMarks = 10_000                                // reading them maps much of the database
	if total > manyMarks {
		defer database.DropPages(tx)
	}
	return use(total, ranked.Marks(tx, contestID, number))
}

// updateBoards applies a batch to the leaderboards. m.applying must be held.
func (m *Machine) updateBoards(b *batch) {
	m.boards.Apply(&b.boardUpdates, func(id string) (c *fold.Contest, changed bool) {
		if !b.contests[id] {
			return nil, false // the event was an alert, or was rolled back
		}
		c = m.cache.contests[id]
		if c == nil || c.Definition.Kind == score.Ranked {
			m.changes.boards.add(id)
		}
		return c, true
	})
}
