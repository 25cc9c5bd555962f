package httpapi

import (
	"sync/atomic"

	"laurel/score"
)

// What a frontend has under way for clients at once. Where posts fill half of their places, questions that are not answered from memory, and new
// watchers, are sent elsewhere: so posts, which nobody else can take over, are the last to be refused. The other members have a port of their
// own.
const (
	// MaxReads is how many questions are being answered that are not in memory.
	MaxReads = 2_048
	// MaxPosts is how many posts are under way, streams excepted, and MaxPostBytes how large their bodies are together, and those of streams. More
	// posts make no more events a second: they wait longer, and come to run all at once, with Raft's heartbeats among them. A post is under way when its
	// body is here: whoever sends bodies slowly, and may be nobody who may post, would else keep everybody from posting.
	MaxPosts     = 512
	MaxPostBytes = 256 << 20
	// MaxStreams is how many NDJSON streams are under way. Each has a line and two chunks in memory.
	MaxStreams = 1_024
	// StreamsPerAddress bounds those of one address.
	StreamsPerAddress = 128
)

// load is what is under way.
type load struct {
	reads, posts, streams, bytes atomic.Int64
	rests                        rests
}

// enter takes a request in, if its caller may make it now and there is room for it. Leave must be called when it is answered.
func (p *port) enter(n need, who *caller) (leave func(), refused *score.Problem) {
	switch n {
	case toRead, toWatch:
		if !p.rates.read(who.peer) {
			return nil, p.refuse(refusedAddress, score.Problemf(score.RateLimited, "more than %d questions a second come from this address", p.limits.ReadsPerAddress))
		}
		if n == toWatch {
			break
		}
		if refused = p.beginRead(); refused == nil {
			return p.endRead, nil
		}
	case toPost:
		if refused = p.allowPost(who); refused != nil {
			return nil, refused
		}
	}
	return func() {}, refused
}

// allowPost takes a post from what its address may make.
func (p *port) allowPost(who *caller) *score.Problem {
	if who.grant == nil && !p.rates.post(who.peer) {
		return p.refuse(refusedAddress, score.Problemf(score.RateLimited, "more than %d posts a second come from this address without a token; nothing of this one was done; post many events as %s", p.limits.PostsPerAddress, typeNDJSON))
	}
	return nil
}

func (p *port) endRead() { p.load.reads.Add(-1) }
func (p *port) endPost() { p.load.posts.Add(-1) }

// begin takes one of most places.
func begin(n *atomic.Int64, most int) bool {
	if n.Add(1) <= int64(most) {
		return true
	}
	n.Add(-1)
	return false
}

// strained tells whether posts need what there is. How large the bodies are says nothing of that: they may come slowly, from anybody.
func (p *port) strained() bool {
	return p.load.posts.Load() > int64(p.limits.MaxPosts)/2 || p.late.Load()
}

// beginRead takes a place for a question that is not answered from memory; end gives it back.
func (p *port) beginRead() *score.Problem {
	if p.forwards && p.strained() {
		return p.strain()
	}
	if !begin(&p.load.reads, p.limits.MaxReads) {
		return p.refuse(refusedFull, score.Problemf(score.NotReady, "this frontend is answering %d questions, and takes no more at once; ask another one, or again in a second", p.limits.MaxReads))
	}
	return nil
}

func (p *port) strain() *score.Problem {
	return p.refuse(refusedFull, score.Problemf(score.NotReady, "this frontend has all hands full with posts; ask another one, or again in a second"))
}

func (p *port) beginPost() *score.Problem {
	if !begin(&p.load.posts, p.limits.MaxPosts) {
		return p.refuse(refusedFull, score.Problemf(score.RateLimited, "this frontend has %d posts under way, and takes no more at once; nothing of this one was done; post it again", p.limits.MaxPosts))
	}
	return nil
}

// enterStream takes a stream of posts in.
func (p *port) enterStream(who *caller) (leave func(), refused *score.Problem) {
	if !begin(&p.load.streams, p.limits.MaxStreams) {
		return nil, p.refuse(refusedStreams, score.Problemf(score.RateLimited, "this frontend has %d streams of posts, and takes no more at once", p.limits.MaxStreams))
	}
	ofAddress := p.rates.streams(who.peer)
	if ofAddress == nil {
		return func() { p.load.streams.Add(-1) }, nil
	}
	if !begin(ofAddress, p.limits.StreamsPerAddress) {
		p.load.streams.Add(-1)
		return nil, p.refuse(refusedStreams, score.Problemf(score.RateLimited, "there are %d streams of posts from this address, and no more are taken at once", p.limits.StreamsPerAddress))
	}
	return func() {
		ofAddress.Add(-1)
		p.load.streams.Add(-1)
	}, nil
}

// hold notes that a body takes that many bytes more. False: there is no room for them, and nothing was noted.
func (p *port) hold(n int) bool {
	if p.load.bytes.Add(int64(n)) <= int64(p.limits.MaxPostBytes) {
		return true
	}
	p.load.bytes.Add(-int64(n))
	return false
}

// holdFor is hold for a buffer, until it is freed.
func (p *port) holdFor(b *buffer, n int) bool {
	if !p.hold(n) {
		return false
	}
	b.of, b.held = &p.load, b.held+n
	return true
}

func (p *port) bodiesFull() *score.Problem {
	return p.refuse(refusedFull, score.Problemf(score.RateLimited, "the bodies of the posts that this frontend has under way have %d bytes; nothing of this one was done; post it again", p.load.bytes.Load()))
}
