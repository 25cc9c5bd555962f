package timeline

import (
	"encoding/binary"
	"errors"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// The signatures of events that were posted together are stored together, as runs of
// events with consecutive revisions: each signature as a delta to the one before it. The
// key of a run is the revision of its first event. The event in the timeline has the
// place of its signature in the run, counted from 1. An event that was posted alone has
// its signature itself.

// maxRun is the largest number of signatures in a run, and so the largest number that
// must be decoded to read one.
const maxRun = score.MaxTree

// run is the run of the post that is being written.
type run struct {
	enabled  bool   // whether the signatures of the post are stored in runs
	first    uint64 // the revision of the first event
	length   uint64
	previous []byte // the last signature
	wire     []byte
}

func (r *run) reset() { r.length, r.previous, r.wire = 0, nil, r.wire[:0] }

// BeginPost begins a post of a number of events.
func (w *Writer) BeginPost(events int) { w.run.enabled = events > 1 }

// UndoPost drops the signatures of the post. The transaction reverts what has been
// written.
func (w *Writer) UndoPost() { w.run.reset() }

// addToRun adds a signature to the current run and returns its place there; 0 if it is
// not in a run.
func (w *Writer) addToRun(signature []byte, revision uint64) (place uint64) {
	r := &w.run
	if !r.enabled {
		return 0
	}
	if r.length == maxRun || len(signature) == 0 {
		w.EndPost()
	}
	if len(signature) == 0 {
		return 0
	}
	if r.length == 0 {
		r.first = revision
	}
	r.wire = entry.AppendDelta(r.wire, r.previous, signature)
	r.previous = signature
	r.length++
	return r.length
}

// EndPost writes the current run unless it is empty.
func (w *Writer) EndPost() {
	if r := &w.run; r.length > 0 {
		w.tx.Put(database.Signatures, binary.BigEndian.AppendUint64(nil, r.first), r.wire)
		r.reset()
	}
}

// SignatureReader reads signatures of events from their runs. It continues where it was,
// because the events of a timeline mostly have their signatures in order.
type SignatureReader struct {
	bucket *bolt.Bucket
	first  uint64 // the key of the current run
	place  uint64 // of full
	rest   []byte // of the run, after place
	full   []byte
	spare  []byte
}

// NewSignatureReader returns a reader of a Signatures bucket.
func NewSignatureReader(signatures *bolt.Bucket) *SignatureReader {
	return &SignatureReader{bucket: signatures}
}

var errRun = errors.New("the run of signatures is damaged")

// Signature returns the signature of an event, nil if it has none. The result is valid
// until the next call.
func (r *SignatureReader) Signature(e *Event) ([]byte, error) {
	place := e.SignaturePlace
	if place == 0 {
		return e.Signature, nil
	}
	if first := e.Revision + 1 - place; first != r.first || place < r.place {
		run, err := database.Get(r.bucket, binary.BigEndian.AppendUint64(nil, first))
		if err != nil {
			return nil, err
		}
		r.first, r.place, r.rest, r.full = first, 0, run, r.full[:0]
	}
	for ; r.place < place; r.place++ {
		full, rest, ok := entry.ReadDelta(r.spare[:0], r.full, r.rest)
		if !ok {
			return nil, errRun
		}
		r.full, r.spare, r.rest = full, r.full, rest
	}
	return r.full, nil
}
