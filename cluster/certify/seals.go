package certify

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"laurel/witness"
)

const (
	// gatherPause is the time from the first change to the seal, if the last seal was long
	// ago: for what is posted together.
	gatherPause = 20 * time.Millisecond
	// maxUnsealed is how many answers may have changed before the master seals. The state
	// machine stands still for some 16 us an answer, and more seals are more work: an answer
	// that changes often is encoded for each.
	maxUnsealed = 2000
	// sealTimeout bounds the wait for a seal to be applied.
	sealTimeout = 5 * time.Second
	// sealPause is the pause after a seal that was not applied.
	sealPause = 100 * time.Millisecond
	// sealRest is how many times as long as a seal took the next one waits at least, for
	// SealInterval at most, however many answers have changed: new keys make the tree of all
	// answers anew, and bards who bring many must not take all the time of a large store.
	sealRest = 3
	// keptTimes bounds the rounds of which the first change is known: those that Run has
	// not seen yet.
	keptTimes = 1024
)

// seals knows when the first change of each round was applied, and when to seal.
type seals struct {
	wake   chan struct{} // of propose
	wanted atomic.Bool   // the node wants a seal although nothing has changed

	mu    sync.Mutex
	first map[uint64]time.Time // by the number of the round
	next  uint64               // the number of the next seal
	last  time.Time            // when that became the next one
	many  bool                 // so many answers have changed that it is due
	after time.Time            // until when it waits although many have
}

// watch notes when changes are applied, at once: Run may be waiting for the disk.
func (c *Certifier) watch(ctx context.Context) {
	for {
		if c.seals.look(c.Machine, time.Now()) {
			ping(c.wake)
			ping(c.seals.wake)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.Machine.Wake():
		}
	}
}

func ping(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// look looks at what is not sealed, and reports whether there are news for goroutines that
// wait.
func (s *seals) look(m Machine, now time.Time) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, next := m.Unsealed() // under the lock: nobody notes what was seen before
	if next != s.next {
		s.next, s.last, s.many, news = next, now, false, true
		for number := range s.first {
			if number+keptTimes < next || number > next {
				delete(s.first, number)
			}
		}
	}
	switch _, known := s.first[next]; {
	case known && changed == 0: // nothing has changed after all
		delete(s.first, next)
		news = true
	case !known && changed > 0:
		s.first[next] = now
		news = true
	}
	if !s.many && changed >= maxUnsealed {
		s.many, news = true, true
	}
	return news
}

// since returns when the first change of a round was applied.
func (s *seals) since(number uint64) (t time.Time, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known = s.first[number]
	return t, known
}

// want notes that the node wants a seal, or wants none any longer.
func (s *seals) want(wanted bool) {
	if s.wanted.Swap(wanted) != wanted || wanted {
		ping(s.wake)
	}
}

// due returns the number of the next seal, and how long to wait with it; ok is false if
// there is nothing to seal.
func (s *seals) due(now time.Time) (number uint64, wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, changed := s.first[s.next]
	switch {
	case s.next == 0:
		return 0, 0, false
	case s.wanted.Load():
		return s.next, 0, true
	case s.many:
		return s.next, max(s.after.Sub(now), 0), true
	case changed:
		at := first.Add(gatherPause)
		if regular := s.last.Add(witness.SealInterval); regular.After(at) {
			at = regular
		}
		return s.next, max(at.Sub(now), 0), true
	}
	return 0, 0, false
}

// rest lets the next seal wait, after one that has ended and took so long.
func (s *seals) rest(ended time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = ended.Add(min(sealRest*took, witness.SealInterval))
}

// propose seals while this frontend is the master. A seal that is lost, or that comes after
// one of another master, does nothing: the state machine takes each number once, in order.
func (c *Certifier) propose(ctx context.Context) {
	for {
		number, wait, ok := c.seals.due(time.Now())
		if ok && wait == 0 && c.Leads() {
			if c.seal(ctx, number) {
				continue
			}
			wait = sealPause
		}
		if ok && wait == 0 {
			wait = witness.SealInterval // it may become the master
		}
		var timer <-chan time.Time
		if ok {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer:
		case <-c.seals.wake:
		}
	}
}

// seal proposes a seal, and reports whether there is a next one.
func (c *Certifier) seal(ctx context.Context, number uint64) bool {
	c.seals.wanted.Store(false)
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	start := time.Now()
	err := c.acts.Load().Propose(ctx, number)
	ended := time.Now()
	c.seals.rest(ended, ended.Sub(start))
	if err != nil {
		c.Logger.Debug("a round was not sealed", "round", number, "err", err)
		return false
	}
	c.seals.look(c.Machine, time.Now())
	_, next := c.Machine.Unsealed()
	c.seals.wanted.Store(false) // Run says so again once it has seen the round
	return next > number
}
