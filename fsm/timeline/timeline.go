// Package timeline stores the events of each contest in the state machine's database, in
// the order of their revisions.
//
// A Writer writes events within a transaction. Contest and its variants read them as
// Rows, of which single fields can be read without decoding the event. The signatures are
// stored apart.
package timeline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// Row is an event that has not been decoded, so that a search can skip it by reading
// single fields.
type Row struct {
	Revision uint64
	entry.Wire
}

// Decode decodes the event, without its signature. The result does not alias the
// transaction's memory.
func (r Row) Decode() (entry.Event, error) {
	e, err := entry.DecodeStored(bytes.Clone(r.Wire))
	if err != nil {
		return e, fmt.Errorf("event %d of the timeline: %w", r.Revision, database.ErrDamaged)
	}
	e.Revision = r.Revision
	return e, nil
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
func Load(timeline *bolt.Bucket, contestID string, revision uint64) (entry.Event, error) {
	wire, err := database.Get(timeline, database.NumberedKey(revision, contestID))
	if err != nil {
		return entry.Event{}, err
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
		k, v := before(c, database.NumberedKey(math.MaxUint64, contestID))
		scan(k, v, c.Prev, database.Prefix(contestID), yield)
	}
}

// before returns the record before a key.
func before(c *bolt.Cursor, key []byte) (k, v []byte) {
	if next, _ := c.Seek(key); next == nil {
		return c.Last()
	}
	return c.Prev()
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

// The signatures of events that were posted together are stored together, as runs of
// events with consecutive revisions. The key of a run is the revision of its first event.

// maxRun is the largest number of signatures in a run, and so the largest number that
// must be decoded to read one.
const maxRun = score.MaxTree

// Writer writes events to the timeline of a transaction.
type Writer struct {
	tx         *database.Tx
	scratch    []byte
	first      uint64   // the revision of the first event of the current run
	signatures [][]byte // of the current run
}

// NewWriter returns a Writer for a transaction.
func NewWriter(tx *database.Tx) *Writer { return &Writer{tx: tx} }

// Append writes an event, and adds its signature to the current run. The signature must
// not change before EndPost. It returns the event as it is stored, until the next call.
func (w *Writer) Append(e *entry.Event) (stored []byte) {
	if len(w.signatures) == maxRun || len(e.Signature) == 0 {
		w.EndPost()
	}
	if len(e.Signature) > 0 {
		w.signatures = append(w.signatures, e.Signature)
		w.first = e.Revision + 1 - uint64(len(w.signatures))
	}
	w.Put(e)
	return w.scratch
}

// Put writes an event without its signature.
func (w *Writer) Put(e *entry.Event) {
	w.scratch = entry.AppendStored(w.scratch[:0], e)
	w.tx.Put(database.Timeline, database.NumberedKey(e.Revision, e.ContestID), w.scratch)
}

// EndPost writes the current run unless it is empty.
func (w *Writer) EndPost() {
	if len(w.signatures) > 0 {
		w.scratch = entry.AppendSignatures(w.scratch[:0], w.signatures)
		w.tx.Put(database.Signatures, database.NumberedKey(w.first), w.scratch)
		w.UndoPost()
	}
}

// UndoPost drops the current run. The transaction reverts what has been written.
func (w *Writer) UndoPost() { w.signatures = w.signatures[:0] }

// SignatureReader reads signatures of events from their runs. It keeps the last run,
// because the events of a timeline mostly have their signatures in order.
type SignatureReader struct {
	runs       *bolt.Cursor
	first      uint64 // the key of the current run
	signatures [][]byte
}

// NewSignatureReader returns a reader of a Signatures bucket.
func NewSignatureReader(signatures *bolt.Bucket) *SignatureReader {
	return &SignatureReader{runs: signatures.Cursor()}
}

var errRun = errors.New("the run of signatures is damaged")

// Signature returns the signature of an event, nil if it has none.
func (r *SignatureReader) Signature(e *entry.Event) ([]byte, error) {
	if e.Key == "" {
		return nil, nil
	}
	if e.Revision-r.first >= uint64(len(r.signatures)) {
		k, sealed := before(r.runs, database.NumberedKey(e.Revision+1))
		run, err := database.Unseal(k, sealed)
		if err != nil {
			return nil, err
		}
		var ok bool
		if r.signatures, ok = entry.DecodeSignatures(run); !ok || len(k) != 8 {
			return nil, errRun
		}
		r.first = binary.BigEndian.Uint64(k)
	}
	if e.Revision-r.first >= uint64(len(r.signatures)) {
		return nil, errRun
	}
	return r.signatures[e.Revision-r.first], nil
}
