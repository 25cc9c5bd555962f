package httpapi

import (
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
	// Not supported where there is no connection to read from and write to.
	_ = http.NewResponseController(w).EnableFullDuplex()
	ahead := readAhead(w, r.Body, p.limits.StreamIdle)
	defer ahead.stop()
	answers := &answerStream{w: w, ahead: ahead, idle: p.limits.StreamIdle}
	defer answers.free()
	posted := 0
	for c := range ahead.chunks {
		if len(c.events) > 0 {
			complete(c.events)
			results, err := p.post(r.Context(), score.Post{Events: c.events, Mode: score.UntilRefused})
			if err != nil {
				return p.breakOff(answers, &c.events[0], posted, err)
			}
			last := &results[len(results)-1]
			refused := last.Problem != nil
			if refused {
				last.Problem = atIndex(last.Problem, posted+len(results)-1)
				p.metrics.problems.count(last.Problem.Code)
			}
			if err := answers.write(results); err != nil || refused {
				return err
			}
			posted += len(results)
		}
		if c.end != nil && c.end != io.EOF {
			id, problem := ahead.in.streamProblem(c.end)
			p.metrics.problems.count(problem.Code)
			return answers.write([]score.Result{{ID: id, Problem: problem}})
		}
	}
	return nil
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
	return nil
}

func (s *answerStream) free() {
	if s.buf != nil {
		s.buf.free()
	}
}

// ahead reads a stream's next chunk while the one before is being posted.
type ahead struct {
	chunks chan chunk // closed after the last
	in     *eventReader
	over   atomic.Bool // the stream was read to its end
	body   *idleBody
	quit   chan struct{}
}

func readAhead(w http.ResponseWriter, body io.Reader, idle time.Duration) *ahead {
	b := &idleBody{body: body, rc: http.NewResponseController(w), idle: idle}
	a := &ahead{chunks: make(chan chunk), in: newEventReader(b), body: b, quit: make(chan struct{})}
	go func() {
		defer close(a.chunks)
		for {
			c := a.in.next()
			a.over.Store(c.end == io.EOF)
			select {
			case a.chunks <- c:
			case <-a.quit:
				return
			}
			if c.end != nil {
				return
			}
		}
	}()
	return a
}

// stop ends the reading and waits for it: the body must not be read once the handler has returned.
func (a *ahead) stop() {
	close(a.quit)
	a.body.stop()
	for range a.chunks {
	}
	if !a.over.Load() {
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
	return b.body.Read(p)
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
