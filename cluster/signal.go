package cluster

import (
	"sync"
	"time"
)

var start = time.Now()

func sinceStart() time.Duration { return time.Since(start) }

// turn is a lock that may be held for long. It is a channel, because virtual time (testing/synctest) stands still while anybody waits for a
// mutex, and what its holder waits for would never come.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// signal lets any number of callers wait until something has moved on.
type signal struct {
	mu      sync.Mutex
	waiting chan struct{} // nil while nobody waits
}

// next is closed at the next tell.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

func (s *signal) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}
