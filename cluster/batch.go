package cluster

import (
	"sync"
	"time"

	"laurel/fsm/entry"
	"laurel/score"
)

// Bounds of a batcher. A batch takes posts until one of the first two is reached. A post is never
// divided, so a large one may go beyond.
const (
	maxEntryEvents = 1024
	maxEntryBytes  = 256 << 10
	maxQueuedPosts = 8192
	maxQueuedBytes = 32 << 20
	// maxInFlight is the number of batches that may be in flight. With one, a batch has what arrived
	// while the last was written; the second lets the next be written while the last is applied.
	maxInFlight = 2
)

// pendingPost is a post that waits for its outcome.
type pendingPost struct {
	post entry.EncodedPost
	// forwarded is true if another member forwarded the post, so that it is not forwarded again.
	forwarded bool
	latest    time.Time // the latest time of its events
	done      chan outcome
}

// outcome is what became of a post.
type outcome struct {
	results []score.Result
	err     error
}

// batcher batches posts (group commit): those that arrive while others are in flight go together.
type batcher struct {
	send    func([]*pendingPost) // sends each post its outcome before it returns
	metrics *metrics
	drained chan struct{} // closed when nothing is in flight after close

	mu       sync.Mutex
	queue    []*pendingPost
	bytes    int
	inFlight int // calls of send
	closed   bool
}

func newBatcher(send func([]*pendingPost), m *metrics) *batcher {
	return &batcher{send: send, metrics: m, drained: make(chan struct{})}
}

// add queues a post. It refuses one that the queue has no room for.
func (b *batcher) add(p *pendingPost) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errStopping
	}
	if len(b.queue) >= maxQueuedPosts || b.bytes+p.post.Size() > maxQueuedBytes && len(b.queue) > 0 {
		return score.Problemf(score.RateLimited, "%d posts wait to be written, and the queue is full; retry in 1 s", len(b.queue))
	}
	b.queue = append(b.queue, p)
	b.bytes += p.post.Size()
	if b.inFlight < maxInFlight {
		b.inFlight++
		go b.sendAll()
	}
	return nil
}

// sendAll sends batches until the queue is empty. Posts that arrive meanwhile form the next batch,
// which makes batches large under load.
func (b *batcher) sendAll() {
	for batch := b.next(); batch != nil; batch = b.next() {
		b.send(batch)
	}
}

// next removes the next batch from the queue. It returns nil if the queue is empty; then sendAll must
// return.
func (b *batcher) next() []*pendingPost {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, events, bytes := 0, 0, 0
	for n < len(b.queue) {
		p := b.queue[n].post
		if n > 0 && (events+p.Events > maxEntryEvents || bytes+p.Size() > maxEntryBytes) {
			break
		}
		n, events, bytes = n+1, events+p.Events, bytes+p.Size()
	}
	if n == 0 {
		b.inFlight--
		b.closeIfDrained()
		return nil
	}
	batch := b.queue[:n:n]
	b.queue = append([]*pendingPost(nil), b.queue[n:]...)
	b.bytes -= bytes
	b.metrics.entryEvents.Observe(float64(events))
	return batch
}

// close refuses further posts and those in the queue.
func (b *batcher) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for _, p := range b.queue {
		p.done <- outcome{err: errStopping}
	}
	b.queue, b.bytes = nil, 0
	b.closeIfDrained()
}

func (b *batcher) closeIfDrained() {
	if b.closed && b.inFlight == 0 {
		close(b.drained)
	}
}

// drain waits after close until nothing is in flight, for at most limit.
func (b *batcher) drain(limit time.Duration) {
	select {
	case <-b.drained:
	case <-time.After(limit):
	}
}

// waiting returns the length of the queue.
func (b *batcher) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}
