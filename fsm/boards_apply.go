package fsm

import (
	"slices"

	"laurel/score"
)

// moves are what a batch does to boards, in order. They are made when all entries of an Apply are applied.
type moves struct {
	marks    []move
	contests map[string]bool // touched, by id; true if its definition may be another
	before   int             // how many marks there were before the post that may be taken back
}

// move is a mark that was set, or taken away.
type move struct {
	contestID, split string
	mark             score.Mark
	away             bool
}

// touch notes that an event has changed something about its contest.
func (v *moves) touch(e *event) {
	_, defines := e.Data.(*score.ContestDefine)
	_, voids := e.Data.(*score.EventVoid)
	v.contests[e.ContestID] = v.contests[e.ContestID] || defines || voids
}

// moveBoards brings the boards up to date with the batch, before the revision tells of it.
func (m *Machine) moveBoards(b *batch) {
	v := &b.moves
	m.boards.mu.Lock()
	defer m.boards.mu.Unlock()
	for id, anew := range v.contests {
		if !b.contests[id] {
			continue // an alert, or taken back
		}
		c := m.memory.contests[id]
		if c == nil || c.Definition.Kind == score.Ranked {
			m.changes.board(id)
		}
		m.boards.describe(id, c, anew)
	}
	for i := range v.marks {
		m.boards.move(&v.marks[i])
	}
	m.boards.bound(nil)
	clear(v.contests)
	clear(v.marks)
	v.marks = v.marks[:0]
}

// describe brings up to date what is known of a contest; nil if there is none any more.
func (b *boards) describe(id string, c *score.Contest, anew bool) {
	r := b.ranked[id]
	if r == nil {
		return
	}
	if c == nil || c.Definition.Kind != score.Ranked || c.Definition.LowerIsBetter() != r.least || !slices.Equal(c.Definition.AllSplits(), r.splits) {
		b.dropContest(r)
		return
	}
	r.describe(c, anew)
	if anew {
		for _, one := range r.boards {
			b.count(one, one.rows())
		}
	}
}

func (b *boards) move(v *move) {
	r := b.ranked[v.contestID]
	if r == nil {
		return
	}
	one := r.boards[v.split]
	switch {
	case one == nil:
	case one.marks == nil && one.made.gathered == nil: // not read yet
	case one.marks == nil && v.away:
		one.made.gathered[v.mark.Competitor] = nil
	case one.marks == nil:
		mark := v.mark
		one.made.gathered[mark.Competitor] = &mark
	case v.away:
		one.marks.Remove(v.mark.Competitor)
		b.count(one, one.rows())
	default:
		one.marks.Set(v.mark)
		b.count(one, one.rows())
	}
}

func (one *board) rows() int {
	if one.marks == nil {
		return one.made.reserved
	}
	return one.marks.Len()
}
