package posts

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
)

const (
	// MaxChunk and maxChunkBytes bound the events of an NDJSON stream that are posted at
	// once. A stream has at most two chunks in memory.
	MaxChunk      = 1024
	maxChunkBytes = 1 << 20
)

// These are shared by all answers and never changed. A proxy is not to keep results back.
var (
	headerNDJSON     = []string{handler.TypeNDJSON}
	headerUnbuffered = []string{"no"}
)

// stream is the answer to a stream of events.
type stream struct {
	*Posts
	caller  *handler.Caller
	w       http.ResponseWriter
	control *http.ResponseController
	place   *admission.Stream
	chunks  *prefetcher
	heard   bool // an event has come that may be posted
	proven  bool // an event was applied
	posted  int  // events that have been answered
	begun   bool
	buf     *handler.Buffer
}

// postStream posts a stream of events in chunks, each while the next one is read, and
// answers each chunk as soon as it is durable. It stops at the first event that is
// refused.
func (p *Posts) postStream(ctx context.Context, r *handler.Request) error {
	w, hr := r.Transport()
	r.Stream = true
	control := http.NewResponseController(w)
	chunks := newPrefetcher(ctx, control, hr.Body, p.Gate.Limits.StreamIdle)
	place, problem := p.Gate.EnterStream(r.Caller, chunks.interrupt)
	if problem != nil {
		return problem
	}
	defer place.Leave()
	// Errors mean that there is no connection. With HTTP/2 a deadline passes even while
	// nothing is written, so each write has its own.
	_ = control.SetWriteDeadline(time.Time{})
	s := &stream{
		Posts: p, caller: r.Caller, w: w, control: control, place: place, chunks: chunks,
		buf: handler.NewBuffer(),
	}
	defer s.buf.Free()
	if place.IsSilent() {
		chunks.expectEvent(p.Gate.Limits.FirstEventTimeout)
	}
	chunks.start(func(c *chunk) { s.authorize(ctx, c) })
	defer chunks.stop()
	for {
		c := chunks.next()
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

// authorize cuts a chunk before the first event that may not be posted. It runs while the
// previous chunk is posted.
func (s *stream) authorize(ctx context.Context, c *chunk) {
	if n, refused := s.Gate.AuthorizeEvents(ctx, s.caller, c.events); refused != nil {
		c.end(c.events[n].ID, refused)
		c.events, c.forbidden = c.events[:n], true
	}
	if !s.heard && len(c.events) > 0 {
		s.heard = true
		s.place.Heard()
		s.chunks.expectEvent(0)
	}
}

// post posts events of the stream as fast as their grants allow. It reports whether one
// was refused, after which nothing more is posted.
func (s *stream) post(ctx context.Context, events []score.Event) (refused bool, err error) {
	for most := len(events); len(events) > 0; {
		charge, n, err := s.Gate.AwaitCharge(s.chunks.reading, s.caller, events[:min(most, len(events))])
		switch {
		case err == nil:
		case s.chunks.reason() != nil:
			return true, s.abort(events[0].ID, s.chunks.reason())
		default:
			return false, err // the client is gone
		}
		part := events[:n]
		setDefaults(part)
		results, err := s.apply(ctx, score.Post{Events: part, Mode: score.UntilRefused, Secret: s.caller.Secret})
		charge.Settle(results, err)
		if problem, ok := errors.AsType[*score.Problem](err); ok && problem.Code == score.InvalidEvent {
			// The master takes no post with an event that is ahead of its clock. Those before it
			// are posted without it.
			if most = n / 2; most > 0 {
				continue
			}
			results, err = []score.Result{{ID: part[0].ID, Problem: problem}}, nil
		}
		if err != nil {
			return true, s.abort(part[0].ID, err)
		}
		answered, refused, err := s.answer(part, results)
		if err != nil || refused {
			return true, err
		}
		events = events[answered:]
	}
	return false, nil
}

// answer writes the results of events that were posted at once, and returns how many
// events they answer: one that was too large beside those before it begins the next post.
// refused reports whether the stream ends here.
func (s *stream) answer(events []score.Event, results []score.Result) (answered int, refused bool, err error) {
	last := len(results) - 1
	switch problem := results[last].Problem; {
	case problem == nil:
	case problem.Code == score.TooLarge && last > 0:
		results = results[:last]
	default:
		refused = true
		results = slices.Clone(results) // the state machine may still compare them; see fsm.Outcome
		results[last].Problem = atIndex(problem, s.posted+last)
		s.CountProblem(problem.Code)
	}
	if err := s.write(results); err != nil || refused {
		return 0, refused, err
	}
	s.posted += len(results)
	if s.proven {
		return len(results), false, nil
	}
	isApplied := func(r score.Result) bool { return r.Status == score.Applied }
	if i := slices.IndexFunc(results, isApplied); i >= 0 {
		s.proven = true
		if problem := s.place.Prove(&events[i]); problem != nil {
			return 0, true, s.abort("", problem)
		}
	}
	return len(results), false, nil
}

// abort reports that a chunk as a whole failed or has an unknown outcome: by the status
// if the answer has not begun, else in the last line, which names the first event
// concerned.
func (s *stream) abort(id string, err error) error {
	if !s.begun {
		return err
	}
	var problem *score.Problem
	if !errors.As(err, &problem) {
		return err // the client is gone
	}
	s.CountProblem(problem.Code)
	return s.write([]score.Result{{ID: id, Problem: atIndex(problem, s.posted)}})
}

func (s *stream) write(results []score.Result) error {
	if !s.begun {
		s.begun = true
		s.w.Header()["Content-Type"], s.w.Header()["X-Accel-Buffering"] = headerNDJSON, headerUnbuffered
	}
	b := s.buf.B[:0]
	for i := range results {
		b = appendResult(b, &results[i])
		b = append(b, '\n')
	}
	s.buf.B = b
	s.chunks.limitWrite(s.Gate.Limits.StreamIdle)
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	return nil
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
		if line = score.TrimLine(line); len(line) == 0 {
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
	problem, ended := errors.AsType[*score.Problem](err)
	switch {
	case ended:
		return problem
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
