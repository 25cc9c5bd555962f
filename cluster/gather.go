package cluster

import (
	"sync"
	"time"

	"laurel/fsm/entry"
	"laurel/score"
)

// Bounds of the gatherer. An entry takes posts until one of the first two is reached; a post is never divided, so a large one may go beyond.
const (
	maxEntryEvents = 1024
	maxEntryBytes  = 256 << 10
	maxQueuedPosts = 8192
	maxQueuedBytes = 32 << 20
	// inFlight is how many entries may be under way at once. With one, an entry holds what came while the last was written; the second
	// lets the next be written while the last is applied.
	inFlight = 2
)

// item is a post on its way.
type item struct {
	post entry.EncodedPost
	// forwarded: another member handed it on, so it goes no further. latest is the latest time of its events.
	forwarded bool
	latest    time.Time
	done      chan outcome
}

type outcome struct {
	results []score.Result
	err     error
}

// gatherer lets the posts that arrive while others are under way go together.
type gatherer struct {
	send    func([]*item) // gives each item its outcome before it returns
	metrics *metrics
	over    chan struct{} // closed when nothing is under way any more, after close

	mu      sync.Mutex
	queue   []*item
	bytes   int
	sending int // calls of send under way, at most inFlight
	closed  bool
}

func newGatherer(send func([]*item), m *metrics) *gatherer {
	return &gatherer{send: send, metrics: m, over: make(chan struct{})}
}

// add queues a post; its outcome comes through done. A queue that is full refuses instead of growing.
func (g *gatherer) add(it *item) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errStopping
	}
	if len(g.queue) >= maxQueuedPosts || g.bytes+it.post.Size() > maxQueuedBytes && len(g.queue) > 0 {
		return score.Problemf(score.RateLimited, "%d posts are waiting to be written, and no more are taken now; post again in a second", len(g.queue))
	}
	g.queue = append(g.queue, it)
	g.bytes += it.post.Size()
	if g.sending < inFlight {
		g.sending++
		go g.sendAll()
	}
	return nil
}

// sendAll sends until nothing is queued. What has come while it sent goes together: that is what makes entries large under load.
func (g *gatherer) sendAll() {
	for batch := g.take(); batch != nil; batch = g.take() {
		g.send(batch)
	}
}

// take is the next batch; with nil the sender that asked is done.
func (g *gatherer) take() []*item {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, events, bytes := 0, 0, 0
	for n < len(g.queue) {
		p := g.queue[n].post
		if n > 0 && (events+p.Events > maxEntryEvents || bytes+p.Size() > maxEntryBytes) {
			break
		}
		n, events, bytes = n+1, events+p.Events, bytes+p.Size()
	}
	if n == 0 {
		g.sending--
		g.endIfOver()
		return nil
	}
	batch := g.queue[:n:n]
	g.queue = append([]*item(nil), g.queue[n:]...)
	g.bytes -= bytes
	g.metrics.entryEvents.Observe(float64(events))
	return batch
}

// close refuses further posts; what is queued is told that this frontend stops.
func (g *gatherer) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	for _, it := range g.queue {
		it.done <- outcome{err: errStopping}
	}
	g.queue, g.bytes = nil, 0
	g.endIfOver()
}

func (g *gatherer) endIfOver() {
	if g.closed && g.sending == 0 {
		close(g.over)
	}
}

// drain waits after close until nothing is under way, for at most limit.
func (g *gatherer) drain(limit time.Duration) {
	select {
	case <-g.over:
	case <-time.After(limit):
	}
}

func (g *gatherer) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}
