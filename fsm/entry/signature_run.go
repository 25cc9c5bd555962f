package entry

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Run encodes the signatures of consecutive events, each as a delta to the one before it.
// The timeline stores the signatures of events that were posted together as runs. The
// zero Run is empty.
type Run struct {
	places   uint64
	previous []byte
	wire     []byte
}

// Append appends a signature and returns its place in the run, counted from 1. The run
// keeps a reference to the signature.
func (r *Run) Append(signature []byte) (place uint64) {
	front, back := commonAffixes(r.previous, signature)
	r.wire = appendDelta(r.wire, front, back, signature)
	r.previous = signature
	r.places++
	return r.places
}

// Len returns the number of signatures in the run.
func (r *Run) Len() uint64 { return r.places }

// Bytes returns the encoded run. It is valid until the next call of Append or Reset.
func (r *Run) Bytes() []byte { return r.wire }

// Reset makes the run empty.
func (r *Run) Reset() { *r = Run{wire: r.wire[:0]} }

var errRun = errors.New("the run of signatures is damaged")

// RunReader reads signatures from an encoded run. Reading places in ascending order is
// fast.
type RunReader struct {
	place uint64 // of full
	rest  []byte // of the run, after place
	full  []byte
	spare []byte
}

// Reset makes r read another run.
func (r *RunReader) Reset(run []byte) { r.place, r.rest, r.full = 0, run, r.full[:0] }

// Place returns the place of the signature that was read last; 0 after Reset.
func (r *RunReader) Place() uint64 { return r.place }

// Signature returns the signature at a place, which must not be before Place. The result
// is valid until the next call.
func (r *RunReader) Signature(place uint64) ([]byte, error) {
	for r.place < place {
		delta, n := protowire.ConsumeBytes(r.rest)
		if n < 0 {
			return nil, errRun
		}
		full, ok := appendFull(r.spare[:0], r.full, delta)
		if !ok {
			return nil, errRun
		}
		r.rest = r.rest[n:]
		r.full, r.spare = full, r.full
		r.place++
	}
	return r.full, nil
}
