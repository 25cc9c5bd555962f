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
	// end is nil if more may follow, io.EOF at the end of the stream, a *lineError for an
	// invalid line, a *score.Problem for an unauthorized event, which is rejected, or the
	// read error.
	end      error
	rejected *score.Event
}

func (c *chunk) hasRoomFor(d *chunk) bool {
	return len(c.events) == 0 || len(c.events)+len(d.events) <= MaxChunk && c.bytes+d.bytes <= maxChunkBytes
}

func (c *chunk) add(d *chunk) {
	if len(c.events) == 0 {
		*c = *d
		return
	}
	c.events, c.bytes, c.end, c.rejected = append(c.events, d.events...), c.bytes+d.bytes, d.end, d.rejected
}

type lineError struct {
	id      string // of the event; "" if it could not be read
	problem *score.Problem
}

func (e *lineError) Error() string { return e.problem.Error() }

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
// There is no chunk after one with an end.
func (l *eventReader) next() chunk {
	var c chunk
	for len(c.events) == 0 || len(c.events) < MaxChunk && c.bytes < maxChunkBytes/2 && l.lineBuffered() {
		line, err := l.readLine()
		if err != nil && (err != io.EOF || len(line) == 0) {
			c.end = err
			return c
		}
		if len(line) > 0 {
			event, problem := score.Decode(line)
			if problem != nil {
				c.end = l.invalid(event.ID, problem)
				return c
			}
			c.events = append(c.events, event)
			c.bytes += len(line)
			l.count++
		}
		if err != nil {
			c.end = err
			return c
		}
	}
	return c
}

// readLine reads one line, valid until the next call, without the white space around it.
// What follows the last newline is returned with io.EOF. A line that breaks off is
// dropped.
func (l *eventReader) readLine() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	l.line++
	switch {
	case err == bufio.ErrBufferFull:
		return nil, l.invalid("", score.Problemf(score.TooLarge,
			"line %d has more than %d bytes, the limit of an event; is a newline "+
				"missing?", l.line, score.MaxEventBytes))
	case err != nil && err != io.EOF:
		return nil, err
	}
	return bytes.Trim(line, " \t\r\n"), err
}

func (l *eventReader) lineBuffered() bool {
	arrived, _ := l.in.Peek(l.in.Buffered())
	return bytes.IndexByte(arrived, '\n') >= 0
}

func (l *eventReader) invalid(id string, p *score.Problem) *lineError {
	return &lineError{id, atIndex(p, l.count)}
}

// atIndex returns p with the index of its event in the post.
func atIndex(p *score.Problem, index int) *score.Problem {
	q := *p
	q.Index = &index
	return &q
}

// endProblem returns what the last line of the answer reports about the end of a stream.
func (l *eventReader) endProblem(err error) (id string, p *score.Problem) {
	var invalid *lineError
	switch {
	case errors.As(err, &invalid):
		return invalid.id, invalid.problem
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", atIndex(score.Problemf(score.InvalidEvent,
			"the stream was silent for too long after line %d; the events before are answered above; blank lines "+
				"keep a stream open", l.line-1), l.count)
	}
	return "", atIndex(score.Problemf(score.InvalidEvent,
		"the stream breaks off in line %d, which is dropped: %s", l.line, err), l.count)
}
