package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// session is what a frontend holds of one master, from a Start to the loss of the stream:
// the records, how far they are pushed (P) and released (R), and the lease. Readers use
// it without a lock. It changes only while the Frontend's lock is held.
type session struct {
	mutation Mutation
	epoch    uint64
	records  *records
	pushed   atomic.Uint64
	released atomic.Uint64
	leaseEnd atomic.Int64    // by this frontend's clock; 0 for no lease
	ctx      context.Context // ends with the session; waiting readers then start over
	cancel   context.CancelFunc

	mu            sync.Mutex
	awaited       []awaited // releases that readers wait for, the lowest revision first
	newlyHeld     []string  // keys of records that were loaded since the last ack
	invalidations *Invalidations
	unreleased    []pushedNames // the oldest first
}

func newSession(mutation Mutation, epoch uint64, start *Start, r *records, i *Invalidations) *session {
	s := &session{mutation: mutation, epoch: epoch, records: r, invalidations: i}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pushed.Store(start.At)
	s.released.Store(min(start.At, start.Released))
	if start.At > start.Released {
		s.unreleased = []pushedNames{{revision: start.At, all: true}}
	}
	return s
}

func (s *session) leased(now time.Duration) bool {
	return now < time.Duration(s.leaseEnd.Load()) || s.mutation.has(MutationSkipLeaseCheck)
}

func (s *session) end() {
	s.leaseEnd.Store(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
	s.wake(math.MaxUint64)
}

var errGap = errors.New("the master's pushes have a gap")

func (s *session) push(p *Push) error {
	if p.From != s.pushed.Load() || p.To < p.From {
		return fmt.Errorf("%w: one continues at revision %d, and this frontend has %d", errGap, p.From, s.pushed.Load())
	}
	s.records.apply(p)
	s.pushed.Store(p.To)
	s.mu.Lock()
	s.unreleased = append(s.unreleased, pushedNames{revision: p.To, names: p.changedNames()})
	s.invalidateReleased(s.released.Load())
	s.mu.Unlock()
	s.release(p.Released)
	return nil
}

// compare has answers from before a revision, which are not these, made again when somebody
// asks.
func (s *session) compare(revision uint64, answers map[string][]byte) {
	stale := s.records.compare(revision, answers)
	if len(stale) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.unreleased, revision+1,
		func(p pushedNames, revision uint64) int { return cmp.Compare(p.revision, revision) })
	s.unreleased = slices.Insert(s.unreleased, i, pushedNames{revision: revision, names: stale})
	s.invalidateReleased(s.released.Load())
}

// release lets readers see changes up to revision. Without a lease, that may be more than
// was pushed here.
func (s *session) release(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.released.Load() {
		return
	}
	s.released.Store(revision)
	s.wake(revision)
	s.invalidateReleased(revision)
}

// awaited is a release that readers wait for.
type awaited struct {
	revision uint64
	released chan struct{} // closed then, or at the end of the session
}

// wake wakes the readers that wait for the release of a revision up to the given one. No
// other reader is woken, and each of them once. s.mu must be held.
func (s *session) wake(revision uint64) {
	n := 0
	for ; n < len(s.awaited) && s.awaited[n].revision <= revision; n++ {
		close(s.awaited[n].released)
	}
	s.awaited = slices.Delete(s.awaited, 0, n)
}

// visible reports whether readers may see an answer that changed last at revision.
func (s *session) visible(revision uint64) bool {
	return revision <= s.released.Load() || s.mutation.has(MutationIgnoreRelease)
}

// untilReleased returns a channel that is closed when revision is visible, or when the
// session has ended. It is nil if revision is visible now.
func (s *session) untilReleased(revision uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.visible(revision):
		return nil
	case s.ctx.Err() != nil:
		return s.ctx.Done()
	}
	i, found := slices.BinarySearchFunc(s.awaited, revision,
		func(a awaited, revision uint64) int { return cmp.Compare(a.revision, revision) })
	if !found {
		s.awaited = slices.Insert(s.awaited, i, awaited{revision, make(chan struct{})})
	}
	return s.awaited[i].released
}

// takeNewlyHeld returns the keys of the records that were loaded since the last call.
func (s *session) takeNewlyHeld() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.newlyHeld
	s.newlyHeld = nil
	return held
}

// question is one reader's question for one answer.
type question struct {
	home    *slot  // the place of the answer
	tagSlot *slot  // of the tag that makes the answer stale
	minView uint64 // an answer from an older view is too old for this reader
	load    *load  // waited for; nil for none
}

// newQuestion begins a question. Later pushes need not be in its answer.
func (s *session) newQuestion(key, tag string) question {
	r := s.records
	r.mu.Lock()
	defer r.mu.Unlock()
	q := question{home: r.slotFor(key)}
	q.tagSlot = q.home
	if tag != "" {
		q.tagSlot = r.slotFor(tag)
	}
	q.home.recentlyUsed.Store(true)
	q.tagSlot.recentlyUsed.Store(true)
	if !s.mutation.has(MutationIgnoreFloor) {
		q.minView = q.tagSlot.changed.Load()
	}
	return q
}

// find returns the answer to a question; or it sets q.load, which the reader must wait
// for. begun is true if that load is new, and the caller must run it.
func (s *session) find(q *question) (e *Entry, begun bool, err error) {
	if l := q.load; l != nil {
		if l.err != nil {
			return nil, false, l.err
		}
		if l.entry.view >= q.minView {
			return l.entry, false, nil
		}
	}
	r := s.records
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := q.home.current(); e != nil {
		return e, false, nil
	}
	if q.home.load == nil {
		// The floor is read under the lock. The changes up to it will not be named again,
		// so the load must have them; later ones will mark the slot, which exists by now.
		l := &load{done: make(chan struct{}), floor: r.upTo, home: q.home, tagSlot: q.tagSlot}
		if s.mutation.has(MutationIgnoreFloor) {
			l.floor = 0
		}
		q.home.load, begun = l, true
		if q.tagSlot == q.home {
			s.mu.Lock()
			s.newlyHeld = append(s.newlyHeld, q.home.key)
			s.mu.Unlock()
		}
	}
	q.load = q.home.load
	return nil, begun, nil
}

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

// pushedNames are the names of a push that is not released yet, or those that compare found
// missing in it. all stands for what was pushed before the session began.
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
