package cache

import (
	"context"
	"errors"
	"time"
)

// How an answer was found: the values of the header Laurel-Cache.
const (
	Hit     = "hit"     // it was in memory
	Wait    = "wait"    // it was in memory, and waited until it was released
	Load    = "load"    // it was made from this frontend's state machine
	Forward = "forward" // the master was asked
	Stale   = "stale"   // it was made from this frontend's state machine, which may be behind
)

// ErrNotLeased is returned where this frontend has no lease, and so may not answer from
// memory.
var ErrNotLeased = errors.New("no lease")

// Find returns the answer to key if it is in memory, else nil. It may be given when lease
// says that its revision is visible. Find takes no lock and allocates nothing. It checks
// the lease before it looks for the answer, so the answer was true at the moment of the
// check or at a push after it.
func (f *Frontend) Find(key []byte) (e *Entry, lease LeaseCheck) {
	lease, ok := f.CheckLease()
	if !ok {
		return nil, lease
	}
	home := lease.session.records.find(key)
	if home == nil {
		return nil, lease
	}
	if e = home.current(); e != nil && !home.recentlyUsed.Load() {
		home.recentlyUsed.Store(true)
	}
	return e, lease
}

// Answer returns the answer to key, from memory or loaded with from, as soon as readers
// may see it, and how it was found: Hit, Wait or Load. An answer that is made of many
// records has a tag, whose change makes it stale; a record has none, because it is pushed
// under its key. The error is ErrNotLeased, that of from, or ctx's cause.
func (f *Frontend) Answer(ctx context.Context, key, tag string, from Loader) (e *Entry, how string, err error) {
	startLoad := func(s *session, l *load) { go s.runLoad(l, from) }
	r := pendingRead{frontend: f, key: key, tag: tag, startLoad: startLoad}
	for {
		done, err := r.step()
		switch {
		case err != nil:
			return nil, "", err
		case done:
			return r.entry, r.how, nil
		}
		select {
		case <-r.wake:
		case <-r.session.ctx.Done():
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		}
	}
}

// pendingRead is a read on its way to its answer. It never blocks, so a simulation can
// run it in virtual time.
type pendingRead struct {
	frontend  *Frontend
	key, tag  string
	startLoad func(*session, *load)

	session  *session
	question question
	entry    *Entry
	how      string
	wake     <-chan struct{} // closed when step can go on; the session may end first
}

// step goes as far as it can. It checks the lease first, once per session; all that
// follows is at least as new as that check.
func (r *pendingRead) step() (done bool, err error) {
	for {
		if r.session != nil && r.session.ctx.Err() != nil {
			r.session = nil // there is another one, or no lease any more
		}
		if r.session == nil {
			s := r.frontend.leasedSession()
			if s == nil {
				return false, ErrNotLeased
			}
			r.session, r.question, r.entry, r.how = s, s.newQuestion(r.key, r.tag), nil, Hit
		}
		if err := r.find(); err == nil || r.session.ctx.Err() == nil {
			return err == nil && r.wake == nil, err
		}
	}
}

// find looks for the answer, and then for its release. It leaves what to wait for in
// wake.
func (r *pendingRead) find() error {
	if r.entry == nil {
		e, begun, err := r.session.find(&r.question)
		if err != nil {
			return err
		}
		if begun {
			r.startLoad(r.session, r.question.load)
		}
		if r.question.load != nil {
			r.how = Load
		}
		if e == nil {
			r.wake = r.question.load.done
			return nil
		}
		r.entry = e
	}
	if r.wake = r.session.untilReleased(r.entry.Revision); r.wake != nil && r.how == Hit {
		r.how = Wait
	}
	return nil
}

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

// loadLimit bounds a load, because many readers may wait for it.
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
