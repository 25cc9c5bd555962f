package cache

import (
	"context"
	"errors"
)

// How an answer was found: the values of the header Laurel-Cache.
const (
	Hit     = "hit"     // it was in memory
	Wait    = "wait"    // it was in memory, and waited until it was released
	Load    = "load"    // it was made from this frontend's state machine
	Forward = "forward" // the master was asked
	Stale   = "stale"   // it was made from this frontend's state machine, which may be behind
)

// ErrNotLeased: this frontend may not answer from its memory now.
var ErrNotLeased = errors.New("no lease")

// Hit is the answer to key if it is here and may be given now; else nil. It takes no lock and allocates nothing. The lease is looked at first,
// the answer after: what it gives was true at the moment of the look, or when a push came in between.
func (f *Frontend) Hit(key []byte) *Entry {
	s := f.session.Load()
	if s == nil || !s.leased(f.clock()) {
		return nil
	}
	home := s.records.find(key)
	if home == nil {
		return nil
	}
	e := home.current()
	if e == nil || !s.visible(e.Revision) {
		return nil
	}
	if !home.used.Load() {
		home.used.Store(true)
	}
	return e
}

// Answer is the answer to key, from the records, or loaded, as soon as it may be seen, and how it came about. An answer that is made of many
// records is stale when its tag is named; tag is "" for one that is pushed under its own key. The error is ErrNotLeased, from's, or ctx's cause.
func (f *Frontend) Answer(ctx context.Context, key, tag string, from Loader) (e *Entry, how string, err error) {
	r := reading{frontend: f, key: key, tag: tag, begin: func(s *session, l *load) { go s.run(l, from) }}
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

// reading is one question on its way to its answer. It never blocks, so that a simulation can run it in the time of its own world.
type reading struct {
	frontend *Frontend
	key, tag string
	begin    func(*session, *load) // runs a load

	session  *session
	question question
	entry    *Entry
	how      string
	wake     <-chan struct{} // closed when step may go further, unless the session ends first
}

// step goes as far as it can. The lease is looked at first, once for each session; all that comes after is at least as new as that look.
func (r *reading) step() (done bool, err error) {
	for {
		if r.session != nil && r.session.ctx.Err() != nil {
			r.session = nil // there is another, or no lease any more
		}
		if r.session == nil {
			s := r.frontend.session.Load()
			if s == nil || !s.leased(r.frontend.clock()) {
				return false, ErrNotLeased
			}
			r.session, r.question, r.entry, r.how = s, s.ask(r.key, r.tag), nil, Hit
		}
		if err := r.seek(); err == nil || r.session.ctx.Err() == nil {
			return err == nil && r.wake == nil, err
		}
	}
}

// seek looks for the answer and for its release. It leaves what to wait for in wake.
func (r *reading) seek() error {
	if r.entry == nil {
		e, begun, err := r.session.seek(&r.question)
		if err != nil {
			return err
		}
		if begun {
			r.begin(r.session, r.question.load)
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
	if r.wake = r.session.next(r.entry.Revision); r.wake != nil && r.how == Hit {
		r.how = Wait
	}
	return nil
}
