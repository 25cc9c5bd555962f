package fsm

import (
	"bytes"
	"encoding/binary"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/score"
)

// marks are the marks of one ranked contest in the database. It implements score.Marks; the first error is kept, and what is asked
// for after it does not matter.
//
// The boards bucket holds for each mark a key in the order of the ranking: first those with a value, best first, then those without.
// Among equals the competitor's code decides, so that the order is total.
type marks struct {
	b       *batch
	contest *score.Contest
	err     error
}

const (
	valued = 0
	irm    = 1
)

func boardKey(contestID, split string, least bool, m score.Mark) []byte {
	k := append(prefix(contestID, split), valued)
	place := uint64(m.Value) ^ 1<<63 // two's complement in the order of unsigned numbers
	if !least {
		place = ^place
	}
	if m.IRM != "" {
		k[len(k)-1], place = irm, 0
	}
	return append(binary.BigEndian.AppendUint64(k, place), m.Competitor...)
}

// try keeps the first error.
func (s *marks) try(err error) {
	if s.err == nil {
		s.err = err
	}
}

// find is the competitor's mark at a split.
func (s *marks) find(split, competitor string) (m score.Mark, ok bool) {
	v, err := get(s.b.bucket(markBucket), key(s.contest.ID, split, competitor))
	if v == nil || err != nil {
		s.try(err)
		return m, false
	}
	err = json.Unmarshal(v, &m)
	s.try(err)
	return m, err == nil
}

// Set puts m in the place of the competitor's mark at the split, and gives the number of all marks there.
func (s *marks) Set(split string, m score.Mark) (total int) {
	id, least := s.contest.ID, s.contest.Definition.LowerIsBetter()
	old, replaces := s.find(split, m.Competitor)
	total = s.total(split)
	if s.err != nil {
		return 0
	}
	if replaces {
		s.try(s.b.delete(boardBucket, boardKey(id, split, least, old)))
	} else {
		total++
		s.b.setTotal(key(id, split), total)
		s.try(s.post(m.Competitor))
	}
	s.try(s.b.put(boardBucket, boardKey(id, split, least, m), nil))
	s.try(s.putMark(split, m))
	s.b.moves.marks = append(s.b.moves.marks, move{contestID: id, split: split, mark: m})
	return total
}

func (s *marks) putMark(split string, m score.Mark) error {
	var err error
	if s.b.scratch, err = m.AppendJSON(s.b.scratch[:0]); err != nil {
		return err
	}
	return s.b.put(markBucket, key(s.contest.ID, split, m.Competitor), s.b.scratch)
}

// remove takes a mark away, as if it had never been.
func (s *marks) remove(split, competitor string) {
	old, ok := s.find(split, competitor)
	if !ok || s.err != nil {
		return
	}
	id := s.contest.ID
	s.try(s.b.delete(boardBucket, boardKey(id, split, s.contest.Definition.LowerIsBetter(), old)))
	s.try(s.b.delete(markBucket, key(id, split, competitor)))
	s.try(s.unpost(competitor))
	s.b.setTotal(key(id, split), s.total(split)-1)
	s.b.moves.marks = append(s.b.moves.marks, move{contestID: id, split: split, mark: old, away: true})
}

func (s *marks) total(split string) int {
	k := key(s.contest.ID, split)
	if n := s.b.totals[string(k)]; n != nil {
		return *n
	}
	v, err := get(s.b.bucket(splitBucket), k)
	s.try(err)
	if len(v) != 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(v))
}

// setTotal keeps the number of marks at a split, under its key; flush writes it.
func (b *batch) setTotal(k []byte, n int) {
	before := b.totals[string(k)]
	if before != nil && !b.recording {
		*before = n
		return
	}
	now := n
	b.totals[string(k)] = &now
	if b.recording {
		b.undo = append(b.undo, func() error { b.totals[string(k)] = before; return nil })
	}
}

func (b *batch) flushTotals() error {
	for k, n := range b.totals {
		var err error
		switch {
		case n == nil: // taken back
		case *n == 0:
			err = b.delete(splitBucket, []byte(k))
		default:
			err = b.put(splitBucket, []byte(k), binary.BigEndian.AppendUint64(nil, uint64(*n)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// First gives the n best at the split and the number of all.
func (s *marks) First(split string, n int) (first []score.Mark, total int) {
	p := prefix(s.contest.ID, split)
	c := s.b.bucket(boardBucket).Cursor()
	for k, _ := c.Seek(p); k != nil && bytes.HasPrefix(k, p) && len(first) < n; k, _ = c.Next() {
		m, ok := s.find(split, string(k[len(p)+1+8:]))
		if !ok {
			break
		}
		first = append(first, m)
	}
	return first, s.total(split)
}

// hasMark tells whether a competitor has a mark in a ranked contest, at any of its splits.
func hasMark(tx *bolt.Tx, c *score.Contest, competitor string) bool {
	for _, split := range c.Definition.AllSplits() {
		if tx.Bucket(markBucket).Get(key(c.ID, split, competitor)) != nil {
			return true
		}
	}
	return false
}
