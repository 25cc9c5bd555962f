package posts

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
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

// These are shared by all answers and never changed. A proxy is not to keep results back.
var (
	headerNDJSON     = []string{handler.TypeNDJSON}
	headerUnbuffered = []string{"no"}
)

// stream is the answer to a stream of events.
type stream struct {
	*Posts
	secret  score.Secret // of the caller's token
	w       http.ResponseWriter
	control *http.ResponseController
	chunks  *prefetcher
	posted  int // events that have been answered
	begun   bool
	buf     *handler.Buffer
}

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
	s := &stream{Posts: p, secret: r.Caller.Secret, w: w, control: control, buf: handler.NewBuffer()}
	defer s.buf.Free()
	authorize := func(c *chunk) { p.authorizeChunk(ctx, r.Caller, c) }
	s.chunks = prefetch(control, hr.Body, p.Gate.Limits.StreamIdle, authorize)
	defer s.chunks.stop()
	for {
		c := s.chunks.next()
		if refused, err := s.post(ctx, c.events); err != nil || refused {
			return err
		}
		switch {
		case c.forbidden:
			return s.abort(c.last.ID, c.last.Problem)
		case c.last != nil:
			p.CountProblem(c.last.Problem.Code)
			return s.write([]score.Result{*c.last})
		case c.ended:
			return nil
		}
	}
}

// authorizeChunk cuts a chunk before the first event that may not be posted. It runs
// while the previous chunk is posted.
func (p *Posts) authorizeChunk(ctx context.Context, caller *handler.Caller, c *chunk) {
	if n, refused := p.Gate.AuthorizeEvents(ctx, caller, c.events); refused != nil {
		c.end(c.events[n].ID, refused)
		c.events, c.forbidden = c.events[:n], true
	}
}

// post posts events of the stream as fast as their grants allow. It reports whether one
// was refused, after which nothing more is posted.
func (s *stream) post(ctx context.Context, events []score.Event) (refused bool, err error) {
	for len(events) > 0 {
		budget, n := s.Gate.Budget(events)
		if budget != nil {
			if err := budget.WaitN(ctx, n); err != nil {
				return false, err // the client is gone
			}
		}
		part := events[:n]
		setDefaults(part)
		results, err := s.apply(ctx, score.Post{Events: part, Mode: score.UntilRefused, Secret: s.secret})
		if err != nil {
			return true, s.abort(part[0].ID, err)
		}
		last := &results[len(results)-1]
		if refused = last.Problem != nil; refused {
			last.Problem = atIndex(last.Problem, s.posted+len(results)-1)
			s.CountProblem(last.Problem.Code)
		}
		if err := s.write(results); err != nil || refused {
			return refused, err
		}
		s.posted += n
		events = events[n:]
	}
	return false, nil
}

// abort reports that a chunk as a whole failed or has an unknown outcome: by the status
// if the answer has not begun, else in the last line, which names the first event
// concerned.
func (s *stream) abort(id string, err error) error {
	if !s.begun {
		s.begin()
		return err
	}
	var problem *score.Problem
	if !errors.As(err, &problem) {
		return err // the client is gone
	}
	s.CountProblem(problem.Code)
	return s.write([]score.Result{{ID: id, Problem: atIndex(problem, s.posted)}})
}

// begin closes the connection after the answer unless the stream has been read to its
// end. What is left of a stopped stream must not be taken for another request.
func (s *stream) begin() {
	s.begun = true
	if !s.chunks.over.Load() {
		s.w.Header().Set("Connection", "close")
	}
}

func (s *stream) write(results []score.Result) error {
	if !s.begun {
		s.begin()
		s.w.Header()["Content-Type"], s.w.Header()["X-Accel-Buffering"] = headerNDJSON, headerUnbuffered
	}
	b := s.buf.B[:0]
	for i := range results {
		b = appendResult(b, &results[i])
		b = append(b, '\n')
	}
	s.buf.B = b
	_ = s.control.SetWriteDeadline(time.Now().Add(s.Gate.Limits.StreamIdle)) // fails without a connection
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	return nil
}

// prefetcher reads the next chunk while one is being posted.
type prefetcher struct {
	body    io.Reader
	control *http.ResponseController
	idle    time.Duration // limit of each read of the body
	over    atomic.Bool   // the stream has been read to its end
	done    chan struct{}

	mu      sync.Mutex
	changed sync.Cond // pending or stopped has changed
	pending chunk
	stopped bool
}

// prefetch reads chunks from body and has check look at each of them.
func prefetch(control *http.ResponseController, body io.Reader, idle time.Duration, check func(*chunk)) *prefetcher {
	a := &prefetcher{body: body, control: control, idle: idle, done: make(chan struct{})}
	a.changed.L = &a.mu
	go func() {
		defer close(a.done)
		in := newEventReader(a)
		defer in.free()
		for more := true; more; {
			c := in.next()
			check(&c)
			a.over.Store(c.ended && c.last == nil)
			more = a.add(c)
		}
	}()
	return a
}

// add appends c to the pending chunk once there is room for it. It reports whether to
// read on.
func (a *prefetcher) add(c chunk) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped && !a.pending.hasRoomFor(&c) {
		a.changed.Wait()
	}
	a.pending.add(c)
	a.changed.Signal()
	return !c.ended && !a.stopped
}

// next waits for the next chunk. There is none after one that has ended.
func (a *prefetcher) next() chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pending.events) == 0 && !a.pending.ended {
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
	// After the end of a body net/http waits for the next request. A deadline that passes
	// then would end the connection.
	over := a.over.Load()
	a.mu.Lock()
	a.stopped = true
	if !over {
		_ = a.control.SetReadDeadline(time.Unix(1, 0)) // fails without a connection, here and below
	}
	a.changed.Signal()
	a.mu.Unlock()
	<-a.done
	if !over {
		_ = a.control.SetReadDeadline(time.Now().Add(linger))
	}
}

var errStopped = errors.New("the stream was stopped")

// Read reads from the body within the idle time, until the prefetcher is stopped.
func (a *prefetcher) Read(b []byte) (int, error) {
	a.mu.Lock()
	stopped := a.stopped
	if !stopped {
		_ = a.control.SetReadDeadline(time.Now().Add(a.idle))
	}
	a.mu.Unlock()
	if stopped {
		return 0, errStopped
	}
	n, err := a.body.Read(b)
	if err == io.EOF {
		_ = a.control.SetReadDeadline(time.Time{}) // posting the end may take longer
	}
	return n, err
}

// chunk is a run of events of a stream that are posted at once.
type chunk struct {
	events []score.Event
	bytes  int
	ended  bool // no chunk follows
	// last is what the answer reports after the events, if the stream did not end well.
	last      *score.Result
	forbidden bool // last is an event that the caller may not post
}

func (c *chunk) hasRoomFor(d *chunk) bool {
	return len(c.events) == 0 || len(c.events)+len(d.events) <= MaxChunk && c.bytes+d.bytes <= maxChunkBytes
}

func (c *chunk) add(d chunk) {
	if len(c.events) > 0 {
		d.events, d.bytes = append(c.events, d.events...), c.bytes+d.bytes
	}
	*c = d
}

func (c *chunk) end(id string, p *score.Problem) {
	c.ended, c.last = true, &score.Result{ID: id, Problem: p}
}

// eventReader reads events from NDJSON. It holds one line at a time, of at most
// score.MaxEventBytes.
type eventReader struct {
	in    *bufio.Reader
	line  int // the number of the last line, from 1
	count int // events read so far
}

// lineReaders have buffers for an event and \r\n.
var lineReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, score.MaxEventBytes+2) }}

func newEventReader(r io.Reader) *eventReader {
	in := lineReaders.Get().(*bufio.Reader)
	in.Reset(r)
	return &eventReader{in: in}
}

func (l *eventReader) free() {
	l.in.Reset(nil)
	lineReaders.Put(l.in)
}

// next waits for a line and returns it with the complete lines that have already arrived.
func (l *eventReader) next() (c chunk) {
	for !c.ended && (len(c.events) == 0 || len(c.events) < MaxChunk && c.bytes < maxChunkBytes/2 && l.lineBuffered()) {
		line, err := l.in.ReadSlice('\n')
		l.line++
		if err != nil && err != io.EOF { // a line that breaks off is dropped
			c.end("", atIndex(l.readProblem(err), l.count))
			return c
		}
		c.ended = err == io.EOF
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		event, problem := score.Decode(line)
		if problem != nil {
			c.end(event.ID, atIndex(problem, l.count))
			return c
		}
		c.events = append(c.events, event)
		c.bytes += len(line)
		l.count++
	}
	return c
}

func (l *eventReader) lineBuffered() bool {
	arrived, _ := l.in.Peek(l.in.Buffered())
	return bytes.IndexByte(arrived, '\n') >= 0
}

// atIndex returns p with the index of its event in the post.
func atIndex(p *score.Problem, index int) *score.Problem {
	q := *p
	q.Index = &index
	return &q
}

// readProblem returns what is reported about a line that could not be read.
func (l *eventReader) readProblem(err error) *score.Problem {
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return score.Problemf(score.TooLarge,
			"line %d has more than %d bytes, the limit of an event; is a newline missing?", l.line, score.MaxEventBytes)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return score.Problemf(score.InvalidEvent,
			"the stream was silent for too long after line %d; the events before are answered above; blank lines "+
				"keep a stream open", l.line-1)
	}
	return score.Problemf(score.InvalidEvent, "the stream breaks off in line %d, which is dropped: %s", l.line, err)
}
