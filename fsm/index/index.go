// Package index finds contests by sport, status and competitor.
//
// It keeps an inverted index in a bucket of the state machine's database: for each term
// (Terms) a posting for each contest that has it. A Writer updates the postings in the
// transaction that changes a contest. Find intersects the postings of the terms of a
// filter.
package index

import (
	"bytes"
	"cmp"
	"slices"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
)

// A posting is a key without a value, for one contest and one term that the contest can
// be found by:
//
//	kind, value, contest_id

// Term is one property that contests can be found by.
type Term struct {
	kind  byte
	value string
}

// The kinds of terms, which are part of the keys. The terms of a contest and those of its
// marks have different kinds, because removing one must not remove the other.
const (
	kindSport  = 's'
	kindStatus = 't' // the schedule status or the result status
	kindName   = 'n' // the code or organisation of a listed competitor, or the organisation of a leader
	kindMark   = 'm' // the code of a competitor who has a mark
)

// Terms appends the terms of a contest, without those of its marks.
func Terms(list []Term, c *score.Contest) []Term {
	list = append(list,
		Term{kindSport, c.Definition.Sport},
		Term{kindStatus, c.ScheduleStatus},
		Term{kindStatus, c.ResultStatus},
	)
	for i := range c.Competitors {
		list = append(list, Term{kindName, c.Competitors[i].Code}, Term{kindName, c.Competitors[i].Organisation})
	}
	for i := range c.Leaders {
		list = append(list, Term{kindName, c.Leaders[i].Organisation})
	}
	return list
}

// MarkTerm returns the term of a competitor who has a mark.
func MarkTerm(competitor string) Term { return Term{kindMark, competitor} }

func (t Term) compare(u Term) int {
	return cmp.Or(cmp.Compare(t.kind, u.kind), cmp.Compare(t.value, u.value))
}

// distinct returns a sorted copy of list without duplicates.
func distinct(list []Term) []Term {
	list = slices.Clone(list)
	slices.SortFunc(list, Term.compare)
	return slices.Compact(list)
}

// prefix returns the beginning of the keys of the term's postings.
func (t Term) prefix() []byte {
	const usualID = 46 // has room for the id of most contests
	k := make([]byte, 0, len(t.value)+2+usualID)
	return append(append(append(k, t.kind), t.value...), 0)
}

// Posting returns the key of the term's posting for a contest.
func (t Term) Posting(contestID string) []byte { return append(t.prefix(), contestID...) }

// Writer updates the index within a transaction.
type Writer struct {
	tx     *database.Tx
	cursor *bolt.Cursor // on the Index bucket; nil until it is used
}

// NewWriter returns a Writer for a transaction.
func NewWriter(tx *database.Tx) *Writer { return &Writer{tx: tx} }

// Update changes the postings of a contest from its terms before to those after.
func (w *Writer) Update(contestID string, before, after []Term) {
	before, after = distinct(before), distinct(after)
	for _, t := range before {
		if _, stays := slices.BinarySearchFunc(after, t, Term.compare); !stays {
			w.tx.Delete(database.Index, t.Posting(contestID))
		}
	}
	for _, t := range after {
		if _, existed := slices.BinarySearchFunc(before, t, Term.compare); !existed {
			w.tx.Put(database.Index, t.Posting(contestID), nil)
		}
	}
}

// AddMark makes a contest findable by a competitor who has a mark in it.
func (w *Writer) AddMark(contestID, competitor string) {
	if w.cursor == nil {
		w.cursor = w.tx.Bucket(database.Index).Cursor()
	}
	k := MarkTerm(competitor).Posting(contestID)
	if found, _ := w.cursor.Seek(k); !bytes.Equal(found, k) { // not added for another split
		w.tx.Put(database.Index, k, nil)
	}
}

// RemoveMark reverts AddMark. The competitor must not have a mark at another split.
func (w *Writer) RemoveMark(contestID, competitor string) {
	w.tx.Delete(database.Index, MarkTerm(competitor).Posting(contestID))
}
