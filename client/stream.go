package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

const (
	// DefaultWindow is the most events of a Stream that wait for their answers.
	DefaultWindow = 4096
	// DefaultPatience is how long a Stream goes on without any answer before it gives up.
	DefaultPatience = 30 * time.Second

	// maxWaiting bounds the JSON that waits, whatever the window; an event that is larger waits alone.
	maxWaiting = 8 << 20
	// idWindow is the window of events without a seq: what protects them from counting twice is their id, and the store remembers the last 1,024 of a source.
	idWindow = 512
)

// StreamOptions are the choices of a Stream. The zero value is a good one.
type StreamOptions struct {
	// Window is the most events that wait for their answers; Send waits for room. 0: DefaultWindow.
	Window int
	// Patience is how long the stream goes on, from one frontend to the next, without any answer. 0: DefaultPatience.
	Patience time.Duration
	// Answered is called for each event, in the order of Send, from one goroutine; while it runs no further answer is read, so it must not
	// take long.
	Answered func(Answer)
	// Trouble is called when a connection has failed and its unanswered events are about to be sent again.
	Trouble func(url string, err error)
}

// Line is an event of a stream as JSON.
type Line struct {
	ID     string
	Seq    uint64
	JSON   []byte // one line, without its end; the stream keeps it until it is answered
	Number int    // the caller's own; it comes back in the Answer
	// Event stands for JSON that is still to be written, and signed where the client has a key. ID and Seq are its own then. It is read before the
	// line is handed over, and not kept.
	Event *score.Event

	form bool // JSON is the signed form, and lacks the signature
}

func (l *Line) write(e *score.Event) (err error) {
	if l.JSON, err = json.Marshal(e); err != nil {
		return fmt.Errorf("event %q cannot be written as JSON: %w", e.ID, err)
	}
	return nil
}

// Answer says what became of a line.
type Answer struct {
	Line   Line
	Result score.Result  // with a Problem for the line that was refused, which is the last
	Took   time.Duration // from when it was first sent; all tries together
}

// RefusedError ends a stream: the event was refused, and so nothing behind it was applied.
type RefusedError struct {
	Line    Line
	Problem *score.Problem
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("event %q was refused: %v", e.Line.ID, e.Problem)
}
func (e *RefusedError) Unwrap() error { return e.Problem }

// Stream posts events one after the other, each applied only after the one before, over one connection at a time. When that fails, what
// was not answered is sent again elsewhere; what had been applied already then comes back as score.Duplicate, and counts once.
// It is safe for concurrent use, though the order of concurrent sends is anybody's guess.
type Stream struct {
	c      *Client
	o      StreamOptions
	ctx    context.Context
	cancel context.CancelFunc
	more   chan struct{} // holds one when there may be something to send, or nothing any more
	done   chan struct{} // closed when the stream has ended

	mu       sync.Mutex
	room     sync.Cond     // the queue got shorter, or the stream ended
	queue    []pendingLine // unanswered; the first sent of them went out on the present connection
	sent     int
	bytes    int
	closed   bool
	err      error
	progress time.Time // the last answer, or when the queue began to wait
	stats    StreamStats
	signer   *signer // nil: nothing is signed
}

type pendingLine struct {
	Line
	firstSent time.Time // zero: not sent yet
}

// StreamStats counts what went wrong so far.
type StreamStats struct {
	Retries   int // connections that failed with events unanswered
	Failovers int // times that the stream went on at another frontend
}

// Stream begins a stream. Nothing is sent before the first event. Cancelling ctx ends it at once; what is unanswered then may be in or not.
func (c *Client) Stream(ctx context.Context, o StreamOptions) *Stream {
	if o.Window <= 0 {
		o.Window = DefaultWindow
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Answered == nil {
		o.Answered = func(Answer) {}
	}
	if o.Trouble == nil {
		o.Trouble = func(string, error) {}
	}
	s := &Stream{c: c, o: o, more: make(chan struct{}, 1), done: make(chan struct{})}
	s.room.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	if len(c.o.Key) > 0 {
		s.signer = newSigner(s, c.o.Key)
	}
	go s.run()
	return s
}

// Send hands an event over; an event without an id is given one. It returns before the answer is there, and waits only for
// room. Once the stream has failed it returns why, as Close does.
//
// Where the client has a key the event is signed, for which it needs a source and a seq; without a time it is given the present one.
func (s *Stream) Send(e *score.Event) error {
	if e.ID == "" {
		e.ID = defaultID(e)
	}
	if s.signer != nil && e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	return s.SendLine(Line{Event: e})
}

// SendLine is Send for an event that is JSON already, or that the caller wants to know again. The line must have an identity: an id, or a source and a seq.
// What is JSON already is not signed, but sent as it is.
func (s *Stream) SendLine(l Line) error {
	if l.Event != nil {
		if err := s.prepare(&l); err != nil {
			return err
		}
	}
	s.mu.Lock()
	for s.err == nil && !s.closed && !s.fits(&l) {
		s.room.Wait()
	}
	if s.err != nil || s.closed {
		defer s.mu.Unlock()
		if s.err == nil {
			return errors.New("the stream is closed")
		}
		return s.err
	}
	if g := s.signer; g != nil {
		// What is signed already goes the same way, for the order's sake.
		g.pending = append(g.pending, l)
		g.count++
		g.bytes += len(l.JSON)
		g.wake(s)
		s.mu.Unlock()
		return nil
	}
	s.enqueue(l)
	s.mu.Unlock()
	s.notifyWriter()
	return nil
}

// push puts a line at the end of the queue. The stream is locked.
func (s *Stream) enqueue(l Line) {
	if len(s.queue) == 0 {
		s.progress = time.Now()
	}
	s.queue = append(s.queue, pendingLine{Line: l})
	s.bytes += len(l.JSON)
}

// unqueued counts the events that are not signed yet, and their bytes. The stream is locked.
func (s *Stream) unqueued() (n, bytes int) {
	if s.signer == nil {
		return 0, 0
	}
	return s.signer.count, s.signer.bytes
}

// over tells whether nothing more will come into the queue. The stream is locked.
func (s *Stream) noMore() bool {
	n, _ := s.unqueued()
	return s.closed && n == 0
}

func (s *Stream) fits(l *Line) bool {
	window := s.o.Window
	if l.Seq == 0 {
		window = min(window, idWindow)
	}
	unqueued, bytes := s.unqueued()
	n := len(s.queue) + unqueued
	return n == 0 || n < window && s.bytes+bytes+len(l.JSON) <= maxWaiting
}

// Close waits until every event is answered and ends the stream. The error is a *RefusedError if one was refused; a *score.Problem if the
// stream as a whole was; either that or an *UnreachableError if the patience ran out; or that of the stream's context.
func (s *Stream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.room.Broadcast()
	s.signer.wake(s)
	s.mu.Unlock()
	s.notifyWriter()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stats is what went wrong so far.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Stream) notifyWriter() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// run holds one conversation after the other until everything is answered.
func (s *Stream) run() {
	defer close(s.done)
	defer s.cancel()
	at := "" // where it failed last; "": it has not, since it last came to an end
	for failures := 0; s.waitForWork(); {
		url := s.c.frontends.pick()
		if at != "" && url != at {
			s.count(func(n *StreamStats) { n.Failovers++ })
		}
		at = url
		before := s.lastProgress()
		err := s.postOver(url)
		if err == nil {
			failures, at = 0, ""
			continue
		}
		if isRefusal(err) || s.ctx.Err() != nil {
			s.finish(err)
			return
		}
		s.c.frontends.markFailed(url, err)
		s.c.refreshInBackground(true)
		s.count(func(n *StreamStats) { n.Retries++ })
		s.o.Trouble(url, err)
		if s.lastProgress() != before {
			failures = 0
		}
		failures++
		if quiet := time.Since(s.lastProgress()); quiet >= s.o.Patience {
			s.finish(s.exhausted(quiet, fmt.Errorf("%s: %w", url, err)))
			return
		}
		if n := s.c.frontends.count(); failures >= n || isBusy(err) {
			sleep(s.ctx, backoff(1+failures/n))
		}
	}
}

// waitForWork waits for an event to send; false: there will be none, or the stream was cancelled.
func (s *Stream) waitForWork() bool {
	for {
		s.mu.Lock()
		n, over := len(s.queue), s.noMore()
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			s.finish(context.Cause(s.ctx))
			return false
		}
		if n > 0 {
			return true
		}
		if over {
			return false
		}
		select {
		case <-s.more:
		case <-s.ctx.Done():
		}
	}
}

func (s *Stream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cause := context.Cause(s.ctx); cause != nil {
		err = fmt.Errorf("the stream was ended with %d events unanswered: %w", len(s.queue), cause)
	}
	s.err = err
	s.queue, s.bytes, s.sent = nil, 0, 0
	s.room.Broadcast()
	s.signer.wake(s)
}

func (s *Stream) exhausted(quiet time.Duration, last error) error {
	var p *score.Problem
	if !errors.As(last, &p) {
		last = &UnreachableError{Tried: s.c.frontends.urls(), Err: last}
	}
	return fmt.Errorf("no event was answered for %s: %w", quiet.Round(time.Second), last)
}

// isRefusal: no other frontend would say anything else.
func isRefusal(err error) bool {
	var p *score.Problem
	return errors.As(err, &p) && !transient(p.Status)
}

// isBusy: the group as a whole has too much to do, so that going to another frontend at once would make it worse.
func isBusy(err error) bool {
	var p *score.Problem
	return errors.As(err, &p) && p.Code == score.RateLimited
}

func (s *Stream) lastProgress() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

func (s *Stream) count(add func(*StreamStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.stats)
}
