package timeline

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// The signatures of events that were posted together are stored together, as runs of
// events with consecutive revisions (entry.Run). The key of a run is the revision of its
// first event. The event in the timeline has the place of its signature in the run. An
// event that was posted alone has its signature itself.

// maxRun is the largest number of signatures in a run, and so the largest number that
// must be decoded to read one.
const maxRun = score.MaxTree

// run is the run of the post that is being written.
type run struct {
	entry.Run
	enabled bool   // whether the signatures of the post are stored in runs
	first   uint64 // the revision of the first event
}

// BeginPost begins a post of a number of events.
func (w *Writer) BeginPost(events int) { w.run.enabled = events > 1 }

// EndPost writes the rest of the signatures of the post.
func (w *Writer) EndPost() error { return w.endRun() }

// UndoPost drops the signatures of the post. The transaction reverts what has been
// written.
func (w *Writer) UndoPost() { w.run.Reset() }

// addToRun adds a signature to the current run and returns its place there; 0 if it is
// not in a run.
func (w *Writer) addToRun(signature []byte, revision uint64) (place uint64, err error) {
	r := &w.run
	if !r.enabled {
		return 0, nil
	}
	if r.Len() == maxRun || len(signature) == 0 {
		if err := w.endRun(); err != nil || len(signature) == 0 {
			return 0, err
		}
	}
	if r.Len() == 0 {
		r.first = revision
	}
	return r.Append(signature), nil
}

// endRun writes the current run unless it is empty.
func (w *Writer) endRun() error {
	r := &w.run
	if r.Len() == 0 {
		return nil
	}
	err := w.tx.Put(database.Signatures, binary.BigEndian.AppendUint64(nil, r.first), r.Bytes())
	r.Reset()
	return err
}

// SignatureReader reads signatures of events from their runs. It continues where it was,
// because the events of a timeline mostly have their signatures in order.
type SignatureReader struct {
	bucket *bolt.Bucket
	first  uint64 // the key of run
	run    entry.RunReader
}

// NewSignatureReader returns a reader of a Signatures bucket.
func NewSignatureReader(signatures *bolt.Bucket) *SignatureReader {
	return &SignatureReader{bucket: signatures}
}

// Signature returns the signature of an event, nil if it has none. The result is valid
// until the next call.
func (r *SignatureReader) Signature(e *Event) ([]byte, error) {
	place := e.SignaturePlace
	if place == 0 {
		return e.Signature, nil
	}
	if first := e.Revision + 1 - place; first != r.first || place < r.run.Place() {
		run, err := database.Get(r.bucket, binary.BigEndian.AppendUint64(nil, first))
		if err != nil {
			return nil, err
		}
		r.first = first
		r.run.Reset(run)
	}
	return r.run.Signature(place)
}
