// Package timeline stores the events of each contest in the state machine's database, in
// the order of their revisions.
//
// A Writer writes events within a transaction. Contest and its variants read them as
// Rows, of which single fields can be read without decoding the event. The signatures of
// events that were posted together are stored apart, as runs (signatures.go).
package timeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
)

// Event is an event of the timeline.
type Event struct {
	entry.Stored
	Revision uint64
}

// Row is an event that has not been decoded, so that a search can skip it by reading
// single fields.
type Row struct {
	Revision uint64
	entry.Wire
}

// Decode decodes the event, without a signature that is in a run. The result does not
// alias the transaction's memory.
func (r Row) Decode() (Event, error) {
	stored, err := entry.DecodeStored(bytes.Clone(r.Wire))
	if err != nil || stored.SignaturePlace > r.Revision {
		return Event{}, fmt.Errorf("event %d of the timeline: %w", r.Revision, database.ErrDamaged)
	}
	return Event{stored, r.Revision}, nil
}

func newRow(key, sealed []byte) (Row, error) {
	wire, err := database.Unseal(key, sealed)
	if err == nil && len(key) < 8 {
		err = database.ErrDamaged
	}
	if err != nil {
		return Row{}, err
	}
	return Row{binary.BigEndian.Uint64(key[len(key)-8:]), wire}, nil
}

// Load returns the event of a contest at a revision. There must be one.
func Load(timeline *bolt.Bucket, contestID string, revision uint64) (Event, error) {
	wire, err := database.Get(timeline, database.NumberedKey(revision, contestID))
	if err != nil {
		return Event{}, err
	}
	return Row{revision, wire}.Decode()
}

// Contest returns the events of a contest with revisions greater than after, in order. An
// error ends the sequence.
func Contest(timeline *bolt.Bucket, contestID string, after uint64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		c, last := timeline.Cursor(), database.NumberedKey(after, contestID)
		k, v := c.Seek(last)
		if bytes.Equal(k, last) {
			k, v = c.Next()
		}
		scan(k, v, c.Next, database.Prefix(contestID), yield)
	}
}

// ContestBackward returns the events of a contest, the latest first.
func ContestBackward(timeline *bolt.Bucket, contestID string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		c := timeline.Cursor()
		var k, v []byte
		if behind, _ := c.Seek(database.NumberedKey(math.MaxUint64, contestID)); behind == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		scan(k, v, c.Prev, database.Prefix(contestID), yield)
	}
}

// Competition returns the events of a competition that are not voided, contest by
// contest.
func Competition(timeline *bolt.Bucket, competition string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		counting := func(r Row, err error) bool { return err == nil && r.IsVoided() || yield(r, err) }
		c := timeline.Cursor()
		for _, p := range [][]byte{database.Prefix(competition), []byte(competition + "/")} {
			k, v := c.Seek(p)
			if !scan(k, v, c.Next, p, counting) {
				return
			}
		}
	}
}

// scan yields the events whose keys have a prefix, beginning with k. It reports whether
// it came to the end of them.
func scan(k, v []byte, next func() (k, v []byte), prefix []byte, yield func(Row, error) bool) bool {
	for ; bytes.HasPrefix(k, prefix); k, v = next() {
		r, err := newRow(k, v)
		if !yield(r, err) || err != nil {
			return false
		}
	}
	return true
}

// Writer writes events to the timeline of a transaction.
type Writer struct {
	tx      *database.Tx
	scratch []byte
	run     run
}

// NewWriter returns a Writer for a transaction.
func NewWriter(tx *database.Tx) *Writer { return &Writer{tx: tx} }

// Append writes an event with its revision. If the event belongs to a post of several
// events, its signature is added to the current run. The signature must not change before
// EndPost.
func (w *Writer) Append(e *entry.Stored, revision uint64) {
	e.SignaturePlace = w.addToRun(e.Signature, revision)
	w.Put(e, revision)
}

// Put writes an event as it is.
func (w *Writer) Put(e *entry.Stored, revision uint64) {
	w.scratch = entry.AppendStored(w.scratch[:0], e)
	w.tx.Put(database.Timeline, database.NumberedKey(revision, e.ContestID), w.scratch)
}
