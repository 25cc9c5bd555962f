package entry

import (
	"crypto/sha256"
	"encoding"
	"hash"
)

// RunningHash is the SHA-256 of all applied events in the order of their revisions: of each
// its length, as a varint, and then the event as the timeline stores it at first.
//
// The root of a Merkle tree of the events would also serve to prove single events, which
// nobody asks for, and costs more (docs/benchmarks.md).
type RunningHash struct{ sha256 hash.Hash }

// NewRunningHash returns the hash that had a state; the one of no events for nil. ok is false
// if it is not the state of a hash.
func NewRunningHash(state []byte) (h *RunningHash, ok bool) {
	h = &RunningHash{sha256.New()}
	return h, state == nil || h.sha256.(encoding.BinaryUnmarshaler).UnmarshalBinary(state) == nil
}

// Add adds events and returns the digest of all of them.
func (h *RunningHash) Add(events []byte) (digest [sha256.Size]byte) {
	h.sha256.Write(events)
	h.sha256.Sum(digest[:0])
	return digest
}

// State returns what NewRunningHash needs to go on.
func (h *RunningHash) State() []byte {
	state, err := h.sha256.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(err) // the hashes of crypto/sha256 return none
	}
	return state
}
