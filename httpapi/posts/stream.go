package posts

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"laurel/httpapi/handler"
	"laurel/score"
)

const (
	// MaxChunk and maxChunkBytes bound the events of an NDJSON stream that are posted at
	// once. A stream has at most two chunks in memory.
	MaxChunk      = 1024
	maxChunkBytes = 1 << 20
	// linger is how long a client may go on sending after its stream was stopped, so that
	// it can read the answer before the connection is closed.
	linger = time.Second
)

var headerNDJSON = []string{handler.TypeNDJSON} // shared by all answers; never changed

// postStream posts a stream of events in chunks, each while the next one is read, and
// answers each chunk as soon as it is durable. It stops at the first event that is
// refused.
func (p *Posts) postStream(ctx context.Context, r *handler.Request) error {
	w, hr := r.Transport()
	r.Stream = true
	leave, problem := p.Gate.EnterStream(r.Caller)
	if problem != nil {
		return problem
	}
	defer leave()
	// Errors mean that there is no connection. With HTTP/2 a deadline passes even while
	// nothing is written, so each write has its own.
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	_ = control.SetWriteDeadline(time.Time{})
	chunks := prefetch(w, hr.Body, p.Limits.StreamIdle, func(c *chunk) { p.authorizeChunk(ctx, r.Caller, c) })
	defer chunks.stop()
	out := &streamWriter{w: w, chunks: chunks, idle: p.Limits.StreamIdle}
	defer out.free()
	posted := 0
	for {
		c := chunks.next()
		n, refused, err := p.postChunk(ctx, c.events, posted, out)
		if err != nil || refused {
			return err
		}
		posted += n
		if c.rejected != nil {
			return p.abort(out, c.rejected, posted, c.end)
		}
		switch c.end {
		case nil:
		case io.EOF:
			return nil
		default:
			id, problem := chunks.in.endProblem(c.end)
			p.CountProblem(problem.Code)
			return out.write([]score.Result{{ID: id, Problem: problem}})
		}
	}
}

// authorizeChunk cuts a chunk before the first event that may not be posted. It runs
// while the previous chunk is posted.
func (p *Posts) authorizeChunk(ctx context.Context, caller *handler.Caller, c *chunk) {
	if n, refused := p.Gate.AuthorizeEvents(ctx, caller, c.events); refused != nil {
		c.rejected, c.events, c.end = &c.events[n], c.events[:n], refused
	}
}

// postChunk posts events of a stream as fast as their grants allow, after the before
// events posted so far. It returns how many it has answered, and whether one was refused.
func (p *Posts) postChunk(
	ctx context.Context, events []score.Event, before int, out *streamWriter,
) (done int, refused bool, err error) {
	for done < len(events) {
		budget, n := p.Gate.Budget(events[done:])
		if budget != nil {
			if err := budget.WaitN(ctx, n); err != nil {
				return done, false, err // the client is gone
			}
		}
		part := events[done : done+n]
		setDefaults(part)
		results, err := p.apply(ctx, score.Post{Events: part, Mode: score.UntilRefused})
		if err != nil {
			return done, true, p.abort(out, &part[0], before+done, err)
		}
		last := &results[len(results)-1]
		refused := last.Problem != nil
		if refused {
			last.Problem = atIndex(last.Problem, before+done+len(results)-1)
			p.CountProblem(last.Problem.Code)
		}
		if err := out.write(results); err != nil || refused {
			return done, refused, err
		}
		done += len(results)
	}
	return done, false, nil
}

// abort reports that a chunk as a whole failed or has an unknown outcome: by the status
// if the answer has not begun, else in the last line, which names the first event
// concerned.
func (p *Posts) abort(out *streamWriter, first *score.Event, index int, err error) error {
	if !out.begun {
		out.begin()
		return err
	}
	var problem *score.Problem
	if !errors.As(err, &problem) {
		return err // the client is gone
	}
	p.CountProblem(problem.Code)
	return out.write([]score.Result{{ID: first.ID, Problem: atIndex(problem, index)}})
}

type streamWriter struct {
	w      http.ResponseWriter
	chunks *prefetcher
	idle   time.Duration
	begun  bool
	buf    *handler.Buffer
}

// begin closes the connection after the answer unless the stream has been read to its
// end. What is left of a stopped stream must not be taken for another request.
func (s *streamWriter) begin() {
	s.begun = true
	if !s.chunks.over.Load() {
		s.w.Header().Set("Connection", "close")
	}
}

func (s *streamWriter) write(results []score.Result) error {
	if !s.begun {
		s.begin()
		s.w.Header()["Content-Type"] = headerNDJSON
		s.buf = handler.NewBuffer()
	}
	b := s.buf.B[:0]
	for i := range results {
		b = appendResult(b, &results[i])
		b = append(b, '\n')
	}
	s.buf.B = b
	rc := http.NewResponseController(s.w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.idle)) // fails without a connection
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_ = rc.SetWriteDeadline(time.Time{})
	return nil
}

func (s *streamWriter) free() {
	if s.buf != nil {
		s.buf.Free()
	}
}

// prefetcher reads the next chunk while one is being posted.
type prefetcher struct {
	in   *eventReader
	body *idleBody
	over atomic.Bool // the stream has been read to its end
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond // pending or stopped has changed
	pending chunk
	stopped bool
}

// prefetch reads chunks from body and has check look at each of them.
func prefetch(w http.ResponseWriter, body io.Reader, idle time.Duration, check func(*chunk)) *prefetcher {
	b := &idleBody{body: body, rc: http.NewResponseController(w), idle: idle}
	a := &prefetcher{in: newEventReader(b), body: b, done: make(chan struct{})}
	a.changed.L = &a.mu
	go func() {
		defer close(a.done)
		for more := true; more; {
			c := a.in.next()
			check(&c)
			more = a.add(c)
		}
	}()
	return a
}

// add appends c to the pending chunk once there is room for it. It reports whether to
// read on.
func (a *prefetcher) add(c chunk) bool {
	a.over.Store(c.end == io.EOF)
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped && !a.pending.hasRoomFor(&c) {
		a.changed.Wait()
	}
	a.pending.add(&c)
	a.changed.Signal()
	return c.end == nil && !a.stopped
}

// next waits for the next chunk. There is none after one with an end.
func (a *prefetcher) next() chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pending.events) == 0 && a.pending.end == nil {
		a.changed.Wait()
	}
	c := a.pending
	a.pending = chunk{}
	a.changed.Signal()
	return c
}

// stop ends the reading and waits until it has ended, because the body must not be read
// after the handler has returned.
func (a *prefetcher) stop() {
	a.mu.Lock()
	a.stopped = true
	a.changed.Signal()
	a.mu.Unlock()
	// After the end of a body net/http waits for the next request. A deadline that passes
	// then would end the connection.
	over := a.over.Load()
	if !over {
		a.body.stop()
	}
	<-a.done
	if !over {
		_ = a.body.rc.SetReadDeadline(time.Now().Add(linger)) // fails without a connection
	}
	a.in.free()
}

// idleBody is a body with a deadline for each read. It can be stopped.
type idleBody struct {
	body io.Reader
	rc   *http.ResponseController
	idle time.Duration

	mu      sync.Mutex
	stopped bool
}

var errStopped = errors.New("the stream was stopped")

func (b *idleBody) Read(p []byte) (int, error) {
	if !b.extend() {
		return 0, errStopped
	}
	n, err := b.body.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{}) // posting the end may take longer
	}
	return n, err
}

func (b *idleBody) extend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped {
		_ = b.rc.SetReadDeadline(time.Now().Add(b.idle)) // fails without a connection
	}
	return !b.stopped
}

func (b *idleBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	_ = b.rc.SetReadDeadline(time.Unix(1, 0))
}
