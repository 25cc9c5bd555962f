package leaderboard

import (
	"slices"

	"laurel/score"
)

// Updates collects the changes that a batch of events makes to leaderboards, in order.
type Updates struct {
	marks     []markChange
	contests  map[string]bool // changed contests; true if the definition may have changed
	savepoint int             // the number of mark changes at Savepoint
}

// markChange is a mark that was set or removed.
type markChange struct {
	contestID, split string
	mark             score.Mark
	removed          bool
}

// SetMark records that a mark was set.
func (u *Updates) SetMark(contestID, split string, m score.Mark) {
	u.marks = append(u.marks, markChange{contestID: contestID, split: split, mark: m})
}

// RemoveMark records that a mark was removed.
func (u *Updates) RemoveMark(contestID, split string, m score.Mark) {
	u.marks = append(u.marks, markChange{contestID: contestID, split: split, mark: m, removed: true})
}

// Touch records that an event changed a contest. redefined reports that the definition
// may have changed.
func (u *Updates) Touch(contestID string, redefined bool) {
	if u.contests == nil {
		u.contests = map[string]bool{}
	}
	u.contests[contestID] = u.contests[contestID] || redefined
}

// Savepoint marks the place to which Rollback returns.
func (u *Updates) Savepoint() { u.savepoint = len(u.marks) }

// Rollback drops the mark changes since Savepoint. Contests stay recorded, which is
// harmless.
func (u *Updates) Rollback() { u.marks = u.marks[:u.savepoint] }

// Apply applies the updates to the boards in memory and clears them. It calls contest for
// each contest that was touched; contest returns the contest, nil if it is not defined,
// and whether it has changed.
func (b *Boards) Apply(u *Updates, contest func(id string) (c *score.Contest, changed bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, redefined := range u.contests {
		if c, changed := contest(id); changed {
			b.setMetadata(id, c, redefined)
		}
	}
	for i := range u.marks {
		b.applyMark(&u.marks[i])
	}
	b.evict(nil)
	clear(u.contests)
	clear(u.marks)
	u.marks = u.marks[:0]
}

// setMetadata updates what the boards of a contest know about it. c is nil if the contest
// is no longer defined.
func (b *Boards) setMetadata(id string, c *score.Contest, redefined bool) {
	r := b.contests[id]
	if r == nil {
		return
	}
	if c == nil || c.Definition.Kind != score.Ranked || c.Definition.LowerIsBetter() != r.lowIsBest ||
		!slices.Equal(c.Definition.AllSplits(), r.splits) {
		b.dropContest(r)
		return
	}
	r.setMetadata(c, redefined)
	if redefined {
		for _, board := range r.boards {
			b.addCost(board, board.len())
		}
	}
}

func (b *Boards) applyMark(change *markChange) {
	c := b.contests[change.contestID]
	if c == nil {
		return
	}
	board := c.boards[change.split]
	switch {
	case board == nil:
	case board.marks == nil && board.build.changes == nil: // its build has not begun to read
	case board.marks == nil && change.removed:
		board.build.changes[change.mark.Competitor] = nil
	case board.marks == nil:
		mark := change.mark
		board.build.changes[mark.Competitor] = &mark
	case change.removed:
		board.marks.Remove(change.mark.Competitor)
		b.addCost(board, board.len())
	default:
		board.marks.Set(change.mark)
		b.addCost(board, board.len())
	}
}

func (b *board) len() int {
	if b.marks == nil {
		return b.build.reserved
	}
	return b.marks.Len()
}
