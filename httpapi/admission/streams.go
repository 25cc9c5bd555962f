package admission

import (
	"container/list"
	"sync"
	"time"

	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

// Bounds of the NDJSON streams under way. Anybody can begin a stream, and a signature can
// be copied from a timeline. So a stream keeps its place for certain only once it is
// proven: it came with the token of a bard, or an event of it was applied. Before that, a
// further stream may take its place.
const (
	// MaxStreams bounds all streams. Each takes a line and two chunks of memory.
	MaxStreams = 1_024
	// StreamsPerAddress bounds those of one address, StreamsPerCaller the proven ones of
	// one key or token.
	StreamsPerAddress = 128
	StreamsPerCaller  = 256
	// MaxSilentStreams bounds the streams without such a token of which no event has come
	// that may be posted, and silentPerAddress those of one address.
	MaxSilentStreams = 128
	silentPerAddress = 16
	// FirstEventTimeout is how long a stream may be silent.
	FirstEventTimeout = 5 * time.Second
)

// streams are the streams under way at the ports of a frontend.
type streams struct {
	mu       sync.Mutex
	count    int       // of all
	ending   int       // of those that lost their place, and have not left yet
	unproven list.List // of *Stream, the oldest first, without those that are ending
}

// Stream is the place of a stream of posts. Its methods may be called by any goroutine.
type Stream struct {
	gate    *Gate
	address *requestBudget       // nil if its address has no limits
	end     func(*score.Problem) // called at most once, and must not wait

	// The rest is guarded by streams.mu.
	element  *list.Element // in streams.unproven
	silent   bool
	isEnding bool
	caller   *callerBudget // that it counts for; nil for none
}

// EnterStream takes a place for an NDJSON stream. Leave gives it back. If a further
// stream takes it before the stream is proven, end is called with the reason.
func (g *Gate) EnterStream(caller *handler.Caller, end func(*score.Problem)) (*Stream, *score.Problem) {
	s := &Stream{gate: g, address: g.address(caller.Peer), end: end}
	var budget *callerBudget
	if grant := caller.Grant; grant != nil && grant.Role.Covers(access.RoleBard) {
		budget = g.caller(grant)
	} else {
		s.silent = true
	}
	displaced, refused := s.enter(budget)
	if displaced != nil {
		displaced.end(g.Refuse(reasonStreams, score.Problemf(score.RateLimited,
			"too many streams of posts: another one took the place of this stream, of which no event was applied "+
				"yet; retry, and send an event at once")))
	}
	if refused != nil {
		return nil, g.Refuse(reasonStreams, refused)
	}
	return s, nil
}

// enter takes the place, perhaps that of another stream. budget is that of the stream's
// token.
func (s *Stream) enter(budget *callerBudget) (displaced *Stream, refused *score.Problem) {
	all := &s.gate.streams
	all.mu.Lock()
	defer all.mu.Unlock()
	if s.address != nil && s.address.streams.Load() >= StreamsPerAddress {
		return nil, score.Problemf(score.RateLimited,
			"there are already %d streams of posts from this address", StreamsPerAddress)
	}
	if refused := s.countFor(budget); refused != nil {
		return nil, refused
	}
	if displaced = s.toDisplace(); displaced != nil && all.ending < MaxSilentStreams {
		displaced.leaveUnproven()
		displaced.isEnding = true
		all.ending++
	} else if displaced != nil || all.count-all.ending >= s.gate.Limits.MaxStreams {
		s.uncount()
		return nil, score.Problemf(score.RateLimited,
			"overloaded: this frontend has %d streams of posts; try another frontend", all.count)
	}
	all.count++
	if s.address != nil {
		s.address.streams.Add(1)
	}
	if s.silent {
		s.element = all.unproven.PushBack(s)
	}
	return displaced, nil
}

// toDisplace returns the stream whose place s takes: the oldest silent one if there are
// too many of them, or the oldest unproven one, silent ones first, if there are too many
// streams. It returns nil if there is none, or a place is free.
func (s *Stream) toDisplace() *Stream {
	all := &s.gate.streams
	var silent, ofAddress *Stream // the oldest
	silentCount, addressCount := 0, 0
	for e := all.unproven.Front(); e != nil; e = e.Next() {
		other := e.Value.(*Stream)
		if !other.silent {
			continue
		}
		if silentCount++; silent == nil {
			silent = other
		}
		if s.address != nil && other.address == s.address {
			if addressCount++; ofAddress == nil {
				ofAddress = other
			}
		}
	}
	switch {
	case s.silent && addressCount >= silentPerAddress:
		return ofAddress
	case s.silent && silentCount >= MaxSilentStreams:
		return silent
	case all.count-all.ending < s.gate.Limits.MaxStreams:
		return nil
	case silent == nil && all.unproven.Len() > 0:
		return all.unproven.Front().Value.(*Stream)
	}
	return silent
}

// countFor counts the stream for its caller, who may have a limited number.
func (s *Stream) countFor(budget *callerBudget) *score.Problem {
	if budget == nil {
		return nil
	}
	if budget.streams >= StreamsPerCaller {
		return score.Problemf(score.RateLimited,
			"there are already %d streams of posts of this key or token", StreamsPerCaller)
	}
	budget.streams++
	s.caller = budget
	return nil
}

func (s *Stream) uncount() {
	if s.caller != nil {
		s.caller.streams--
		s.caller = nil
	}
}

func (s *Stream) leaveUnproven() {
	if s.element != nil {
		s.gate.streams.unproven.Remove(s.element)
		s.element = nil
	}
}

// IsSilent reports whether no event has come that may be posted, and no token of a bard.
func (s *Stream) IsSilent() bool {
	s.gate.streams.mu.Lock()
	defer s.gate.streams.mu.Unlock()
	return s.silent
}

// Heard notes that an event has come that may be posted.
func (s *Stream) Heard() {
	s.gate.streams.mu.Lock()
	defer s.gate.streams.mu.Unlock()
	s.silent = false
}

// Prove notes that an event was applied. It fails if its key has too many streams.
func (s *Stream) Prove(e *score.Event) *score.Problem {
	g := s.gate
	budget := g.callerOf(e)
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	if s.element == nil { // it is proven, or ends anyway
		return nil
	}
	if refused := s.countFor(budget); refused != nil {
		return g.Refuse(reasonStreams, refused)
	}
	s.leaveUnproven()
	return nil
}

// Leave gives the place back.
func (s *Stream) Leave() {
	all := &s.gate.streams
	all.mu.Lock()
	defer all.mu.Unlock()
	s.leaveUnproven()
	s.uncount()
	if s.isEnding {
		all.ending--
	}
	all.count--
	if s.address != nil {
		s.address.streams.Add(-1)
	}
}
