package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// session is what a frontend holds of one master, from a Start to the loss of the stream: the answers, how far they are pushed (P) and
// released (R), and the lease. Readers use it without a lock; it changes only while the Frontend's lock is held.
type session struct {
	rules    Mutation
	epoch    uint64
	records  *records
	pushed   atomic.Uint64
	released atomic.Uint64
	until    atomic.Int64    // the end of the lease by this frontend's clock; 0 for none
	ctx      context.Context // ends with it: whoever waits asks anew
	cancel   context.CancelFunc

	mu      sync.Mutex
	waiting chan struct{} // closed at the next release; nil while nobody waits
	held    []string      // keys of records loaded, which the master has not been told yet
	feed    *Invalidations
	unseen  []named // not released yet, the oldest first
}

func newSession(rules Mutation, epoch uint64, start *Start, r *records, feed *Invalidations) *session {
	s := &session{rules: rules, epoch: epoch, records: r, feed: feed}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pushed.Store(start.At)
	s.released.Store(min(start.At, start.Released))
	if start.At > start.Released {
		s.unseen = []named{{to: start.At, all: true}}
	}
	return s
}

func (s *session) leased(now time.Duration) bool {
	return now < time.Duration(s.until.Load()) || s.rules.has(MutationSkipLeaseCheck)
}

func (s *session) end() {
	s.until.Store(0)
	s.cancel()
}

var errGap = errors.New("the master's pushes have a gap")

// push takes in one push.
func (s *session) push(p *Push) error {
	if p.From != s.pushed.Load() || p.To < p.From {
		return fmt.Errorf("%w: they go on at %d, and %d is what is here", errGap, p.From, s.pushed.Load())
	}
	s.records.take(p)
	s.pushed.Store(p.To)
	s.mu.Lock()
	s.unseen = append(s.unseen, named{to: p.To, names: p.names()})
	s.feedReleased(s.released.Load())
	s.mu.Unlock()
	s.release(p.Released)
	return nil
}

// release lets readers see up to revision. That may be more than is pushed here only while there is no lease.
func (s *session) release(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.released.Load() {
		return
	}
	s.released.Store(revision)
	s.feedReleased(revision)
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}

// visible tells whether readers may see what changed last at revision.
func (s *session) visible(revision uint64) bool {
	return revision <= s.released.Load() || s.rules.has(MutationIgnoreRelease)
}

// next is closed when more may be seen than now; nil if revision may be seen already.
func (s *session) next(revision uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visible(revision) {
		return nil
	}
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

// untold are the keys of the records loaded since it was last asked.
func (s *session) untold() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.held
	s.held = nil
	return held
}

// question asks for one answer. Each asker has its own.
type question struct {
	home    *slot // where the answer is
	depends *slot // whose naming makes it stale
	need    uint64
	load    *load // waited for
}

// ask begins a question. What is named after this need not be in its answer.
func (s *session) ask(key, tag string) question {
	r := s.records
	r.mu.Lock()
	defer r.mu.Unlock()
	q := question{home: r.slot(key)}
	q.depends = q.home
	if tag != "" {
		q.depends = r.slot(tag)
	}
	q.home.used.Store(true)
	q.depends.used.Store(true)
	if !s.rules.has(MutationIgnoreFloor) {
		q.need = q.depends.named.Load()
	}
	return q
}

// seek gives the answer, or else the load to wait for, which the caller must run if begun says that it is new.
func (s *session) seek(q *question) (e *Entry, begun bool, err error) {
	if l := q.load; l != nil {
		if l.err != nil {
			return nil, false, l.err
		}
		if l.entry.view >= q.need {
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
		// No change up to here is told again, and each later one names a slot that is there already: so the floor is read under the lock.
		l := &load{done: make(chan struct{}), floor: r.told, home: q.home, depends: q.depends}
		if s.rules.has(MutationIgnoreFloor) {
			l.floor = 0
		}
		q.home.load, begun = l, true
		if q.depends == q.home {
			s.mu.Lock()
			s.held = append(s.held, q.home.key)
			s.mu.Unlock()
		}
	}
	q.load = q.home.load
	return nil, begun, nil
}
