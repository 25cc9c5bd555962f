package cache

import (
	"context"
	"time"
)

// Loader makes an answer from this frontend's state machine, as soon as that has applied at least the revision floor. The view is the
// revision of the state that it was made from, revision that of the last change of the answer, and body the answer, nil if there is none.
type Loader func(ctx context.Context, floor uint64) (body []byte, revision, view uint64, err error)

// load is a question on its way to the state machine. Many ask together. Entry and err are set before done is closed.
type load struct {
	done  chan struct{}
	entry *Entry
	err   error

	floor         uint64 // the least that the state machine must have
	home, tagSlot *slot
}

// loadLimit bounds a load, which many may wait for, whoever began it.
const loadLimit = 5 * time.Second

func (s *session) runLoad(l *load, from Loader) {
	ctx, cancel := context.WithTimeout(s.ctx, loadLimit)
	defer cancel()
	body, revision, view, err := from(ctx, l.floor)
	s.finishLoad(l, body, revision, view, err)
}

// loaded ends a load.
func (s *session) finishLoad(l *load, body []byte, revision, view uint64, err error) {
	r := s.records
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(l.done)
	l.home.load = nil
	if l.err = err; err == nil {
		l.entry = &Entry{Revision: revision, Body: body, view: view, home: l.home, tag: l.tagSlot}
		r.put(l.entry)
	}
	r.evict() // those who ask for what fails to load leave slots, too
}
