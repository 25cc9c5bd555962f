package fsm

import (
	"bytes"
	"context"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/leaderboard"
	"laurel/score"
	"laurel/score/ranking"
)

// Board returns a page of the leaderboard of a ranked contest. The page includes at least
// everything that Revision counted before the call. If the board is not in memory, Board
// waits until it is. revision is that of the last event that changed the contest, also
// with a *score.Problem; nothing in the page is newer. An error that is not a
// *score.Problem is the machine's own, or the cause of the context's end.
func (m *Machine) Board(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, err error) {
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
func (m *Machine) BoardNow(contestID string, q *ranking.Query) (p ranking.Page, revision uint64, ok bool) {
	a := m.boards.Ask(contestID, q)
	return a.Page, a.Revision, a.Err == nil && a.Build == nil
}

// loadBoard starts to build a board that is not in memory.
func (m *Machine) loadBoard(contestID, split string) (a leaderboard.Answer) {
	m.applying.Lock()
	defer m.applying.Unlock()
	c := new(score.Contest)
	found := false
	err := m.commit()
	if err == nil {
		err = m.db.View(func(tx *bolt.Tx) (err error) {
			found, err = database.GetJSON(tx.Bucket(database.Contests), []byte(contestID), c)
			return err
		})
	}
	switch {
	case err != nil:
		a.Err = err
		return a
	case !found:
		a.Revision = m.revision.Load()
		a.Err = score.Problemf(score.NotFound, "the contest %.64q is not defined", contestID)
		return a
	}
	return m.boards.Load(c, split)
}

// readMarks reads the marks of a split for a leaderboard.
func (m *Machine) readMarks(
	contestID, split string, begin func(total int) error, add func(score.Mark) error,
) error {
	tx, err := m.beginRead()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	total, err := database.Counter(tx.Bucket(database.Splits), database.Key(contestID, split))
	if err != nil {
		return err
	}
	if total > 0 {
		if err := begin(int(total)); err != nil {
			return err
		}
	}
	p := database.Prefix(contestID, split)
	c := tx.Bucket(database.Marks).Cursor()
	for k, sealed := c.Seek(p); bytes.HasPrefix(k, p); k, sealed = c.Next() {
		v, err := database.Unseal(k, sealed)
		if err != nil {
			return err
		}
		var mark score.Mark
		if err := json.Unmarshal(v, &mark); err != nil {
			return err
		}
		if err := add(mark); err != nil {
			return err
		}
	}
	const manyMarks = 10_000 // reading them maps much of the database
	if total > manyMarks {
		database.DropPages(tx)
	}
	return nil
}

// updateBoards updates the leaderboards with the changes of a batch. m.applying must be
// held.
func (m *Machine) updateBoards(b *batch) {
	m.boards.Apply(&b.boardUpdates, func(id string) (c *score.Contest, changed bool) {
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
