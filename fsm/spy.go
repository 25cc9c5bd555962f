//go:build spy

package fsm

import (
	"fmt"

	"laurel/fsm/rounds"
	"laurel/score/mark"
)

// CorruptResult gives a competitor of a head-to-head contest points that nobody has
// posted, in memory and, with a right checksum, in the database. Readers see them with the
// next event of any contest. If sealed is false, the rounds do not learn that the answer
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
		b.touch(changedRecord{id: contestID})
		m.changes.contests.add(contestID)
		if sealed {
			b.answerChanged(rounds.Scores, contestID)
			m.rounds.Publish()
		}
		return b.tx.Err()
	}
	return fmt.Errorf("%q does not compete in %s", competitor, contestID)
}
