package fsm

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
)

// contestMarks are the marks of one ranked contest in the database. It implements
// score.Marks.
//
// The Boards bucket has a key for each mark, in the order of the ranking: first the marks
// with a value, the best first, then those without. Equal marks are ordered by the
// competitor's code, so the order is total.
type contestMarks struct {
	b       *batch
	contest *score.Contest
}

// The first byte of the order in a key of the Boards bucket.
const (
	rankedMark   = 0
	unrankedMark = 1 // a mark with an IRM
)

func boardKey(contestID, split string, lowIsBest bool, m score.Mark) []byte {
	k := append(database.Prefix(contestID, split), rankedMark)
	order := uint64(m.Value) ^ 1<<63 // makes signed values sort as unsigned ones
	if !lowIsBest {
		order = ^order
	}
	if m.IRM != "" {
		k[len(k)-1], order = unrankedMark, 0
	}
	return append(binary.BigEndian.AppendUint64(k, order), m.Competitor...)
}

// find returns the competitor's mark at a split.
func (s *contestMarks) find(split, competitor string) (m score.Mark, ok bool) {
	ok = s.b.tx.GetJSON(database.Marks, database.Key(s.contest.ID, split, competitor), &m)
	return m, ok
}

// Set replaces the competitor's mark at the split and returns the number of marks there.
func (s *contestMarks) Set(split string, m score.Mark) (total int) {
	b, id, lowIsBest := s.b, s.contest.ID, s.contest.Definition.LowerIsBetter()
	old, replaces := s.find(split, m.Competitor)
	total = s.total(split)
	if replaces {
		b.tx.Delete(database.Boards, boardKey(id, split, lowIsBest, old))
	} else {
		total++
		b.setTotal(database.Key(id, split), total)
		b.index.AddMark(id, m.Competitor)
	}
	b.tx.Put(database.Boards, boardKey(id, split, lowIsBest, m), nil)
	var err error
	b.scratch, err = m.AppendJSON(b.scratch[:0])
	b.tx.Fail(err)
	b.tx.Put(database.Marks, database.Key(id, split, m.Competitor), b.scratch)
	b.boardUpdates.SetMark(id, split, m)
	return total
}

// remove removes a mark as if it had never been set.
func (s *contestMarks) remove(split, competitor string) {
	old, ok := s.find(split, competitor)
	if !ok {
		return
	}
	b, id := s.b, s.contest.ID
	b.tx.Delete(database.Boards, boardKey(id, split, s.contest.Definition.LowerIsBetter(), old))
	b.tx.Delete(database.Marks, database.Key(id, split, competitor))
	if !hasMark(b.tx.Tx, s.contest, competitor) {
		b.index.RemoveMark(id, competitor)
	}
	b.setTotal(database.Key(id, split), s.total(split)-1)
	b.boardUpdates.RemoveMark(id, split, old)
}

func (s *contestMarks) total(split string) int {
	k := database.Key(s.contest.ID, split)
	if n := s.b.totals[string(k)]; n != nil {
		return *n
	}
	n, err := database.Counter(s.b.tx.Bucket(database.Splits), k)
	s.b.tx.Fail(err)
	return int(n)
}

// First returns the n best marks at the split and the number of all marks there.
func (s *contestMarks) First(split string, n int) (first []score.Mark, total int) {
	p := database.Prefix(s.contest.ID, split)
	c := s.b.tx.Bucket(database.Boards).Cursor()
	for k, _ := c.Seek(p); bytes.HasPrefix(k, p) && len(first) < n; k, _ = c.Next() {
		m, ok := s.find(split, string(k[len(p)+1+8:]))
		if !ok {
			break
		}
		first = append(first, m)
	}
	return first, s.total(split)
}

// hasMark reports whether a competitor has a mark at any split of a ranked contest.
func hasMark(tx *bolt.Tx, c *score.Contest, competitor string) bool {
	for _, split := range c.Definition.AllSplits() {
		if tx.Bucket(database.Marks).Get(database.Key(c.ID, split, competitor)) != nil {
			return true
		}
	}
	return false
}

// setTotal sets the number of marks at a split, given its key. flushTotals writes it.
func (b *batch) setTotal(key []byte, n int) {
	before := b.totals[string(key)]
	if before != nil && !b.tx.Recording() {
		*before = n
		return
	}
	now := n
	b.totals[string(key)] = &now
	if b.tx.Recording() {
		b.tx.OnUndo(func() { b.totals[string(key)] = before })
	}
}

func (b *batch) flushTotals() {
	for k, n := range b.totals {
		switch {
		case n == nil: // the change was undone
		case *n == 0:
			b.tx.Delete(database.Splits, []byte(k))
		default:
			b.tx.Put(database.Splits, []byte(k), binary.BigEndian.AppendUint64(nil, uint64(*n)))
		}
	}
}
