package admission

import (
	"sync"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/score"
)

// When more is posted than the frontend can take, thousands of clients retry at once.
// Each of them wakes a goroutine, and so many runnable goroutines delay Raft's heartbeats
// until the master is lost. So the fast path stops reading the connection of a refused
// post for a while, and tells the client to wait that long. The connections come back one
// by one.
const (
	// minPause is the shortest pause of a connection, and maxPause the longest.
	minPause = time.Second
	maxPause = 8 * time.Second
	// returnsPerSecond is how many connections come back in a second. If more are paused
	// than can come back within maxPause, they come back faster.
	returnsPerSecond = 500
)

// backoff schedules when paused connections come back. The zero value is ready.
type backoff struct {
	mu   sync.Mutex
	next time.Time // the next free time
}

// pause returns how long to pause a connection whose post is refused now.
func (b *backoff) pause(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if soonest := now.Add(minPause); b.next.Before(soonest) {
		b.next = soonest
	}
	pause := b.next.Sub(now)
	if pause >= maxPause {
		return maxPause
	}
	b.next = b.next.Add(time.Second / returnsPerSecond)
	return pause
}

// queued reports whether connections wait for longer than minPause.
func (b *backoff) queued(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next.After(now.Add(minPause))
}

// BeginFastPost takes a place for a post of the fast path, or pauses its connection. It
// comes before anything else is done for the post, so that a refused post costs almost
// nothing. EndPost gives the place back.
func (g *Gate) BeginFastPost(r *fastpath.Request) *score.Problem {
	problem := g.tooEarly(r)
	if problem == nil {
		problem = g.BeginPost()
	}
	if problem != nil {
		r.Pause = g.backoff.pause(time.Now())
		r.Wait = (r.Pause + time.Second - 1).Truncate(time.Second)
	}
	return problem
}

// tooEarly rejects a post sent before its Retry-After has passed while the frontend is
// busy, so that clients that do wait get the free places.
func (g *Gate) tooEarly(r *fastpath.Request) *score.Problem {
	if !r.Early || !g.Overloaded() && (g.load.posts.Load() == 0 || !g.backoff.queued(time.Now())) {
		return nil
	}
	return g.Refuse(ReasonOverload, score.Problemf(score.RateLimited,
		"overloaded: the previous Retry-After has not elapsed; this request was not processed"))
}

// hitPause is how long the fast path pauses a connection after an answer from memory
// while goroutines run late, so that clients that send one read after the other send
// fewer.
const hitPause = 100 * time.Millisecond

// PauseAfterHit returns how long to pause a connection after an answer from memory.
func (c *Control) PauseAfterHit() time.Duration {
	if c.late.Load() {
		return hitPause
	}
	return 0
}
