package cache

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Frontend is a frontend's side of the push protocol: what it may answer from memory, and until when. Its methods are safe for concurrent
// use; reads take no lock.
type Frontend struct {
	rules Mutation
	most  int
	clock func() time.Duration

	session atomic.Pointer[session] // nil before the first Start of a stream

	feed *Invalidations

	mu   sync.Mutex
	link *Link // the stream that counts; nil for none
	// epoch is the highest that was met, and master the member whose it is. latest are the acks of the newest epoch that had any, older those before it.
	epoch         uint64
	master        string
	latest, older acks
	past          past
}

// acks are those of the rounds of one epoch.
type acks struct {
	epoch uint64
	at    time.Duration // of the last one
	none  bool          // no lease stands on them, nor ever will
}

// NewFrontend makes the frontend's side. Most bounds the bytes of the answers that it holds, about. Clock is read at each answer.
func NewFrontend(most int, clock func() time.Duration, rules Mutation) *Frontend {
	return &Frontend{rules: rules, most: most, clock: clock, feed: NewInvalidations(), latest: acks{at: clock()}, older: acks{at: clock()}}
}

// Link is one stream from a master, as the frontend sees it.
type Link struct {
	frontend *Frontend
	own      bool
	epoch    uint64
	lease    time.Duration // no grant is for longer
}

// Open begins a stream. Own is for the stream within the master's own process.
func (f *Frontend) Open(own bool) *Link { return &Link{frontend: f, own: own} }

// ErrStale is the end of a stream of a master that has been followed by another, or by a newer stream of its own.
var ErrStale = errors.New("a newer master has spoken")

// Receive takes in a message and gives the answer to it, nil for none. Term is Raft's, read after the message came. After an error the stream
// must be closed.
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
		f.past.pushed(m.At, now)
		return f.ack(0, now), nil
	case *Recall:
		if s := f.session.Load(); s != nil {
			s.until.Store(0)
		}
		f.past.known = min(f.past.known, now) // the master waits for this frontend no more
		return &Returned{}, nil
	case *Retire:
		f.latest.none = true // the master served before it retired, so the leases of older epochs are over too
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
		f.past.pushed(m.To, now)
		return f.ack(0, now), nil
	case *Release:
		s.release(m.Released)
		return nil, nil
	case *Grant:
		if err := l.check(m, now); err != nil {
			return nil, err
		}
		f.grant(s, m, now)
		return nil, nil
	}
	return nil, fmt.Errorf("a master does not send %T", m)
}

// drop ends the session. A lease ends with it, and so do its answers.
func (f *Frontend) drop() {
	if s := f.session.Load(); s != nil {
		s.end()
		if !f.rules.has(MutationKeepRecords) {
			f.session.Store(nil)
		}
	}
}

// Close ends the stream: its session is over.
func (l *Link) Close() {
	f := l.frontend
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link == l {
		f.drop()
		f.link = nil
	}
}

func (f *Frontend) start(l *Link, m *Start) {
	r := newRecords(f.most, m.At)
	if s := f.session.Load(); s != nil && f.rules.has(MutationKeepRecords) {
		r = s.records
	}
	f.drop()
	f.session.Store(newSession(f.rules, l.epoch, m, r, f.feed))
	f.feed.Add(nil, true, m.Released)
}

// beat acks a round, but only as long as this frontend knows of no later term: its ack says that there was no later master yet.
func (f *Frontend) beat(l *Link, m *Beat, term uint64, now time.Duration) (Message, error) {
	if s := f.session.Load(); s != nil && s.epoch == l.epoch {
		s.release(m.Released)
	}
	if term != l.epoch {
		return f.ack(0, now), nil
	}
	if !l.own || !f.rules.has(MutationForgetOwnAcks) {
		if f.latest.epoch != l.epoch {
			f.older = f.latest
		}
		f.latest = acks{epoch: l.epoch, at: now}
	}
	return f.ack(m.Round, now), nil
}

func (f *Frontend) ack(round uint64, now time.Duration) *Ack {
	a := &Ack{Round: round, At: now}
	if s := f.session.Load(); s != nil {
		a.Pushed, a.Held = s.pushed.Load(), s.untold()
	}
	return a
}

// grant counts from when the ack was sent, which was before the master granted anything.
func (f *Frontend) grant(s *session, m *Grant, now time.Duration) {
	from := m.At
	if f.rules.has(MutationLeaseFromGrant) {
		from = now
	}
	if until := int64(from + shorter(m.Remaining)); until > s.until.Load() {
		s.until.Store(until)
		f.past.known = max(f.past.known, time.Duration(until))
	}
}

// Leased tells whether this frontend may answer from memory now.
func (f *Frontend) Leased() bool {
	s := f.session.Load()
	return s != nil && s.leased(f.clock())
}

// Feed tells what readers here may see anew. There is one for each frontend, for one taker.
func (f *Frontend) Invalidations() *Invalidations { return f.feed }

// State is what a frontend says of itself.
type State struct {
	Pushed   uint64        // P
	Released uint64        // R
	Lease    time.Duration // what is left of it; 0 without one
	Bytes    int           // of the answers held, about
}

// State is the frontend's present state.
func (f *Frontend) State() State {
	s := f.session.Load()
	if s == nil {
		return State{}
	}
	return State{s.pushed.Load(), s.released.Load(), max(0, time.Duration(s.until.Load())-f.clock()), s.records.size()}
}
