// Package batch makes one log entry of the posts that arrive while another entry is
// written: group commit. A [Batcher] queues posts and sends them in batches; each [Post]
// waits for its [Outcome]. Encode gives a batch the form in which a frontend forwards it
// to the master.
package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/fsm/entry"
	"laurel/score"
)

// Bounds of a Batcher. A batch takes posts until one of the first two is reached. A post
// is never divided, so a large one may go beyond.
const (
	maxEntryEvents = 1024
	maxEntryBytes  = 256 << 10
	maxQueuedPosts = 8192
	maxQueuedBytes = 32 << 20
	// maxInFlight is the number of batches that may be in flight. Only one of them is being
	// written; the other is applied or waits for its release. So a batch has all that
	// arrived while the last was written.
	maxInFlight = 2
)

// ErrStopping is the outcome of a post at a frontend that is closing. Nothing was
// proposed.
var ErrStopping = score.Problemf(score.NotReady, "this frontend is stopping; use another one")

// Post is a post that waits for its outcome.
type Post struct {
	entry.EncodedPost
	// Forwarded is true if another member forwarded the post, so that it is not forwarded
	// again.
	Forwarded bool
	// Secret is that of the token that the post is by. Only the master asks for it, and
	// only of a forwarded post: it is not part of what is stored.
	Secret score.Secret
	Latest time.Time    // the latest time of its events, if it was forwarded
	Done   chan Outcome // gets the outcome
}

// Outcome is what became of a post, and the master's answer to a forwarded one.
type Outcome struct {
	Results []score.Result `json:"results,omitzero"`
	Problem *score.Problem `json:"problem,omitzero"` // refuses the whole post
	// Folded has what the results do not have in JSON: the sum of their Folded.
	Folded int `json:"folded,omitzero"`
	// By is the address of the master whose word it is; "" if it was made here.
	By string `json:"-"`
}

// EncodeOutcomes returns the answer to a forwarded batch.
func EncodeOutcomes(list []Outcome) ([]byte, error) {
	for i := range list {
		for _, r := range list[i].Results {
			list[i].Folded += r.Folded
		}
	}
	return json.Marshal(list)
}

// Complete gives the results, which came in an answer, their Folded back: the last one has
// that of all.
func (o *Outcome) Complete() {
	if n := len(o.Results); n > 0 {
		o.Results[n-1].Folded = o.Folded
	}
}

// NewPost returns a post of this member.
func NewPost(e entry.EncodedPost, secret score.Secret) *Post {
	return &Post{EncodedPost: e, Secret: secret, Done: make(chan Outcome, 1)}
}

// Refuse gives the post a problem as its outcome.
func (p *Post) Refuse(problem *score.Problem) { p.Done <- Outcome{Problem: problem} }

// Refuse gives each post of a batch a problem as its outcome.
func Refuse(batch []*Post, problem *score.Problem) {
	for _, p := range batch {
		p.Refuse(problem)
	}
}

// Batcher batches posts. It is safe for concurrent use.
type Batcher struct {
	observe func(events int)
	sending sync.WaitGroup // the calls of send

	mu       sync.Mutex
	send     func([]*Post)
	queue    []*Post
	bytes    int
	inFlight int    // calls of send
	last     uint64 // the number of batches so far
	writing  uint64 // the number of the batch that is being written; 0 if none is
	closed   bool
}

// New returns a Batcher. send finishes each post of a batch before it returns. The next
// batch begins after a call of Written, or when send returns. observe is called with the
// number of events of each batch.
func New(send func([]*Post), observe func(events int)) *Batcher {
	return &Batcher{send: send, observe: observe}
}

// Add queues a post. It refuses one that the queue has no room for.
func (b *Batcher) Add(p *Post) *score.Problem {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrStopping
	}
	if len(b.queue) >= maxQueuedPosts || b.bytes+p.Size() > maxQueuedBytes && len(b.queue) > 0 {
		return score.Problemf(score.RateLimited,
			"%d posts wait to be written, and the queue is full; retry in 1 s", len(b.queue))
	}
	b.queue = append(b.queue, p)
	b.bytes += p.Size()
	b.begin()
	return nil
}

// begin sends the next batch, unless another one is being written or too many are in
// flight. b.mu must be held.
func (b *Batcher) begin() {
	if len(b.queue) == 0 || b.writing != 0 || b.inFlight == maxInFlight {
		return
	}
	b.inFlight++
	b.last++
	b.writing = b.last
	number, send := b.last, b.send
	b.sending.Go(func() { b.sendNext(number, send) })
}

// Written lets the next batch begin, because the last one is in the log of a majority. A
// call that is too early only makes batches smaller.
func (b *Batcher) Written() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = 0
	b.begin()
}

func (b *Batcher) sendNext(number uint64, send func([]*Post)) {
	if batch := b.next(); len(batch) > 0 { // else the batcher was closed
		send(batch)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if b.writing == number {
		b.writing = 0
	}
	b.begin()
}

// next removes the next batch from the queue.
func (b *Batcher) next() []*Post {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, events, bytes := 0, 0, 0
	for n < len(b.queue) {
		p := b.queue[n]
		if n > 0 && (events+p.Events > maxEntryEvents || bytes+p.Size() > maxEntryBytes) {
			break
		}
		n, events, bytes = n+1, events+p.Events, bytes+p.Size()
	}
	if n == 0 {
		return nil
	}
	batch := b.queue[:n:n]
	b.queue = append(make([]*Post, 0, max(n, len(b.queue)-n)), b.queue[n:]...)
	b.bytes -= bytes
	b.observe(events)
	return batch
}

// Close refuses further posts and those in the queue, and waits until nothing is in
// flight, for at most limit.
func (b *Batcher) Close(limit time.Duration) {
	b.mu.Lock()
	b.closed = true
	Refuse(b.queue, ErrStopping)
	b.queue, b.bytes = nil, 0
	b.mu.Unlock()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.sending.Wait()
	}()
	select {
	case <-drained:
	case <-time.After(limit):
	}
}

// Waiting returns the length of the queue.
func (b *Batcher) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// maxSecret bounds a secret, in bytes.
const maxSecret = 64

// Encode returns the body with which a batch is forwarded: for each post the secret of
// its token and the post, each with its length before it. The length 0 of a secret stands
// for the last one, and is that of a post by no token, too.
func Encode(batch []*Post) (body []byte) {
	var last score.Secret
	for _, p := range batch {
		if p.Token == "" || p.Secret == last {
			body = append(body, 0)
		} else {
			body = binary.AppendUvarint(body, uint64(len(p.Secret)))
			body = append(body, p.Secret...)
			last = p.Secret
		}
		body = binary.AppendUvarint(body, uint64(p.Size()))
		body = append(body, p.Bytes()...)
	}
	return body
}

// Decode returns the forwarded posts of a body.
func Decode(body []byte) (batch []*Post, err error) {
	var secret, wire []byte
	var last score.Secret
	for len(body) > 0 {
		if secret, body, err = cutText(body); err != nil {
			return nil, err
		}
		if len(secret) > maxSecret {
			return nil, fmt.Errorf("a secret of %d bytes; the limit is %d", len(secret), maxSecret)
		}
		if len(secret) > 0 {
			last = score.Secret(secret)
		}
		if wire, body, err = cutText(body); err != nil {
			return nil, err
		}
		post, latest, err := entry.ParsePost(wire)
		if err != nil {
			return nil, fmt.Errorf("forwarded post %d: %w", len(batch), err)
		}
		p := NewPost(post, last)
		p.Forwarded, p.Latest = true, latest
		batch = append(batch, p)
	}
	return batch, nil
}

// cutText cuts a text, which has its length before it, from the beginning of body.
func cutText(body []byte) (text, rest []byte, err error) {
	size, n := binary.Uvarint(body)
	if n <= 0 || size > uint64(len(body)-n) {
		return nil, nil, errors.New("the forwarded posts are truncated")
	}
	return body[n : n+int(size)], body[n+int(size):], nil
}
