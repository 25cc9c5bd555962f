// Package ranked stores the marks and the start lists of ranked contests in the state
// machine's database.
//
// The Boards bucket has a key for each mark, in the order of the ranking: first the marks
// with a rank, the best first, then those without. Equal marks are ordered by the
// competitor's code, so the order is total.
//
// The start list of a contest has a record for each competitor that a competitor.define has
// named. The Entrants bucket has it by its code, and a key without a value for its place in
// the list.
package ranked

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// Writer reads and writes marks and start lists within a transaction. The numbers of marks
// that change stay in memory until Flush.
type Writer struct {
	tx       *database.Tx
	boards   *leaderboard.Updates
	restated func()
	totals   map[splitKey]int // changed numbers of marks
	scratch  []byte           // for encoding a mark
}

// NewWriter returns a Writer for a transaction. It adds what changes to boards, and calls
// restated for each mark that it writes because of an event that did not set it.
func NewWriter(tx *database.Tx, boards *leaderboard.Updates, restated func()) *Writer {
	return &Writer{tx: tx, boards: boards, restated: restated, totals: map[splitKey]int{}}
}

// Flush writes the numbers of marks that have changed. The order does not matter.
func (w *Writer) Flush() {
	for k, n := range w.totals {
		if n > 0 {
			w.tx.Put(database.Splits, database.Key(k.contestID, k.split), binary.BigEndian.AppendUint64(nil, uint64(n)))
		} else {
			w.tx.Delete(database.Splits, database.Key(k.contestID, k.split))
		}
	}
}

// Contest is the marks and the start list of one contest. It implements fold.Marks.
type Contest struct {
	w       *Writer
	contest *fold.Contest
}

// Contest returns the marks and the start list of a contest.
func (w *Writer) Contest(c *fold.Contest) *Contest { return &Contest{w, c} }

// Key names a mark of a contest.
type Key struct{ Split, Competitor string }

type splitKey struct{ contestID, split string }

// What follows the first number of an order in a key of the Boards bucket.
const (
	exactOrder = 0 // two more numbers
	plainOrder = 1 // nothing: neither a second mark nor a place
)

func boardKey(contestID, split string, direction ranking.Direction, m *ranking.Mark) []byte {
	order := direction.Order(m)
	k := appendSigned(database.Prefix(contestID, split), order.First)
	if order.Exact() {
		k = appendSigned(appendSigned(append(k, exactOrder), order.Second), order.Third)
	} else {
		k = append(k, plainOrder)
	}
	return append(k, m.Competitor...)
}

// appendSigned appends a number so that keys sort by it.
func appendSigned[N ~int | ~int64](k []byte, n N) []byte {
	return binary.BigEndian.AppendUint64(k, uint64(n)^1<<63)
}

// competitorIn returns the competitor of a key of the Boards bucket, without its prefix.
func competitorIn(key []byte) string {
	const plain, exact = 8 + 1, 3*8 + 1
	switch {
	case len(key) > exact && key[8] == exactOrder:
		return string(key[exact:])
	case len(key) > plain:
		return string(key[plain:])
	}
	return ""
}

func (s *Contest) find(split, competitor string) (m ranking.Mark, ok bool) {
	ok = s.w.tx.GetJSON(database.Marks, database.Key(s.contest.ID, split, competitor), &m)
	return m, ok
}

// Traits implements fold.Marks.
func (s *Contest) Traits(competitor string) (t ranking.Traits) {
	s.w.tx.GetJSON(database.Traits, database.Key(s.contest.ID, competitor), &t)
	return t
}

func (s *Contest) putTraits(competitor string, t ranking.Traits) {
	k := database.Key(s.contest.ID, competitor)
	if t == (ranking.Traits{}) {
		s.w.tx.Delete(database.Traits, k)
	} else {
		s.w.tx.PutJSON(database.Traits, k, &t)
	}
}

// Set implements fold.Marks.
func (s *Contest) Set(split string, m ranking.Mark) (total int, restated bool) {
	before := s.Traits(m.Competitor)
	old, replaces := s.find(split, m.Competitor)
	traits := before.With(&m, nil)
	if replaces {
		traits = before.With(&m, &old)
	}
	if total = s.Total(split); !replaces {
		total++
		database.Set(s.w.tx, s.w.totals, splitKey{s.contest.ID, split}, total)
		index.AddMark(s.w.tx, s.contest.ID, m.Competitor)
	}
	if traits != before {
		s.putTraits(m.Competitor, traits)
	}
	shown := s.contest.Known(traits, m.Competitor, s)
	m.Categories, m.Organisation, m.Name = shown.Categories, shown.Organisation, shown.Name
	if !replaces {
		s.put(split, &m, nil)
	} else {
		s.put(split, &m, &old)
	}
	// Most marks change nothing at the competitor's other splits.
	if traits != before || traits.IRMs > 0 {
		restated = s.restate(m.Competitor, traits)
	}
	return total, restated
}

// Restate implements fold.Marks.
func (s *Contest) Restate(competitor string) { s.restate(competitor, s.Traits(competitor)) }

// put writes a mark in the place of another one; nil if there is none.
func (s *Contest) put(split string, m, old *ranking.Mark) {
	w, id, direction := s.w, s.contest.ID, s.contest.Definition.Direction()
	if old != nil {
		w.tx.Delete(database.Boards, boardKey(id, split, direction, old))
	}
	w.tx.Put(database.Boards, boardKey(id, split, direction, m), nil)
	var err error
	w.scratch, err = m.AppendJSON(w.scratch[:0])
	w.tx.Fail(err)
	w.tx.Put(database.Marks, database.Key(id, split, m.Competitor), w.scratch)
	w.boards.SetMark(id, split, *m)
}

// restate writes those marks of a competitor that are not as its traits and the IRMs at
// all splits make them. It reports whether there were any.
func (s *Contest) restate(competitor string, traits ranking.Traits) (restated bool) {
	splits := s.contest.Definition.AllSplits()
	before, marks := make([]ranking.Mark, len(splits)), make([]*ranking.Mark, len(splits))
	for i, split := range splits {
		if m, ok := s.find(split, competitor); ok {
			before[i], marks[i] = m, &m
		}
	}
	s.contest.Known(traits, competitor, s).Restate(marks)
	for i, m := range marks {
		if m != nil && *m != before[i] {
			s.put(splits[i], m, &before[i])
			s.w.restated()
			restated = true
		}
	}
	return restated
}

// Settle replaces what the marks of a competitor name, after one of them was set or removed
// by a void.
func (s *Contest) Settle(competitor string, traits ranking.Traits) {
	traits = traits.Recount(func(yield func(*ranking.Mark) bool) {
		for _, split := range s.contest.Definition.AllSplits() {
			if m, ok := s.find(split, competitor); ok && !yield(&m) {
				return
			}
		}
	})
	if traits != s.Traits(competitor) {
		s.putTraits(competitor, traits)
	}
	s.restate(competitor, traits)
}

// Remove removes marks. Their competitors' other marks must be settled afterwards.
func (s *Contest) Remove(list []Key) {
	w, id := s.w, s.contest.ID
	for _, at := range list {
		old, ok := s.find(at.Split, at.Competitor)
		if !ok {
			continue
		}
		w.tx.Delete(database.Boards, boardKey(id, at.Split, s.contest.Definition.Direction(), &old))
		w.tx.Delete(database.Marks, database.Key(id, at.Split, at.Competitor))
		database.Set(w.tx, w.totals, splitKey{id, at.Split}, s.Total(at.Split)-1)
		w.boards.RemoveMark(id, at.Split, old)
	}
	marked := slices.DeleteFunc(slices.Clone(s.contest.Definition.AllSplits()), func(split string) bool {
		return s.Total(split) == 0
	})
	for _, at := range list {
		if !hasMark(w.tx, id, marked, at.Competitor) {
			index.RemoveMark(w.tx, id, at.Competitor)
		}
	}
}

// Has implements fold.Marks.
func (s *Contest) Has(competitor string) bool {
	return hasMark(s.w.tx, s.contest.ID, s.contest.Definition.AllSplits(), competitor)
}

// Clear implements fold.Marks.
func (s *Contest) Clear() {
	var list []Key
	for _, split := range s.contest.Definition.AllSplits() {
		marks, _ := s.First(split, math.MaxInt)
		for _, m := range marks {
			list = append(list, Key{split, m.Competitor})
		}
	}
	s.Remove(list)
	for _, at := range list {
		s.putTraits(at.Competitor, ranking.Traits{})
	}
}

// Total returns the number of marks at a split.
func (s *Contest) Total(split string) int {
	if n, changed := s.w.totals[splitKey{s.contest.ID, split}]; changed {
		return n
	}
	n, err := Total(s.w.tx, s.contest.ID, split)
	s.w.tx.Fail(err)
	return n
}

// First implements fold.Marks.
func (s *Contest) First(split string, n int) (first []ranking.Mark, total int) {
	p := database.Prefix(s.contest.ID, split)
	c := s.w.tx.Bucket(database.Boards).Cursor()
	for k, _ := c.Seek(p); bytes.HasPrefix(k, p) && len(first) < n; k, _ = c.Next() {
		m, ok := s.find(split, competitorIn(k[len(p):]))
		if !ok {
			break
		}
		first = append(first, m)
	}
	return first, s.Total(split)
}

// hasMark reports whether a competitor has a mark at one of the splits.
func hasMark(tx *database.Tx, contestID string, splits []string, competitor string) bool {
	for _, split := range splits {
		if tx.Get(database.Marks, database.Key(contestID, split, competitor)) != nil {
			return true
		}
	}
	return false
}

// Total returns the number of marks at a split of a contest.
func Total(tx database.Reader, contestID, split string) (int, error) {
	n, err := database.Counter(tx.Bucket(database.Splits), database.Key(contestID, split))
	return int(n), err
}

// Marks returns the marks at a split of a contest, in the order of their competitors. An
// error ends the sequence.
func Marks(tx *bolt.Tx, contestID, split string) iter.Seq2[ranking.Mark, error] {
	return func(yield func(ranking.Mark, error) bool) {
		p := database.Prefix(contestID, split)
		c := tx.Bucket(database.Marks).Cursor()
		for k, sealed := c.Seek(p); bytes.HasPrefix(k, p); k, sealed = c.Next() {
			var mark ranking.Mark
			v, err := database.Unseal(k, sealed)
			if err == nil {
				err = json.Unmarshal(v, &mark)
			}
			if !yield(mark, err) || err != nil {
				return
			}
		}
	}
}
