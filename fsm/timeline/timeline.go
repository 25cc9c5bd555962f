package timeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
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

// Row is an event of the timeline that has not been decoded, so that a search can skip it
// by reading single fields.
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

// RowFunc handles a row of the timeline and reports whether the scan should continue.
type RowFunc func(r Row) (more bool, err error)

// ScanContest calls f for the events of a contest with revisions greater than after, in
// order.
func ScanContest(timeline *bolt.Bucket, contestID string, after uint64, f RowFunc) error {
	from := database.NumberedKey(after, contestID)
	return scanPrefix(timeline, database.Prefix(contestID), from, func(r Row) (bool, error) {
		if r.Revision <= after {
			return true, nil
		}
		return f(r)
	})
}

// ScanContestBackward calls f for the events of a contest, the latest first.
func ScanContestBackward(timeline *bolt.Bucket, contestID string, f RowFunc) error {
	c := timeline.Cursor()
	k, _ := c.Seek(database.NumberedKey(math.MaxUint64, contestID))
	var v []byte
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for p := database.Prefix(contestID); k != nil && bytes.HasPrefix(k, p); k, v = c.Prev() {
		r, err := newRow(k, v)
		if err != nil {
			return err
		}
		if more, err := f(r); !more || err != nil {
			return err
		}
	}
	return nil
}

// ScanCompetition calls f for the events of a competition that are not voided, contest by
// contest.
func ScanCompetition(timeline *bolt.Bucket, competition string, f RowFunc) error {
	more := true
	for _, p := range [][]byte{database.Prefix(competition), []byte(competition + "/")} {
		err := scanPrefix(timeline, p, p, func(r Row) (_ bool, err error) {
			if !r.IsVoided() {
				more, err = f(r)
			}
			return more, err
		})
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// scanPrefix calls f for the events whose keys have a prefix, beginning with the key
// from.
func scanPrefix(timeline *bolt.Bucket, prefix, from []byte, f RowFunc) error {
	c := timeline.Cursor()
	for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		r, err := newRow(k, v)
		if err != nil {
			return err
		}
		if more, err := f(r); !more || err != nil {
			return err
		}
	}
	return nil
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
func (w *Writer) Append(e *entry.Stored, revision uint64) error {
	var err error
	if e.SignaturePlace, err = w.addToRun(e.Signature, revision); err != nil {
		return err
	}
	return w.Put(e, revision)
}

// Put writes an event as it is.
func (w *Writer) Put(e *entry.Stored, revision uint64) error {
	w.scratch = entry.AppendStored(w.scratch[:0], e)
	return w.tx.Put(database.Timeline, database.NumberedKey(revision, e.ContestID), w.scratch)
}
