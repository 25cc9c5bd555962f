package fsm

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// The signatures of events that were posted together are kept together: a run is those of events with consecutive revisions, each as its difference from
// the one before (shared.go), under the revision of the first. An event in the timeline then has no signature, but its place in a run, as its field 17,
// counted from 1. One that was posted alone has its own.

// maxRun is how many signatures a run has at the most, and so how many have to be gone through to make one whole.
const maxRun = score.MaxTree

// run is the signatures of the events of the post that is being applied.
type run struct {
	kept   bool // whether the post's signatures are
	first  uint64
	places uint64
	before []byte
	wire   []byte
}

// place puts the signature of the event just applied into a run, and gives its place there; 0: it has none.
func (b *batch) place(e *event) (uint64, error) {
	r := &b.run
	if !r.kept {
		return 0, nil
	}
	if r.places == maxRun || len(e.Signature) == 0 {
		if err := b.endRun(); err != nil || len(e.Signature) == 0 {
			return 0, err
		}
	}
	if r.places == 0 {
		r.first, r.before = b.revision, nil
	}
	front, back := likeness(r.before, e.Signature)
	r.wire = appendDifference(r.wire, front, back, e.Signature)
	r.before = e.Signature
	r.places++
	return r.places, nil
}

// endRun writes what there is of a run.
func (b *batch) endRun() error {
	r := &b.run
	if r.places == 0 {
		return nil
	}
	err := b.put(signatureBucket, binary.BigEndian.AppendUint64(nil, r.first), r.wire)
	b.dropRun()
	return err
}

func (b *batch) dropRun() { b.run = run{kept: b.run.kept, wire: b.run.wire[:0]} }

// runReader finds signatures in runs. It goes on where it was, for the events of a timeline mostly have theirs one behind the other.
type runReader struct {
	bucket *bolt.Bucket
	first  uint64
	place  uint64 // of whole
	rest   []byte // of the run, behind it
	whole  []byte
	spare  []byte
}

// signature is the one at a place of the run that begins with the revision first. It is valid until the next call.
func (r *runReader) signature(first, place uint64) ([]byte, error) {
	if first != r.first || place < r.place {
		v, err := get(r.bucket, binary.BigEndian.AppendUint64(nil, first))
		if err != nil {
			return nil, err
		}
		r.first, r.place, r.rest, r.whole = first, 0, v, r.whole[:0]
	}
	for r.place < place {
		difference, n := protowire.ConsumeBytes(r.rest)
		if n < 0 {
			return nil, errSeal
		}
		whole, ok := appendWhole(r.spare[:0], r.whole, difference)
		if !ok {
			return nil, errSeal
		}
		r.rest = r.rest[n:]
		r.whole, r.spare = whole, r.whole
		r.place++
	}
	return r.whole, nil
}
