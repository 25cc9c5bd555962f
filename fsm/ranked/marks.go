// Package ranked stores the marks and the start lists of ranked contests in the state
// machine's database.
//
// The Marks bucket has a record for each competitor of a contest, with the marks at all
// splits. The Splits bucket has, for each split, the number of marks and which are the
// best. Leaderboards are made in memory, from the records (package leaderboard).
//
// The start list of a contest has a record for each competitor that a competitor.define has
// named. The Entrants bucket has it by its code, and a key without a value for its place in
// the list.
package ranked

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// Writer reads and writes marks and start lists within a transaction. The splits that
// change stay in memory until Flush.
type Writer struct {
	tx      *database.Tx
	boards  *leaderboard.Updates
	work    Work
	splits  map[splitKey]*splitMarks
	changed map[splitKey]bool // splits to write
	last    recordKey         // of record; zero if it is none
	record  record            // the last that was read or written
	scratch []byte            // for encoding
	key     []byte            // of record, in the Marks bucket
}

// Work counts what an event has done beside its own mark.
type Work interface {
	// MarkRestated counts a mark that is written because of an event that did not set it.
	MarkRestated()
	// RowRead counts a competitor's record that is read in search of the best.
	RowRead()
}

// NewWriter returns a Writer for a transaction. It adds what changes to boards.
func NewWriter(tx *database.Tx, boards *leaderboard.Updates, work Work) *Writer {
	return &Writer{tx: tx, boards: boards, work: work, splits: map[splitKey]*splitMarks{}, changed: map[splitKey]bool{}}
}

// Flush writes the splits that have changed. The order does not matter.
func (w *Writer) Flush() {
	for k := range w.changed {
		if s := w.splits[k]; s.total > 0 {
			w.scratch = s.append(w.scratch[:0])
			w.tx.Put(database.Splits, database.Key(k.contestID, k.split), w.scratch)
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

type recordKey struct{ contestID, competitor string }

// record returns the record of a competitor until the next call, empty if there is none.
func (s *Contest) record(competitor string) *record {
	w, k := s.w, recordKey{s.contest.ID, competitor}
	if w.last != k {
		w.last = k
		w.record.reset(competitor)
		w.key = append(append(append(w.key[:0], k.contestID...), 0), competitor...)
		if v := w.tx.Get(database.Marks, w.key); v != nil {
			w.tx.Fail(w.record.decode(competitor, v))
		}
	}
	return &w.record
}

// store writes the record that was returned last, after a change.
func (s *Contest) store() {
	w := s.w
	if w.tx.Recording() {
		w.tx.OnUndo(func() { w.last = recordKey{} })
	}
	if w.record.isEmpty() {
		w.tx.Delete(database.Marks, w.key)
		return
	}
	w.scratch = w.record.append(w.scratch[:0])
	w.tx.Put(database.Marks, w.key, w.scratch)
}

// split returns a split for reading.
func (w *Writer) split(k splitKey) *splitMarks {
	s, known := w.splits[k]
	if !known {
		var err error
		s, err = decodeSplit(w.tx.Get(database.Splits, database.Key(k.contestID, k.split)))
		w.tx.Fail(err)
		w.splits[k] = s
	}
	return s
}

// change returns a split for changing.
func (w *Writer) change(k splitKey) *splitMarks {
	s := w.split(k)
	if w.tx.Recording() {
		s = s.clone()
		database.Set(w.tx, w.splits, k, s)
	}
	w.changed[k] = true
	return s
}

func (s *Contest) splitName(number int) string {
	splits := s.contest.Definition.AllSplits()
	if number >= len(splits) {
		s.w.tx.Fail(database.ErrDamaged)
		return ""
	}
	return splits[number]
}

func (s *Contest) splitNumber(name string) int {
	return slices.Index(s.contest.Definition.AllSplits(), name)
}

// Traits implements fold.Marks.
func (s *Contest) Traits(competitor string) ranking.Traits { return s.record(competitor).named }

// Set implements fold.Marks.
func (s *Contest) Set(split string, m ranking.Mark) (total int, restated bool) {
	number, r := s.splitNumber(split), s.record(m.Competitor)
	before, isFirst := r.named, len(r.marks) == 0
	var old *ranking.Mark
	if present := r.at(number); present != nil {
		old = new(*present)
	}
	r.named = before.With(&m, old)
	if isFirst || r.named.Categories != before.Categories || r.named.Organisation != before.Organisation {
		r.show(s.contest.Known(r.named, m.Competitor, s))
	}
	if isFirst {
		index.AddMark(s.w.tx, s.contest.ID, m.Competitor)
	}
	r.dress(&m)
	r.set(number, m)
	s.replace(split, &m, old)
	// Most marks change nothing at the competitor's other splits.
	if r.named != before || r.named.IRMs > 0 {
		restated = s.restate(r)
	}
	s.store()
	return s.Total(split), restated
}

// Restate implements fold.Marks.
func (s *Contest) Restate(competitor string) {
	if r := s.record(competitor); len(r.marks) > 0 {
		r.show(s.contest.Known(r.named, competitor, s))
		s.restate(r)
		s.store()
	}
}

// restate makes all marks of a record as its traits and the IRMs at all splits make them.
// It reports whether any of them has changed.
func (s *Contest) restate(r *record) (restated bool) {
	before := slices.Clone(r.marks)
	r.restate()
	for i := range r.marks {
		if m, old := &r.marks[i], &before[i]; *m != *old {
			s.replace(s.splitName(r.splits[i]), m, old)
			s.w.work.MarkRestated()
			restated = true
		}
	}
	return restated
}

// replace replaces a mark at a split: nil if there was none, or is none.
func (s *Contest) replace(split string, m, old *ranking.Mark) {
	k := splitKey{s.contest.ID, split}
	if m == nil {
		s.w.boards.RemoveMark(k.contestID, split, *old)
	} else {
		s.w.boards.SetMark(k.contestID, split, *m)
	}
	known := s.w.split(k)
	if m != nil && old != nil {
		was, is := s.placeOf(old), s.placeOf(m)
		if was == is || !known.reaches(was) && !known.reaches(is) {
			return
		}
	}
	changed := s.w.change(k)
	if old != nil {
		changed.remove(s.placeOf(old))
	}
	if m != nil {
		changed.add(s.placeOf(m))
	}
}

func (s *Contest) placeOf(m *ranking.Mark) place {
	return place{s.contest.Definition.Direction().Order(m), m.Competitor}
}

// Settle replaces what the marks of a competitor name, after one of them was set or removed
// by a void.
func (s *Contest) Settle(competitor string, traits ranking.Traits) {
	r := s.record(competitor)
	r.named = traits.Recount(r.marks)
	r.show(s.contest.Known(r.named, competitor, s))
	s.restate(r)
	s.store()
}

// Remove removes marks. Their competitors' other marks must be settled afterwards.
func (s *Contest) Remove(list []Key) {
	for _, k := range list {
		number, r := s.splitNumber(k.Split), s.record(k.Competitor)
		old := r.at(number)
		if old == nil {
			continue
		}
		s.replace(k.Split, nil, old)
		if r.remove(number); len(r.marks) == 0 {
			index.RemoveMark(s.w.tx, s.contest.ID, k.Competitor)
		}
		s.store()
	}
}

// Has implements fold.Marks.
func (s *Contest) Has(competitor string) bool { return len(s.record(competitor).marks) > 0 }

// Clear implements fold.Marks.
func (s *Contest) Clear() {
	for _, competitor := range s.Some(s.marks()) {
		r := s.record(competitor)
		for i := range r.marks {
			s.replace(s.splitName(r.splits[i]), nil, &r.marks[i])
		}
		index.RemoveMark(s.w.tx, s.contest.ID, competitor)
		r.reset(competitor)
		s.store()
	}
}

// marks returns the number of marks at all splits.
func (s *Contest) marks() (n int) {
	for _, split := range s.contest.Definition.AllSplits() {
		n += s.Total(split)
	}
	return n
}

// Total returns the number of marks at a split.
func (s *Contest) Total(split string) int { return s.w.split(splitKey{s.contest.ID, split}).total }

// First implements fold.Marks, for at most maxBest marks.
func (s *Contest) First(split string, n int) (first []ranking.Mark, total int) {
	known, number := s.w.split(splitKey{s.contest.ID, split}), s.splitNumber(split)
	if n = min(n, maxBest); !known.knows(n) {
		known = s.findBest(split, number)
	}
	for _, p := range known.best[:min(n, len(known.best))] {
		// The contest keeps it, and the codes of a split share memory.
		m := s.record(strings.Clone(p.competitor)).at(number)
		if m == nil {
			s.w.tx.Fail(database.ErrDamaged)
			break
		}
		first = append(first, *m)
	}
	return first, known.total
}

// findBest finds the best marks at a split among all.
func (s *Contest) findBest(split string, number int) *splitMarks {
	found := s.w.change(splitKey{s.contest.ID, split})
	found.best = found.best[:0]
	for r, err := range records(s.w.tx.Bucket(database.Marks), s.contest.ID) {
		if s.w.tx.Fail(err); err != nil {
			break
		}
		s.w.work.RowRead()
		if m := r.at(number); m != nil {
			found.offer(s.placeOf(m))
		}
	}
	return found
}

// Some implements fold.Marks.
func (s *Contest) Some(n int) (competitors []string) {
	for r, err := range records(s.w.tx.Bucket(database.Marks), s.contest.ID) {
		if s.w.tx.Fail(err); err != nil || len(competitors) == n {
			break
		}
		if len(r.marks) > 0 {
			competitors = append(competitors, r.competitor)
		}
	}
	return competitors
}

// records yields the records of a contest, in the order of their competitors, each until
// the next one. An error ends the sequence.
func records(marks *bolt.Bucket, contestID string) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		var r record
		p, c := database.Prefix(contestID), marks.Cursor()
		for k, sealed := c.Seek(p); bytes.HasPrefix(k, p); k, sealed = c.Next() {
			v, err := database.Unseal(k, sealed)
			if err == nil {
				err = r.decode(string(k[len(p):]), v)
			}
			if !yield(&r, err) || err != nil {
				return
			}
		}
	}
}

// Marks returns the marks at a split of a contest, which has a number, in the order of their
// competitors. An error ends the sequence.
func Marks(tx *bolt.Tx, contestID string, split int) iter.Seq2[ranking.Mark, error] {
	return func(yield func(ranking.Mark, error) bool) {
		for r, err := range records(tx.Bucket(database.Marks), contestID) {
			if err != nil {
				yield(ranking.Mark{}, err)
				return
			}
			if m := r.at(split); m != nil && !yield(*m, nil) {
				return
			}
		}
	}
}

// Total returns the number of marks at a split of a contest.
func Total(tx *bolt.Tx, contestID, split string) (int, error) {
	v, err := database.Get(tx.Bucket(database.Splits), database.Key(contestID, split))
	if v == nil || err != nil {
		return 0, err
	}
	total, n := binary.Uvarint(v)
	if n <= 0 {
		return 0, database.ErrDamaged
	}
	return int(total), nil
}
