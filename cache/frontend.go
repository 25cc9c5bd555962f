package cache

import (
	"errors"
	"fmt"
	"sort"
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
	// latest has the acks of the newest epoch with acks, older those of the one before.
	latest, older epochAcks
	freshness     freshness
}

// epochAcks are the acks that this frontend gave to the rounds of one epoch.
type epochAcks struct {
	epoch   uint64
	last    time.Duration // when the last one was sent
	retired bool          // no lease depends on them, now or later
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
		return f.beat(l, m, term, now), nil
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
		if m.Remaining > l.maxLease || m.At > now {
			return nil, fmt.Errorf("%w: it lasts %v, where %v is the longest, and counts from %v ago",
				errGrant, m.Remaining, l.maxLease, now-m.At)
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
func (f *Frontend) beat(l *Link, m *Beat, term uint64, now time.Duration) *Ack {
	if s := f.session.Load(); s != nil && s.epoch == l.epoch {
		s.release(m.Released)
	}
	if term != l.epoch {
		return f.ack(0, now)
	}
	if !l.own || !f.mutation.has(MutationForgetOwnAcks) {
		if f.latest.epoch != l.epoch {
			f.older = f.latest
		}
		f.latest = epochAcks{epoch: l.epoch, last: now}
	}
	return f.ack(m.Round, now)
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
func (f *Frontend) Leased() bool { return f.leasedSession() != nil }

// leasedSession returns the session; nil if there is none, or it has no lease now.
func (f *Frontend) leasedSession() *session {
	s := f.session.Load()
	if s == nil || !s.leased(f.clock()) {
		return nil
	}
	return s
}

// Compare compares answers in memory with those that the frontend's own state has at a
// revision; nil stands for none. What is older and differs is not answered any more: a
// master may have withheld a push. Those of an honest master are only late.
func (f *Frontend) Compare(revision uint64, answers map[string][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.session.Load(); s != nil {
		s.compare(revision, answers)
	}
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

// ErrTwoMasters is the error of a Hello whose epoch another member has named as its own.
// Raft elects one master per term, so one of the two lies or is damaged, and nobody can
// tell which.
var ErrTwoMasters = errors.New("two members claim to be the master of one epoch")

// ErrAhead is the error of a Hello whose epoch is a term that Raft has not reached at
// this frontend.
var ErrAhead = errors.New("the epoch is ahead of raft at this frontend")

// errGrant is the error of a grant that no honest master sends.
var errGrant = errors.New("invalid grant of a lease")

// hello begins a stream and ends the session. A Hello that is refused changes nothing.
func (f *Frontend) hello(l *Link, m *Hello, term uint64, now time.Duration) (Message, error) {
	switch {
	case m.Epoch < f.epoch || m.Epoch == 0:
		return nil, fmt.Errorf("%w: this frontend is in epoch %d, the stream in %d", ErrStale, f.epoch, m.Epoch)
	case m.Epoch > term:
		return nil, fmt.Errorf("%w: raft is in term %d, the stream of %q in epoch %d",
			ErrAhead, term, m.Master, m.Epoch)
	case m.Epoch == f.epoch && m.Master != f.master:
		return nil, fmt.Errorf("%w: %q and %q, epoch %d", ErrTwoMasters, f.master, m.Master, m.Epoch)
	}
	f.endSession()
	f.epoch, f.master, f.link = m.Epoch, m.Master, l
	l.epoch, l.maxLease = m.Epoch, m.Lease
	before := f.latest
	if before.epoch == m.Epoch {
		before = f.older
	}
	return &Welcome{Age: now - before.last, NoLease: before.retired}, nil
}

// freshness records, per revision, the latest time at which a state at that revision was
// known to be complete: to have everything that anybody could have been told. A state
// machine may be behind what was pushed to its frontend, because followers learn late
// that an entry is committed.
type freshness struct {
	leased    time.Duration // the latest end of a lease so far; 0 for none. Until then all was here
	gaps      []gap         // by revision
	forgotten uint64        // nothing is remembered of states before this revision
}

// gap records that a state before revision was complete until completeUntil; 0 for never.
type gap struct {
	revision      uint64
	completeUntil time.Duration
}

// maxGaps bounds what is remembered: about a second under the highest load.
const maxGaps = 4096

// pushed notes a push at now. Nobody could have been told of the revision before.
func (f *freshness) pushed(revision uint64, now time.Duration) {
	if n := len(f.gaps); n > 0 && revision <= f.gaps[n-1].revision {
		return
	}
	if len(f.gaps) == maxGaps {
		half := maxGaps / 2
		f.forgotten = f.gaps[half-1].revision
		f.gaps = append(f.gaps[:0:0], f.gaps[half:]...)
	}
	f.gaps = append(f.gaps, gap{revision, min(now, f.leased)})
}

// completeUntil returns until when a state at revision was complete; 0 if that is not
// known.
func (f *freshness) completeUntil(revision uint64) time.Duration {
	if revision < f.forgotten {
		return 0
	}
	i := sort.Search(len(f.gaps), func(i int) bool { return f.gaps[i].revision > revision })
	if i < len(f.gaps) {
		return f.gaps[i].completeUntil
	}
	return f.leased
}

// Age returns for how long a state of the store at revision may have been incomplete:
// since the last lease ended, or since more was pushed than the state has.
func (f *Frontend) Age(revision uint64) (age time.Duration, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := f.freshness.completeUntil(revision)
	return max(0, f.clock()-until), until != 0
}
