package fsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
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
	total, err := database.Counter(tx.Bucket(database.Splits), database.Key(contestID, split))
	if err != nil {
		return err
	}
	const manyMarks = 10_000 // reading them maps much of the database
	if total > manyMarks {
		defer database.DropPages(tx)
	}
	return use(int(total), func(yield func(ranking.Mark, error) bool) {
		p := database.Prefix(contestID, split)
		c := tx.Bucket(database.Marks).Cursor()
		for k, sealed := c.Seek(p); bytes.HasPrefix(k, p); k, sealed = c.Next() {
			var mark ranking.Mark
			v, err := database.Unseal(k, sealed)
			if err == nil {
				err = json.Unmarshal(v, &mark)
			}
			if !yield(mark, err) {
				return
			}
		}
	})
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

// contestMarks are the marks of one ranked contest in the database. It implements
// fold.Marks.
//
// The Boards bucket has a key for each mark, in the order of the ranking: first the marks
// with a rank, the best first, then those without. Equal marks are ordered by the
// competitor's code, so the order is total.
type contestMarks struct {
	b       *batch
	contest *fold.Contest
}

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
func appendSigned(k []byte, d score.Decimal) []byte {
	return binary.BigEndian.AppendUint64(k, uint64(d)^1<<63)
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

func (s *contestMarks) find(split, competitor string) (m ranking.Mark, ok bool) {
	ok = s.b.tx.GetJSON(database.Marks, database.Key(s.contest.ID, split, competitor), &m)
	return m, ok
}

// Traits implements fold.Marks.
func (s *contestMarks) Traits(competitor string) (t ranking.Traits) {
	s.b.tx.GetJSON(database.Traits, database.Key(s.contest.ID, competitor), &t)
	return t
}

func (s *contestMarks) putTraits(competitor string, t ranking.Traits) {
	k := database.Key(s.contest.ID, competitor)
	if t == (ranking.Traits{}) {
		s.b.tx.Delete(database.Traits, k)
	} else {
		s.b.tx.PutJSON(database.Traits, k, &t)
	}
}

// Set implements fold.Marks.
func (s *contestMarks) Set(split string, m ranking.Mark) (total int, restated bool) {
	before := s.Traits(m.Competitor)
	old, replaces := s.find(split, m.Competitor)
	traits := before.With(&m, nil)
	if replaces {
		traits = before.With(&m, &old)
	}
	if total = s.total(split); !replaces {
		total++
		set(s.b, s.b.totals, splitKey{s.contest.ID, split}, total)
		index.AddMark(s.b.tx, s.contest.ID, m.Competitor)
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
func (s *contestMarks) Restate(competitor string) { s.restate(competitor, s.Traits(competitor)) }

// put writes a mark in the place of another one; nil if there is none.
func (s *contestMarks) put(split string, m, old *ranking.Mark) {
	b, id, direction := s.b, s.contest.ID, s.contest.Definition.Direction()
	if old != nil {
		b.tx.Delete(database.Boards, boardKey(id, split, direction, old))
	}
	b.tx.Put(database.Boards, boardKey(id, split, direction, m), nil)
	var err error
	b.scratch, err = m.AppendJSON(b.scratch[:0])
	b.tx.Fail(err)
	b.tx.Put(database.Marks, database.Key(id, split, m.Competitor), b.scratch)
	b.boardUpdates.SetMark(id, split, *m)
}

// restate writes those marks of a competitor that are not as its traits and the IRMs at
// all splits make them. It reports whether there were any.
func (s *contestMarks) restate(competitor string, traits ranking.Traits) (restated bool) {
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
			s.b.folded++ // it costs as much as an event that is folded again
			restated = true
		}
	}
	return restated
}

// settle replaces what the marks of a competitor name, after one of them was set or removed
// by a void.
func (s *contestMarks) settle(competitor string, traits ranking.Traits) {
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

// remove removes marks. Their competitors' other marks must be settled afterwards.
func (s *contestMarks) remove(list []markKey) {
	b, id := s.b, s.contest.ID
	for _, at := range list {
		old, ok := s.find(at.split, at.competitor)
		if !ok {
			continue
		}
		b.tx.Delete(database.Boards, boardKey(id, at.split, s.contest.Definition.Direction(), &old))
		b.tx.Delete(database.Marks, database.Key(id, at.split, at.competitor))
		set(b, b.totals, splitKey{id, at.split}, s.total(at.split)-1)
		b.boardUpdates.RemoveMark(id, at.split, old)
	}
	marked := slices.DeleteFunc(slices.Clone(s.contest.Definition.AllSplits()), func(split string) bool {
		return s.total(split) == 0
	})
	for _, at := range list {
		if !hasMark(b.tx.Tx, id, marked, at.competitor) {
			index.RemoveMark(b.tx, id, at.competitor)
		}
	}
}

// Clear implements fold.Marks.
func (s *contestMarks) Clear() {
	var list []markKey
	for _, split := range s.contest.Definition.AllSplits() {
		marks, _ := s.First(split, math.MaxInt)
		for _, m := range marks {
			list = append(list, markKey{split, m.Competitor})
		}
	}
	s.remove(list)
	for _, at := range list {
		s.putTraits(at.competitor, ranking.Traits{})
	}
}

func (s *contestMarks) total(split string) int {
	if n, changed := s.b.totals[splitKey{s.contest.ID, split}]; changed {
		return n
	}
	n, err := database.Counter(s.b.tx.Bucket(database.Splits), database.Key(s.contest.ID, split))
	s.b.tx.Fail(err)
	return int(n)
}

// First implements fold.Marks.
func (s *contestMarks) First(split string, n int) (first []ranking.Mark, total int) {
	p := database.Prefix(s.contest.ID, split)
	c := s.b.tx.Bucket(database.Boards).Cursor()
	for k, _ := c.Seek(p); bytes.HasPrefix(k, p) && len(first) < n; k, _ = c.Next() {
		m, ok := s.find(split, competitorIn(k[len(p):]))
		if !ok {
			break
		}
		first = append(first, m)
	}
	return first, s.total(split)
}

// hasMark reports whether a competitor has a mark at one of the splits.
func hasMark(tx *bolt.Tx, contestID string, splits []string, competitor string) bool {
	for _, split := range splits {
		if tx.Bucket(database.Marks).Get(database.Key(contestID, split, competitor)) != nil {
			return true
		}
	}
	return false
}
