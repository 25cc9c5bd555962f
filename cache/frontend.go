package cache

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Frontend is a frontend's side of the push protocol. It knows what the frontend may
// answer from memory, and until when. Its methods are safe for concurrent use; reads take
// no lock.
type Frontend struct {
	mutation Mutation
	maxBytes int
	clock    func() time.Duration

	session atomic.Pointer[session] // nil before the first Start of a stream

	invalidations *Invalidations

	mu     sync.Mutex
	link   *Link  // the current stream; nil for none
	epoch  uint64 // the highest that was seen
	master string // the member whose epoch that is
	// latest are the acks of the newest epoch that had any, older those of the one
	// before.
	latest, older epochAcks
	freshness     freshness
}

// epochAcks are the acks that this frontend gave to the rounds of one epoch.
type epochAcks struct {
	epoch   uint64
	last    time.Duration // when the last one was sent
	retired bool          // no lease stands on them, nor ever will
}

// NewFrontend returns a frontend's side of the protocol. maxBytes bounds the memory of
// the answers that it holds, about. clock is read at each answer.
func NewFrontend(maxBytes int, clock func() time.Duration, mutation Mutation) *Frontend {
	started := epochAcks{last: clock()}
	return &Frontend{
		mutation:      mutation,
		maxBytes:      maxBytes,
		clock:         clock,
		invalidations: NewInvalidations(),
		latest:        started,
		older:         started,
	}
}

// Link is one stream from a master, as the frontend sees it.
type Link struct {
	frontend *Frontend
	own      bool
	epoch    uint64
	maxLease time.Duration // no grant is for longer
}

// Open begins a stream. own is true for the stream within the master's own process.
func (f *Frontend) Open(own bool) *Link { return &Link{frontend: f, own: own} }

// ErrStale is the error of a stream that has been replaced: by that of a later master, or
// by a newer one of the same master.
var ErrStale = errors.New("the stream has been replaced by a newer one")

// Receive takes in a message and returns the answer to it, nil for none. term is Raft's,
// read after the message came. After an error the stream must be closed.
func (l *Link) Receive(m Message, term uint64) (Message, error) {
	f := l.frontend
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	if hello, ok := m.(*Hello); ok {
		return f.hello(l, hello, term, now)
	}
	if f.link != l {
		return nil, ErrStale
	}
	switch m := m.(type) {
	case *Beat:
		return f.beat(l, m, term, now)
	case *Start:
		f.start(l, m)
		f.freshness.pushed(m.At, now)
		return f.ack(0, now), nil
	case *Recall:
		if s := f.session.Load(); s != nil {
			s.leaseEnd.Store(0)
		}
		// From now on the master does not wait for this frontend.
		f.freshness.leased = min(f.freshness.leased, now)
		return &Returned{}, nil
	case *Retire:
		// The master served before it retired, so the leases of older epochs are over
		// too.
		f.latest.retired = true
		return &Retired{m.Round}, nil
	}
	s := f.session.Load()
	if s == nil {
		return nil, fmt.Errorf("the master sent %T before it began a session", m)
	}
	switch m := m.(type) {
	case *Push:
		if err := s.push(m); err != nil {
			return nil, err
		}
		f.freshness.pushed(m.To, now)
		return f.ack(0, now), nil
	case *Release:
		s.release(m.Released)
		return nil, nil
	case *Grant:
		if err := l.checkGrant(m, now); err != nil {
			return nil, err
		}
		f.grant(s, m, now)
		return nil, nil
	}
	return nil, fmt.Errorf("the master sent %T, which only frontends send", m)
}

// endSession ends the session, its lease and its answers.
func (f *Frontend) endSession() {
	if s := f.session.Load(); s != nil {
		s.end()
		if !f.mutation.has(MutationKeepRecords) {
			f.session.Store(nil)
		}
	}
}

// Close ends the stream and its session.
func (l *Link) Close() {
	f := l.frontend
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link == l {
		f.endSession()
		f.link = nil
	}
}

func (f *Frontend) start(l *Link, m *Start) {
	r := newRecords(f.maxBytes, m.At)
	if s := f.session.Load(); s != nil && f.mutation.has(MutationKeepRecords) {
		r = s.records
	}
	f.endSession()
	f.session.Store(newSession(f.mutation, l.epoch, m, r, f.invalidations))
	f.invalidations.Add(nil, true, m.Released)
}

// beat acks a round, but only while this frontend knows of no later term: the ack
// promises that there was no later master yet.
func (f *Frontend) beat(l *Link, m *Beat, term uint64, now time.Duration) (Message, error) {
	if s := f.session.Load(); s != nil && s.epoch == l.epoch {
		s.release(m.Released)
	}
	if term != l.epoch {
		return f.ack(0, now), nil
	}
	if !l.own || !f.mutation.has(MutationForgetOwnAcks) {
		if f.latest.epoch != l.epoch {
			f.older = f.latest
		}
		f.latest = epochAcks{epoch: l.epoch, last: now}
	}
	return f.ack(m.Round, now), nil
}

func (f *Frontend) ack(round uint64, now time.Duration) *Ack {
	a := &Ack{Round: round, At: now}
	if s := f.session.Load(); s != nil {
		a.Pushed, a.Held = s.pushed.Load(), s.takeNewlyHeld()
	}
	return a
}

// grant extends the lease. It counts from when the ack was sent, which was before the
// master granted anything.
func (f *Frontend) grant(s *session, m *Grant, now time.Duration) {
	from := m.At
	if f.mutation.has(MutationLeaseFromGrant) {
		from = now
	}
	if end := from + shorter(m.Remaining); int64(end) > s.leaseEnd.Load() {
		s.leaseEnd.Store(int64(end))
		f.freshness.leased = max(f.freshness.leased, end)
	}
}

// Leased reports whether this frontend may answer from memory now.
func (f *Frontend) Leased() bool {
	s := f.session.Load()
	return s != nil && s.leased(f.clock())
}

// Invalidations returns what collects the names of changed answers. There is one per
// frontend, and it has one consumer.
func (f *Frontend) Invalidations() *Invalidations { return f.invalidations }

// State is the state of a frontend, for metrics and status pages.
type State struct {
	Pushed   uint64        // P
	Released uint64        // R
	Lease    time.Duration // what is left of it; 0 for no lease
	Bytes    int           // memory of the answers held, about
}

// State returns the present state of the frontend.
func (f *Frontend) State() State {
	s := f.session.Load()
	if s == nil {
		return State{}
	}
	return State{
		Pushed:   s.pushed.Load(),
		Released: s.released.Load(),
		Lease:    max(0, time.Duration(s.leaseEnd.Load())-f.clock()),
		Bytes:    s.records.size(),
	}
}
