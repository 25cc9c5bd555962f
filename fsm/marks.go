package fsm

import (
	"bytes"
	"encoding/binary"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
)

// contestMarks are the marks of one ranked contest in the database. It implements
// score.Marks. Its methods keep the first error in err; what they return after an error
// is meaningless.
//
// The Boards bucket has a key for each mark, in the order of the ranking: first the marks
// with a value, the best first, then those without. Equal marks are ordered by the
// competitor's code, so the order is total.
type contestMarks struct {
	b       *batch
	contest *score.Contest
	err     error
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

// keepError keeps the first error.
func (s *contestMarks) keepError(err error) {
	if s.err == nil {
		s.err = err
	}
}

// find returns the competitor's mark at a split.
func (s *contestMarks) find(split, competitor string) (m score.Mark, ok bool) {
	v, err := s.b.tx.Get(database.Marks, database.Key(s.contest.ID, split, competitor))
	if v == nil || err != nil {
		s.keepError(err)
		return m, false
	}
	err = json.Unmarshal(v, &m)
	s.keepError(err)
	return m, err == nil
}

// Set replaces the competitor's mark at the split and returns the number of marks there.
func (s *contestMarks) Set(split string, m score.Mark) (total int) {
	id, lowIsBest := s.contest.ID, s.contest.Definition.LowerIsBetter()
	old, replaces := s.find(split, m.Competitor)
	total = s.total(split)
	if s.err != nil {
		return 0
	}
	if replaces {
		s.keepError(s.b.tx.Delete(database.Boards, boardKey(id, split, lowIsBest, old)))
	} else {
		total++
		s.b.setTotal(database.Key(id, split), total)
		s.keepError(s.b.index.AddMark(id, m.Competitor))
	}
	s.keepError(s.b.tx.Put(database.Boards, boardKey(id, split, lowIsBest, m), nil))
	s.keepError(s.putMark(split, m))
	s.b.boardUpdates.SetMark(id, split, m)
	return total
}

func (s *contestMarks) putMark(split string, m score.Mark) error {
	var err error
	if s.b.scratch, err = m.AppendJSON(s.b.scratch[:0]); err != nil {
		return err
	}
	return s.b.tx.Put(database.Marks, database.Key(s.contest.ID, split, m.Competitor), s.b.scratch)
}

// remove removes a mark as if it had never been set.
func (s *contestMarks) remove(split, competitor string) {
	old, ok := s.find(split, competitor)
	if !ok || s.err != nil {
		return
	}
	id := s.contest.ID
	s.keepError(s.b.tx.Delete(database.Boards, boardKey(id, split, s.contest.Definition.LowerIsBetter(), old)))
	s.keepError(s.b.tx.Delete(database.Marks, database.Key(id, split, competitor)))
	if !hasMark(s.b.tx.Tx, s.contest, competitor) {
		s.keepError(s.b.index.RemoveMark(id, competitor))
	}
	s.b.setTotal(database.Key(id, split), s.total(split)-1)
	s.b.boardUpdates.RemoveMark(id, split, old)
}

func (s *contestMarks) total(split string) int {
	k := database.Key(s.contest.ID, split)
	if n := s.b.totals[string(k)]; n != nil {
		return *n
	}
	n, err := database.Counter(s.b.tx.Bucket(database.Splits), k)
	s.keepError(err)
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
		b.tx.OnUndo(func() error { b.totals[string(key)] = before; return nil })
	}
}

func (b *batch) flushTotals() error {
	for k, n := range b.totals {
		var err error
		switch {
		case n == nil: // the change was undone
		case *n == 0:
			err = b.tx.Delete(database.Splits, []byte(k))
		default:
			err = b.tx.Put(database.Splits, []byte(k), binary.BigEndian.AppendUint64(nil, uint64(*n)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
