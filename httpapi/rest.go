package httpapi

import (
	"sync"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/score"
)

// Where more is posted than can be taken in, thousands of clients post again as soon as they were refused. Each wakes a goroutine, and where so many wake at
// once each waits long, Raft's heartbeats among them, until the master is lost. So the connection of a refused post rests: it is not read, and its client
// is asked to wait that long. Those that rest come back one after the other.
const (
	// restAfterRefusal is the shortest rest, and maxRest the longest.
	restAfterRefusal = time.Second
	maxRest          = 8 * time.Second
	// returnsPerSecond is how many come back in a second. Where more rest than so many can take back in maxRest, they come faster.
	returnsPerSecond = 500
)

// rests is when the next connection that rests may come back. The zero value is ready.
type rests struct {
	mu   sync.Mutex
	next time.Time
}

// begin is how long the connection whose post is refused now is to rest.
func (r *rests) begin(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if soonest := now.Add(restAfterRefusal); r.next.Before(soonest) {
		r.next = soonest
	}
	rest := r.next.Sub(now)
	if rest >= maxRest {
		return maxRest
	}
	r.next = r.next.Add(time.Second / returnsPerSecond)
	return rest
}

// line tells whether so many rest that they come back one after the other.
func (r *rests) line(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next.After(now.Add(restAfterRefusal))
}

// beginHotPost takes a place for a post of the front, or has its connection rest. Nothing else is done for a post that finds no place, not even to find
// out whose it is.
func (p *port) beginHotPost(r *fastpath.Request) *score.Problem {
	problem := p.tooEarly(r)
	if problem == nil {
		problem = p.beginPost()
	}
	if problem != nil {
		r.Pause = p.load.rests.begin(time.Now())
		r.Wait = (r.Pause + time.Second - 1).Truncate(time.Second)
	}
	return problem
}

// tooEarly refuses who posts before the time that it was asked to wait is over, while others post: it would find the places that those who waited are to have.
// Where it did not wait at all its post came while the connection rested, and there is nobody any more, most likely, who waits for that.
func (p *port) tooEarly(r *fastpath.Request) *score.Problem {
	if !r.Early || !p.strained() && (p.load.posts.Load() == 0 || !p.load.rests.line(time.Now())) {
		return nil
	}
	return p.refuse(refusedFull, score.Problemf(score.RateLimited, "this frontend has its hands full, and asked to be left alone for longer than this; nothing of this one was done; post it again, after what Retry-After says"))
}
