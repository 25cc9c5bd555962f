// Package pull holds the answers of a frontend in pull mode, in which nobody has a lease:
// the frontend asks the master again and again whether its answers have changed. A Store
// holds the answers with the time at which each was last known to be true. A Schedule
// decides which of them are checked next, so that a bounded number of checks leaves as
// few stale reads as possible.
//
// Like package cache it is pure: readings of a clock and the master's answers come in,
// keys to poll come out. The goroutine that polls is in package cluster. Start reading at
// Store.
package pull

import (
	"crypto/sha256"
	"sync"
	"time"

	"laurel/cache"
)

const (
	// maxAge is the age from which an answer is no longer given: one and a half times as
	// long as the coldest record waits for its check.
	maxAge = 3 * MaxInterval / 2
	// maxIdle is how long an answer without a reader is held.
	maxIdle = 5 * time.Minute
	// maxAnswers bounds the answers of a Store.
	maxAnswers = 10_000
)

// Store holds answers in pull mode. Its methods are safe for concurrent use. A time is a
// reading of one monotonic clock.
type Store struct {
	maxBytes int

	mu       sync.RWMutex
	answers  map[string]*answer
	bytes    int
	schedule *Schedule
}

// answer was true at some moment after the check was sent.
type answer struct {
	entry   *cache.Entry
	sum     []byte
	checked time.Duration // when the last check that was answered was sent
	reads   uint64        // as counted at the last check
	read    time.Duration // the last check before which somebody had read it
	item    *Item
}

// Polled is what the master says of one key.
type Polled struct {
	Missing  bool   // there is no answer, because the key is not valid
	Same     bool   // the answer is the one whose sum it was given
	Body     []byte // nil: there is no such record
	Revision uint64
}

// What Take found: the outcomes of a check.
const (
	Gone    = "gone"    // the key is not valid any more
	New     = "new"     // the answer was not held
	Changed = "changed" // the answer is another one
	Same    = "same"    // the answer is the same
	Late    = "late"    // a later check had been answered
)

// NewStore returns a Store of at most maxBytes of answers.
func NewStore(maxBytes int) *Store {
	return &Store{maxBytes: maxBytes, answers: map[string]*answer{}, schedule: NewSchedule(Budget)}
}

// Get returns the answer to key and its age: the answer was true at some moment in that
// time. It returns nil if the answer is not held or is too old.
func (s *Store) Get(key string, now time.Duration) (*cache.Entry, time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.answers[key]
	if a == nil || now-a.checked > maxAge {
		return nil, 0
	}
	a.item.Read()
	return a.entry, now - a.checked
}

// Sums returns, for each key, the Sum of the answer that is held, or nil.
func (s *Store) Sums(keys []string) [][]byte {
	sums := make([][]byte, len(keys))
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, key := range keys {
		if a := s.answers[key]; a != nil {
			sums[i] = a.sum
		}
	}
	return sums
}

// Empty reports whether no answer is held. Due need not be called meanwhile.
func (s *Store) Empty() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.answers) == 0
}

// Due is Schedule.Due.
func (s *Store) Due(now time.Duration) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schedule.Due(now)
}

// Take takes in what the master said of a key, in answer to a check that was sent at
// sent. It returns the outcome of the check.
func (s *Store) Take(key string, polled *Polled, sent, now time.Duration) (outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[key]
	switch {
	case a != nil && sent < a.checked:
		return Late
	case polled.Missing:
		s.drop(key)
		return Gone
	case a == nil:
		s.hold(key, polled, sent, now)
		return New
	}
	outcome = Same
	if !polled.Same {
		outcome = Changed
		s.bytes += len(polled.Body) - len(a.entry.Body)
		a.entry, a.sum = polled.entry(), Sum(polled.Body)
	}
	a.checked = max(a.checked, sent)
	if reads := a.item.reads.Load(); reads != a.reads {
		a.reads, a.read = reads, now
	}
	s.schedule.Checked(key, !polled.Same, now)
	if now-a.read > maxIdle {
		s.drop(key)
	}
	return outcome
}

// Clear drops all answers.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) > 0 {
		s.answers, s.bytes, s.schedule = map[string]*answer{}, 0, NewSchedule(Budget)
	}
}

// hold begins to hold an answer, and makes room by dropping the least recently read.
func (s *Store) hold(key string, polled *Polled, sent, now time.Duration) {
	for len(s.answers) >= maxAnswers || s.bytes+len(polled.Body) > s.maxBytes && len(s.answers) > 0 {
		oldest := ""
		for k, a := range s.answers {
			if oldest == "" || a.read < s.answers[oldest].read {
				oldest = k
			}
		}
		s.drop(oldest)
	}
	s.bytes += len(polled.Body)
	s.answers[key] = &answer{
		entry:   polled.entry(),
		sum:     Sum(polled.Body),
		checked: sent,
		read:    now,
		item:    s.schedule.Add(key, now),
	}
}

func (s *Store) drop(key string) {
	if a := s.answers[key]; a != nil {
		s.bytes -= len(a.entry.Body)
		delete(s.answers, key)
		s.schedule.Remove(key)
	}
}

func (p *Polled) entry() *cache.Entry { return &cache.Entry{Body: p.Body, Revision: p.Revision} }

// Sum returns the checksum by which a poll names the answer that is held.
func Sum(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:16]
}
