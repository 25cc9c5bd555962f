package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"laurel/score"
)

// postStream posts a stream of events, a chunk at a time while the next is being read, and answers each chunk as soon as it is
// durable. It stops at the first event that is refused.
func (p *port) postStream(w http.ResponseWriter, r *http.Request) error {
	if res, ok := w.(*response); ok {
		res.stream = true
	}
	who := callerOf(r)
	leave, problem := p.enterStream(who)
	if problem != nil {
		return problem
	}
	defer leave()
	// Not supported where there is no connection to read from and write to. With HTTP/2 a deadline passes also while nothing is written, so there is
	// none but for each write.
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	_ = control.SetWriteDeadline(time.Time{})
	ahead := readAhead(w, r.Body, p.limits.StreamIdle, func(c *chunk) { p.vouch(r.Context(), who, c) })
	defer ahead.stop()
	answers := &answerStream{w: w, ahead: ahead, idle: p.limits.StreamIdle}
	defer answers.free()
	posted := 0
	for {
		c := ahead.next()
		n, refused, err := p.postChunk(r.Context(), c.events, posted, answers)
		if err != nil || refused {
			return err
		}
		posted += n
		if c.stranger != nil {
			return p.breakOff(answers, c.stranger, posted, c.end)
		}
		switch c.end {
		case nil:
		case io.EOF:
			return nil
		default:
			id, problem := ahead.in.streamProblem(c.end)
			p.metrics.problems.count(problem.Code)
			return answers.write([]score.Result{{ID: id, Problem: problem}})
		}
	}
}

// vouch leaves of a chunk what somebody vouches for. It looks at the signatures of what comes while that which came before is being posted.
func (p *port) vouch(ctx context.Context, who *caller, c *chunk) {
	if good, refused := p.vouched(ctx, who, c.events); refused != nil {
		c.stranger, c.events, c.end = &c.events[good], c.events[:good], refused
	}
}

// postChunk posts the events of a stream that have come, as fast as those may who vouch for them. It tells how many it has answered, and whether the
// stream is over because one was not taken.
func (p *port) postChunk(ctx context.Context, events []score.Event, before int, answers *answerStream) (done int, over bool, err error) {
	for done < len(events) {
		budget, n := p.paced(events[done:])
		if budget != nil {
			if err := budget.WaitN(ctx, n); err != nil {
				return done, false, err // the client is gone
			}
		}
		part := events[done : done+n]
		complete(part)
		results, err := p.post(ctx, score.Post{Events: part, Mode: score.UntilRefused})
		if err != nil {
			return done, true, p.breakOff(answers, &part[0], before+done, err)
		}
		last := &results[len(results)-1]
		refused := last.Problem != nil
		if refused {
			last.Problem = atIndex(last.Problem, before+done+len(results)-1)
			p.metrics.problems.count(last.Problem.Code)
		}
		if err := answers.write(results); err != nil || refused {
			return done, refused, err
		}
		done += len(results)
	}
	return done, false, nil
}

// breakOff says that a chunk as a whole came to nothing, or to nobody knows what: by the status while that can still be said, else in
// the last line, which names the first event whose outcome is open.
func (p *port) breakOff(answers *answerStream, first *score.Event, index int, err error) error {
	if !answers.begun {
		answers.begin()
		return err
	}
	var problem *score.Problem
	if !errors.As(err, &problem) {
		return err // the client is gone
	}
	p.metrics.problems.count(problem.Code)
	return answers.write([]score.Result{{ID: first.ID, Problem: atIndex(problem, index)}})
}

// answerStream writes results, a line each.
type answerStream struct {
	w     http.ResponseWriter
	ahead *ahead
	idle  time.Duration
	begun bool
	buf   *buffer
}

// begin decides what the header says of the connection. A stream that may be stopped half-way leaves bytes behind which must
// never be taken for another request, so its connection is not used again.
func (s *answerStream) begin() {
	s.begun = true
	if !s.ahead.over.Load() {
		s.w.Header().Set("Connection", "close")
	}
}

func (s *answerStream) write(results []score.Result) error {
	if !s.begun {
		s.begin()
		s.w.Header()["Content-Type"] = headerNDJSON
		s.buf = newBuffer()
	}
	b := s.buf.b[:0]
	for i := range results {
		b = appendResult(b, &results[i])
		b = append(b, '\n')
	}
	s.buf.b = b
	rc := http.NewResponseController(s.w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.idle)) // not supported where there is no connection
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_ = rc.SetWriteDeadline(time.Time{})
	return nil
}

func (s *answerStream) free() {
	if s.buf != nil {
		s.buf.free()
	}
}

// ahead reads on while a chunk is being posted: what arrives meanwhile is the next chunk.
type ahead struct {
	in   *eventReader
	body *idleBody
	over atomic.Bool // the stream was read to its end
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond // pending or stopped has
	pending chunk
	stopped bool
}

// readAhead reads from body. Each chunk is looked through before it is handed on.
func readAhead(w http.ResponseWriter, body io.Reader, idle time.Duration, look func(*chunk)) *ahead {
	b := &idleBody{body: body, rc: http.NewResponseController(w), idle: idle}
	a := &ahead{in: newEventReader(b), body: b, done: make(chan struct{})}
	a.changed.L = &a.mu
	go func() {
		defer close(a.done)
		for more := true; more; {
			c := a.in.next()
			look(&c)
			more = a.gather(c)
		}
	}()
	return a
}

// gather puts c behind what is pending, once there is room for it; it tells whether to read on.
func (a *ahead) gather(c chunk) bool {
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

// next waits for the next chunk. Nothing comes after one that has an end.
func (a *ahead) next() chunk {
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

// stop ends the reading and waits for it: the body must not be read once the handler has returned.
func (a *ahead) stop() {
	a.mu.Lock()
	a.stopped = true
	a.changed.Signal()
	a.mu.Unlock()
	// Behind the end of a body net/http waits for the next request, and takes a deadline that passes there for the end of the connection.
	over := a.over.Load()
	if !over {
		a.body.stop()
	}
	<-a.done
	if !over {
		_ = a.body.rc.SetReadDeadline(time.Now().Add(linger)) // not supported where there is no connection
	}
	a.in.free()
}

// idleBody is a body whose every read has a deadline of its own, and that can be stopped.
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
		_ = b.rc.SetReadDeadline(time.Time{}) // the stream may bring nothing more, for as long as its end is being posted
	}
	return n, err
}

func (b *idleBody) extend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped {
		_ = b.rc.SetReadDeadline(time.Now().Add(b.idle)) // not supported where there is no connection
	}
	return !b.stopped
}

// stop makes the read that is under way, and every later one, fail.
func (b *idleBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	_ = b.rc.SetReadDeadline(time.Unix(1, 0))
}
