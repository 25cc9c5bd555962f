package index

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
)

// Writer updates the index within a transaction.
type Writer struct {
	tx     *database.Tx
	cursor *bolt.Cursor // on the Index bucket; nil until it is used
}

// NewWriter returns a Writer for a transaction.
func NewWriter(tx *database.Tx) *Writer { return &Writer{tx: tx} }

// Update changes the postings of a contest from its terms before to those after.
func (w *Writer) Update(contestID string, before, after []Term) error {
	removed, added := diff(before, after)
	for _, t := range removed {
		if err := w.tx.Delete(database.Index, t.Posting(contestID)); err != nil {
			return err
		}
	}
	for _, t := range added {
		if err := w.tx.Put(database.Index, t.Posting(contestID), nil); err != nil {
			return err
		}
	}
	return nil
}

// AddMark makes a contest findable by a competitor who has a mark in it.
func (w *Writer) AddMark(contestID, competitor string) error {
	if w.cursor == nil {
		w.cursor = w.tx.Bucket(database.Index).Cursor()
	}
	k := MarkTerm(competitor).Posting(contestID)
	if found, _ := w.cursor.Seek(k); bytes.Equal(found, k) { // added for another split
		return nil
	}
	return w.tx.Put(database.Index, k, nil)
}

// RemoveMark reverts AddMark. The competitor must not have a mark at another split.
func (w *Writer) RemoveMark(contestID, competitor string) error {
	return w.tx.Delete(database.Index, MarkTerm(competitor).Posting(contestID))
}

// SetApplied records that the index includes the changes of everything up to a log entry,
// whose index is given as 8 bytes.
func (w *Writer) SetApplied(index []byte) error {
	return w.tx.Put(database.Index, AppliedKey, index)
}
