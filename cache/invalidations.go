package cache

import (
	"maps"
	"slices"
	"sync"
)

// Invalidations collects the names of the answers of which readers may see a new value.
// It has one consumer, which waits for Wake and calls Take. It holds no values, so a slow
// consumer costs little memory. Its methods are safe for concurrent use.
type Invalidations struct {
	wake chan struct{}

	mu       sync.Mutex
	names    map[string]struct{}
	all      bool
	revision uint64
}

// Invalidated is what has changed for readers.
type Invalidated struct {
	Names    []string // keys of records, and tags
	All      bool     // anything may have changed: for a while there was no session
	Revision uint64   // the released revision
}

func NewInvalidations() *Invalidations {
	return &Invalidations{wake: make(chan struct{}, 1), names: map[string]struct{}{}}
}

// Wake returns a channel that receives a value when there is something to take.
func (i *Invalidations) Wake() <-chan struct{} { return i.wake }

// Take returns what has changed since the last call.
func (i *Invalidations) Take() Invalidated {
	i.mu.Lock()
	defer i.mu.Unlock()
	taken := Invalidated{All: i.all, Revision: i.revision, Names: slices.Collect(maps.Keys(i.names))}
	clear(i.names)
	i.all = false
	return taken
}

// Add notes that names, or all answers, may have changed.
func (i *Invalidations) Add(names []string, all bool, revision uint64) {
	i.mu.Lock()
	for _, name := range names {
		i.names[name] = struct{}{}
	}
	i.all = i.all || all
	i.revision = max(i.revision, revision)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// pushedNames are the names of a push that is not released yet. all stands for what was
// pushed before the session began.
type pushedNames struct {
	revision uint64
	names    []string
	all      bool
}

func (p *Push) changedNames() []string {
	names := make([]string, 0, len(p.Records)+len(p.Stale))
	for i := range p.Records {
		names = append(names, p.Records[i].Key)
	}
	return append(names, p.Stale...)
}

// invalidateReleased passes on the names of the released pushes. s.mu must be held.
func (s *session) invalidateReleased(revision uint64) {
	for len(s.unreleased) > 0 && s.unreleased[0].revision <= revision {
		p := s.unreleased[0]
		s.invalidations.Add(p.names, p.all, p.revision)
		s.unreleased = s.unreleased[1:]
	}
}
