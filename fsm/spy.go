//go:build spy

package fsm

import (
	"context"
	"fmt"
	"time"

	"laurel/fsm/past"
	"laurel/fsm/rounds"
	"laurel/score/mark"
)

// CorruptResult gives a competitor of a head-to-head contest points that nobody has
// posted, in memory and, with a right checksum, in the database. Readers see them with one
// of the next events of any contest. If sealed is false, the rounds do not learn that the answer
// has changed, as with a disk or a memory that errs.
func (m *Machine) CorruptResult(contestID, competitor string, points int64, sealed bool) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if m.failed != nil {
		return m.failed
	}
	b, err := m.openBatch()
	if err != nil {
		return m.fail(err)
	}
	c := b.contest(contestID)
	if c == nil {
		return fmt.Errorf("there is no contest %q", contestID)
	}
	for i := range c.Competitors {
		w := &c.Competitors[i]
		if w.Code != competitor {
			continue
		}
		w.Result, _ = w.Result.Add(mark.Points(points))
		b.markChanged(b.contests, contestID)
		b.touch(past.Record{ID: contestID})
		go m.spread(contestID, b.Revision)
		if sealed {
			b.answerChanged(rounds.Scores, contestID)
			m.rounds.Publish()
		}
		return b.tx.Err()
	}
	return fmt.Errorf("%q does not compete in %s", competitor, contestID)
}

// spread names a contest as changed, with events that have not changed it: answers that are
// in memory are then made anew.
func (m *Machine) spread(contestID string, revision uint64) {
	const events = 20 // an answer may be made meanwhile of the state before
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for next := revision; next < revision+events; next++ {
		if m.Await(ctx, next) != nil {
			return
		}
		m.applying.Lock()
		m.changes.contests.add(contestID)
		m.applying.Unlock()
	}
}

// HideChanges has Changes name nothing, or begin to name what changes again. A master that
// hides changes pushes none, and says that it has.
func (m *Machine) HideChanges(hide bool) {
	m.applying.Lock()
	defer m.applying.Unlock()
	wake := m.changes.wake
	m.changes = changes{wake: wake}
	if !hide && wake != nil {
		m.changes = changes{contests: idSet{}, timelines: idSet{}, tables: idSet{}, boards: idSet{}, wake: wake}
	}
}

// SpoilTree changes a node beside the leaf of a key in the tree of the answers.
func (m *Machine) SpoilTree(key string) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	return m.rounds.Spoil(key)
}
