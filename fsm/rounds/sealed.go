package rounds

import (
	"sync/atomic"

	"laurel/witness"
)

// Sealed is a round with all that proofs of its answers need. It does not change.
type Sealed struct {
	Round   witness.Round
	Head    witness.Head   // of the rounds up to this one
	Path    []witness.Hash // of the round in the tree that ends with it
	Answers *witness.Answers

	bodies *bodies
}

// bodies are the bodies of the answers that have changed in a round, those of older rounds
// behind them.
type bodies struct {
	changed map[string][]byte // nil for an answer that is gone
	size    int
	older   atomic.Pointer[bodies]
}

const (
	// maxKeptRounds and maxKeptBytes bound the bodies in memory.
	maxKeptRounds = 64
	maxKeptBytes  = 16 << 20
)

func newSealed(h *head, answers *witness.Answers, changed map[string][]byte, before *Sealed) *Sealed {
	s := &Sealed{
		Round: h.Round, Head: h.Head, Path: h.before.NextPath(), Answers: answers, bodies: &bodies{changed: changed},
	}
	for key, body := range changed {
		s.bodies.size += len(key) + len(body)
	}
	if before == nil {
		return s
	}
	s.bodies.older.Store(before.bodies)
	rounds, size := 0, 0
	for b := s.bodies; b != nil; b = b.older.Load() {
		rounds, size = rounds+1, size+b.size
		if older := b.older.Load(); older != nil && (rounds >= maxKeptRounds || size+older.size > maxKeptBytes) {
			b.older.Store(nil)
		}
	}
	return s
}

// Changed returns the bodies of the answers that have changed in the round, by their keys; nil
// for one that is gone. It returns none if they are too many to keep.
func (s *Sealed) Changed() map[string][]byte { return s.bodies.changed }

// Body returns the body of an answer as of the round, nil if there was none, if it is in
// memory. Otherwise it may be what the present state gives: Answers has its hash.
func (s *Sealed) Body(key string) (body []byte, known bool) {
	for b := s.bodies; b != nil; b = b.older.Load() {
		if body, known := b.changed[key]; known {
			return body, true
		}
	}
	return nil, false
}
