package admission

import (
	"sync/atomic"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
)

// Bounds of the requests that clients have under way at a frontend. When half of the
// places for posts are taken, reads that are not answered from memory and new watchers
// are refused, because any other frontend can serve them. The other members use a port of
// their own.
const (
	// MaxReads bounds the reads under way that are not answered from memory.
	MaxReads = 2_048
	// MaxPosts bounds the posts under way, without streams. More posts would not mean
	// more events a second, but longer waits, and bursts of goroutines that delay Raft's
	// heartbeats. A post is under way once its body has arrived, so that clients that
	// send bodies slowly take no place.
	MaxPosts = 512
	// MaxPostBytes bounds the bodies under way, and those of streams, together.
	MaxPostBytes = 256 << 20
	// MaxStreams bounds the NDJSON streams under way. Each takes a line and two chunks of
	// memory.
	MaxStreams = 1_024
	// StreamsPerAddress bounds those of one address.
	StreamsPerAddress = 128
)

// load counts the requests under way.
type load struct {
	reads, posts, streams atomic.Int64
}

// Enter takes a place for a request with the permission n. The caller of Enter must call
// leave once the request is answered.
func (g *Gate) Enter(n Permission, r *handler.Request) (leave func(), refused *score.Problem) {
	switch n {
	case PermitRead, PermitWatch:
		if !g.rates.allowRead(r.Caller.Peer) {
			return nil, g.Refuse(reasonAddress, score.Problemf(score.RateLimited,
				"more than %d reads a second from this address", g.limits.ReadsPerAddress))
		}
		if n == PermitWatch {
			break
		}
		if refused = g.beginRead(); refused == nil {
			return g.EndRead, nil
		}
	case PermitPost:
		if r.Caller.Grant == nil && !g.rates.allowPost(r.Caller.Peer) {
			r.Pause(minPause)
			return nil, g.Refuse(reasonAddress, score.Problemf(score.RateLimited,
				"more than %d posts a second from this address without a token; "+
					"this request was not processed; post many events as %s",
				g.limits.PostsPerAddress, handler.TypeNDJSON))
		}
	}
	return func() {}, refused
}

// AllowEnrolment refuses an attempt to join if there are too many.
func (g *Gate) AllowEnrolment() *score.Problem {
	if g.client && !g.rates.enrolment.Allow() {
		return g.Refuse(ReasonEnrolment, score.Problemf(score.RateLimited,
			"too many frontends try to join; retry in a moment"))
	}
	return nil
}

// take takes one of limit places.
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
	return c.load.posts.Load() > int64(c.limits.MaxPosts)/2 || c.late.Load()
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
	if !take(&g.load.reads, g.limits.MaxReads) {
		return g.Refuse(ReasonOverload, score.Problemf(score.NotReady,
			"overloaded: this frontend has %d reads under way; try another frontend, or retry in 1 s",
			g.limits.MaxReads))
	}
	return nil
}

// TryBeginRead takes a place for a read unless the frontend is overloaded. A false result
// counts as no refusal. EndRead gives the place back.
func (g *Gate) TryBeginRead() bool {
	return !g.Overloaded() && take(&g.load.reads, g.limits.MaxReads)
}

// EndRead gives the place of a read back.
func (g *Gate) EndRead() { g.load.reads.Add(-1) }

// BeginPost takes a place for a post. EndPost gives it back.
func (g *Gate) BeginPost() *score.Problem {
	if !take(&g.load.posts, g.limits.MaxPosts) {
		return g.Refuse(ReasonOverload, score.Problemf(score.RateLimited,
			"overloaded: this frontend has %d posts under way; this request was not processed; retry it",
			g.limits.MaxPosts))
	}
	return nil
}

// EndPost gives the place of a post back.
func (g *Gate) EndPost() { g.load.posts.Add(-1) }

// EnterStream takes a place for an NDJSON stream. The caller of EnterStream must call
// leave at its end.
func (g *Gate) EnterStream(caller *handler.Caller) (leave func(), refused *score.Problem) {
	if !take(&g.load.streams, g.limits.MaxStreams) {
		return nil, g.Refuse(reasonStreams, score.Problemf(score.RateLimited,
			"overloaded: this frontend has %d streams of posts; try another frontend", g.limits.MaxStreams))
	}
	ofAddress := g.rates.streams(caller.Peer)
	if ofAddress == nil {
		return func() { g.load.streams.Add(-1) }, nil
	}
	if !take(ofAddress, g.limits.StreamsPerAddress) {
		g.load.streams.Add(-1)
		return nil, g.Refuse(reasonStreams, score.Problemf(score.RateLimited,
			"there are already %d streams of posts from this address", g.limits.StreamsPerAddress))
	}
	return func() {
		ofAddress.Add(-1)
		g.load.streams.Add(-1)
	}, nil
}

// AllowRead takes a read from what the address of a peer may make. It reports false if
// there is nothing left.
func (g *Gate) AllowRead(p *fastpath.Peer) bool { return g.rates.allowRead(p) }

// UnderWay returns how many reads, posts and streams are under way.
func (c *Control) UnderWay() (reads, posts, streams int) {
	return int(c.load.reads.Load()), int(c.load.posts.Load()), int(c.load.streams.Load())
}
