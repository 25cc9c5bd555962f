package fsm

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// The signatures of events that were posted together are stored together, as runs of events with
// consecutive revisions (entry.Run). The key of a run is the revision of its first event. The event in the
// timeline has the place of its signature in the run. An event that was posted alone has its signature
// itself.

// maxRun is the largest number of signatures in a run, and so the largest number that must be decoded to
// read one.
const maxRun = score.MaxTree

// signatureRun is the run of the post that is being applied.
type signatureRun struct {
	entry.Run
	enabled bool   // whether the signatures of the post are stored in runs
	first   uint64 // the revision of the first event
}

// addToRun adds the signature of the event just applied to a run and returns its place there; 0 if the
// event's signature is not in a run.
func (b *batch) addToRun(signature []byte) (place uint64, err error) {
	r := &b.run
	if !r.enabled {
		return 0, nil
	}
	if r.Len() == maxRun || len(signature) == 0 {
		if err := b.endRun(); err != nil || len(signature) == 0 {
			return 0, err
		}
	}
	if r.Len() == 0 {
		r.first = b.revision
	}
	return r.Append(signature), nil
}

// endRun writes the current run unless it is empty.
func (b *batch) endRun() error {
	r := &b.run
	if r.Len() == 0 {
		return nil
	}
	err := b.put(database.Signatures, binary.BigEndian.AppendUint64(nil, r.first), r.Bytes())
	r.Reset()
	return err
}

// runReader reads signatures from the runs in the database. It continues where it was, because the events
// of a timeline mostly have their signatures in order.
type runReader struct {
	bucket *bolt.Bucket
	first  uint64 // the key of run
	run    entry.RunReader
}

// signature returns the signature at a place of the run whose key is first. The result is valid until the
// next call.
func (r *runReader) signature(first, place uint64) ([]byte, error) {
	if first != r.first || place < r.run.Place() {
		run, err := database.Get(r.bucket, binary.BigEndian.AppendUint64(nil, first))
		if err != nil {
			return nil, err
		}
		r.first = first
		r.run.Reset(run)
	}
	return r.run.Signature(place)
}
