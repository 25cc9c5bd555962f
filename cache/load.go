package cache

import (
	"context"
	"time"
)

// Loader makes an answer from this frontend's state machine, as soon as that has applied
// at least the revision floor. It returns the answer, nil if there is none, the revision
// at which the answer changed last, and view, the revision of the state that the answer
// was made from.
type Loader func(ctx context.Context, floor uint64) (body []byte, revision, view uint64, err error)

// load is an answer that is being made from the state machine. Many readers may wait for
// it. entry and err are set before done is closed.
type load struct {
	done  chan struct{}
	entry *Entry
	err   error

	floor         uint64 // the revision that the state machine must have applied
	home, tagSlot *slot
}

// loadLimit bounds a load, whoever began it, because many may wait for it.
const loadLimit = 5 * time.Second

func (s *session) runLoad(l *load, from Loader) {
	ctx, cancel := context.WithTimeout(s.ctx, loadLimit)
	defer cancel()
	body, revision, view, err := from(ctx, l.floor)
	s.finishLoad(l, body, revision, view, err)
}

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
	r.evict() // also after an error: loads that fail leave slots behind
}
