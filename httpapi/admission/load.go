package admission

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

// Bounds of the requests that clients have under way at a frontend. When half of the
// places for posts are taken, reads that are not answered from memory and new watchers
// are refused, because any other frontend can serve them. Members use a port of their
// own.
const (
	// MaxReads bounds the reads under way that are not answered from memory.
	MaxReads = 2_048
	// MaxLists is how many lists are made at once: read from the state, or answers of more
	// than FreeAnswer bytes written as text. Each may take a processor for 10 ms and more,
	// which Raft's goroutines then lack. Others wait.
	MaxLists = 16
	// MaxPosts bounds the posts under way, without streams. More posts would not mean
	// more events a second, but longer waits, and bursts of goroutines that delay Raft's
	// heartbeats. A post is under way once its body has arrived, so that clients that
	// send bodies slowly take no place.
	MaxPosts = 512
	// MaxPostBytes bounds the bodies under way, and those of streams, together.
	MaxPostBytes = 256 << 20
)

// Enter takes a place for a request with the permission n. The caller of Enter must call
// leave once the request is answered.
func (g *Gate) Enter(n Permission, r *handler.Request) (leave func(), refused *score.Problem) {
	if refused = g.withinRequests(n, r); refused != nil {
		return nil, refused
	}
	if n == PermitRead {
		if refused = g.beginRead(); refused == nil {
			return g.EndRead, nil
		}
	}
	return func() {}, refused
}

// withinRequests takes a request from the budget of its caller. Every route has one. A post
// with the token of a bard is counted by its events instead.
func (g *Gate) withinRequests(n Permission, r *handler.Request) *score.Problem {
	b := g.requests(r.Caller)
	if b == nil {
		return nil
	}
	switch n {
	case PermitRead, PermitWatch:
		return g.limited(r, b.reads, 1, "reads", "")
	case PermitPost:
		if grant := r.Caller.Grant; grant != nil && grant.Role.Covers(access.RoleBard) {
			return nil
		}
		return g.limited(r, b.posts, 1, "posts", " without the token of a bard; "+
			"this request was not processed; post many events as "+handler.TypeNDJSON)
	case PermitEnroll:
		return g.limited(r, b.enrolments, 1, "attempts to join", "")
	case PermitMetrics:
		return g.limited(r, b.others, metricsCost, "requests for the metrics", "")
	}
	return g.limited(r, b.others, 1, "other requests", "")
}

// signatureCost is what a signed answer costs of the budget of reads, beyond the read.
const signatureCost = 4

// ChargeSignature takes from the budget of a caller what a signature costs.
func (g *Gate) ChargeSignature(r *handler.Request) *score.Problem {
	if b := g.requests(r.Caller); b != nil {
		return g.limited(r, b.reads, signatureCost, "signed answers", "")
	}
	return nil
}

// limited takes the cost of a request from a budget. If too little is left, it returns the
// problem, and has the fast path pause the connection.
func (g *Gate) limited(r *handler.Request, budget *rate.Limiter, cost int, what, hint string) *score.Problem {
	if budget.AllowN(time.Now(), cost) {
		return nil
	}
	r.Pause(minPause)
	return g.Refuse(reasonAddress, score.Problemf(score.RateLimited,
		"more than %.4g %s a second from this address or token%s",
		float64(budget.Limit())/float64(cost), what, hint))
}

// Refused returns the problem of a request that Admit has refused: the given one, or that
// too many requests of its address were refused.
func (g *Gate) Refused(r *handler.Request, problem *score.Problem) *score.Problem {
	if !g.client {
		return problem
	}
	if b := g.address(r.Peer()); b != nil {
		return cmp.Or(g.limited(r, b.others, 1, "requests that are refused", ""), problem)
	}
	return problem
}

func take(n *atomic.Int64, limit int) bool {
	if n.Add(1) <= int64(limit) {
		return true
	}
	n.Add(-1)
	return false
}

// Overloaded reports whether posts need all that the frontend has. How many bytes of
// bodies are held does not count: anybody may send bodies slowly.
func (c *Control) Overloaded() bool {
	return c.posts.Load() > int64(c.Limits.MaxPosts)/2 || c.late.Load()
}

// OverloadedProblem refuses a request because the frontend is overloaded.
func (c *Control) OverloadedProblem() *score.Problem {
	return c.Refuse(ReasonOverload, score.Problemf(score.NotReady,
		"this frontend is overloaded by writes; try another frontend, or retry in 1 s"))
}

// beginRead takes a place for a read that is not answered from memory. EndRead gives it
// back.
func (g *Gate) beginRead() *score.Problem {
	if g.client && g.Overloaded() {
		return g.OverloadedProblem()
	}
	if !take(&g.reads, MaxReads) {
		return g.Refuse(ReasonOverload, score.Problemf(score.NotReady,
			"overloaded: this frontend has %d reads under way; try another frontend, or retry in 1 s",
			MaxReads))
	}
	return nil
}

// TryBeginRead takes a place for a read unless the frontend is overloaded. A false result
// counts as no refusal. EndRead gives the place back.
func (g *Gate) TryBeginRead() bool {
	return !g.Overloaded() && take(&g.reads, MaxReads)
}

// EndRead gives the place of a read back.
func (g *Gate) EndRead() { g.reads.Add(-1) }

// AwaitList takes a place for making a list, or waits for one until ctx ends. EndList gives
// it back.
func (g *Gate) AwaitList(ctx context.Context) *score.Problem {
	select {
	case g.lists <- struct{}{}:
		return nil
	case <-ctx.Done():
		return g.Refuse(ReasonOverload, score.Problemf(score.NotReady,
			"overloaded: too many lists are read at this frontend; try another frontend, or retry in 1 s"))
	}
}

// EndList gives the place of a list back.
func (g *Gate) EndList() { <-g.lists }

// BeginPost takes a place for a post. EndPost gives it back.
func (g *Gate) BeginPost() *score.Problem {
	if !take(&g.posts, g.Limits.MaxPosts) {
		return g.Refuse(ReasonOverload, score.Problemf(score.RateLimited,
			"overloaded: this frontend has %d posts under way; this request was not processed; retry it",
			g.Limits.MaxPosts))
	}
	return nil
}

// EndPost gives the place of a post back.
func (g *Gate) EndPost() { g.posts.Add(-1) }

// UnderWay returns how many reads, posts and streams are under way.
func (c *Control) UnderWay() (reads, posts, streams int) {
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	return int(c.reads.Load()), int(c.posts.Load()), c.streams.count
}

// When more is posted than the frontend can take, thousands of clients retry at once.
// Each wakes a goroutine, and so many runnable goroutines delay Raft's heartbeats until
// the master is lost. So the fast path does not read the connection of a refused post for
// a while, and tells the client to wait that long. The connections come back one by one.
const (
	// minPause is the shortest pause of a connection, and maxPause the longest.
	minPause = time.Second
	maxPause = 8 * time.Second
	// returnsPerSecond is how many connections come back in a second. If more are paused
	// than can come back within maxPause, they come back faster.
	returnsPerSecond = 500
)

// pause returns how long to pause a connection whose post is refused now.
func (c *Control) pause(now time.Time) time.Duration {
	soonest := now.Add(minPause)
	turn := c.returns.ReserveN(soonest, 1)
	pause := minPause + turn.DelayFrom(soonest)
	if pause >= maxPause {
		turn.CancelAt(soonest)
		return maxPause
	}
	return pause
}

// queued reports whether connections wait for longer than minPause.
func (c *Control) queued(now time.Time) bool { return c.returns.TokensAt(now.Add(minPause)) < 1 }

// BeginFastPost takes a place for a post of the fast path, or pauses its connection. It
// comes before anything else is done for the post, so that a refused post costs almost
// nothing. EndPost gives the place back.
func (g *Gate) BeginFastPost(r *fastpath.Request) *score.Problem {
	problem := g.tooEarly(r)
	if problem == nil {
		problem = g.BeginPost()
	}
	if problem != nil {
		r.Pause = g.pause(time.Now())
		r.Wait = (r.Pause + time.Second - 1).Truncate(time.Second)
	}
	return problem
}

// tooEarly rejects a post sent before its Retry-After has passed while the frontend is
// busy, so that clients that do wait get the free places.
func (g *Gate) tooEarly(r *fastpath.Request) *score.Problem {
	if !r.Early || !g.Overloaded() && (g.posts.Load() == 0 || !g.queued(time.Now())) {
		return nil
	}
	return g.Refuse(ReasonOverload, score.Problemf(score.RateLimited,
		"overloaded: the previous Retry-After has not elapsed; this request was not processed"))
}

// hitPause is how long the fast path pauses a connection after an answer from memory
// while goroutines run late, so that clients send fewer reads.
const hitPause = 100 * time.Millisecond

// PauseAfterHit returns how long to pause a connection after an answer from memory.
func (c *Control) PauseAfterHit() time.Duration {
	if c.late.Load() {
		return hitPause
	}
	return 0
}

// Raft's heartbeats are sent by goroutines. When clients have so many runnable goroutines
// that each waits long for a processor, masters are lost. So the frontend measures how
// late a goroutine runs: rarely while goroutines run on time, and often as soon as one ran
// a little late.
const (
	monitorInterval = 20 * time.Millisecond
	monitorRest     = 200 * time.Millisecond
	littleDelay     = 2 * time.Millisecond
	// LateDelay is a quarter of the shortest election timeout.
	LateDelay = 50 * time.Millisecond
	// lateCount is how many delays in a row set or reset Control.late.
	lateCount = 3
)

// MonitorScheduler measures how late goroutines run, until stop is closed.
func (c *Control) MonitorScheduler(stop <-chan struct{}) {
	late, onTime := 0, 0
	for interval := monitorRest; ; {
		start := time.Now()
		select {
		case <-stop:
			return
		case <-time.After(interval):
		}
		delay := time.Since(start) - interval
		c.delay.Set(delay.Seconds())
		if delay >= c.Limits.LateDelay {
			late, onTime = late+1, 0
		} else {
			late, onTime = 0, onTime+1
		}
		switch {
		case late >= lateCount:
			c.late.Store(true)
		case onTime >= lateCount:
			c.late.Store(false)
		}
		interval = monitorRest
		if delay >= littleDelay || c.late.Load() {
			interval = monitorInterval
		}
	}
}
