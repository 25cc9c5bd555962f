package timeline

import (
	"bytes"
	"encoding/binary"
	"errors"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score/eventsig"
)

// The signatures of events are stored as runs of events with consecutive revisions. The
// key of a run is the revision of its first event. Like blocks, runs do not depend on
// transactions.

// runSize is the number of bytes from which a run is full. It bounds what must be decoded
// to read one signature.
const runSize = 4 << 10

// run is the last run of signatures.
type run struct {
	first, next uint64 // the revision of its first event, and the one after its last
	data        []byte // as entry.AppendSignature encodes them
	last        [eventsig.MaxSize]byte
	size        int // of last
	changed     bool
}

// lastRun returns the last run of the database, which is empty if there is none.
func (w *Writer) lastRun() *run {
	if w.cache.run != nil {
		return w.cache.run
	}
	r := new(run)
	w.cache.run = r
	k, sealed := w.tx.Bucket(database.Signatures).Cursor().Last()
	if k == nil {
		return r
	}
	list, first, err := readRun(k, sealed)
	if err != nil {
		w.tx.Fail(err)
		return r
	}
	data, _ := database.Unseal(k, sealed)
	r.first, r.next, r.data = first, first+uint64(len(list)), bytes.Clone(data)
	r.size = copy(r.last[:], list[len(list)-1])
	return r
}

func (w *Writer) appendSignature(e *entry.Event) {
	r := w.lastRun()
	if w.tx.Recording() {
		before := *r
		w.tx.OnUndo(func() { *r = before })
	}
	if e.Revision != r.next || len(r.data) >= runSize {
		w.flushRun()
		*r = run{first: e.Revision, data: w.reusable(r.data)}
	}
	r.data = entry.AppendSignature(r.data, r.last[:r.size], e.Signature)
	r.size = copy(r.last[:], e.Signature)
	r.next, r.changed = e.Revision+1, true
}

// flushRun writes the last run if it has changed.
func (w *Writer) flushRun() {
	if r := w.cache.run; r != nil && r.changed {
		w.tx.Put(database.Signatures, database.NumberedKey(r.first), r.data)
		r.changed = false
	}
}

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

// readRun decodes a record of the Signatures bucket.
func readRun(key, sealed []byte) (signatures [][]byte, first uint64, err error) {
	data, err := database.Unseal(key, sealed)
	if err != nil {
		return nil, 0, err
	}
	signatures, ok := entry.DecodeSignatures(data)
	if !ok || len(signatures) == 0 || len(key) != 8 {
		return nil, 0, errRun
	}
	return signatures, binary.BigEndian.Uint64(key), nil
}

// Signature returns the signature of an event, nil if it has none.
func (r *SignatureReader) Signature(e *entry.Event) ([]byte, error) {
	if e.Key == "" {
		return nil, nil
	}
	if e.Revision-r.first >= uint64(len(r.signatures)) {
		var err error
		if r.signatures, r.first, err = readRun(seekBack(r.runs, database.NumberedKey(e.Revision))); err != nil {
			return nil, err
		}
	}
	if e.Revision-r.first >= uint64(len(r.signatures)) {
		return nil, errRun
	}
	return r.signatures[e.Revision-r.first], nil
}
