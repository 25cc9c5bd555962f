package posts

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"sync"

	"laurel/score"
)

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
