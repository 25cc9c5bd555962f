package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"sync"

	"laurel/score"
)

// chunk is a run of events of a stream that is posted at once.
type chunk struct {
	events []score.Event
	bytes  int
	// end tells why nothing follows: io.EOF where the stream is over, a *refusal for a line that is no event, a problem for one that nobody vouches
	// for, which is the stranger, else reading failed.
	end      error
	stranger *score.Event
}

func (c *chunk) hasRoomFor(d *chunk) bool {
	return len(c.events) == 0 || len(c.events)+len(d.events) <= MaxChunk && c.bytes+d.bytes <= maxChunkBytes
}

func (c *chunk) add(d *chunk) {
	if len(c.events) == 0 {
		*c = *d
		return
	}
	c.events, c.bytes, c.end, c.stranger = append(c.events, d.events...), c.bytes+d.bytes, d.end, d.stranger
}

// refusal is a line that is no event.
type refusal struct {
	id      string // "" where it could not be read
	problem *score.Problem
}

func (r *refusal) Error() string { return r.problem.Error() }

// eventReader reads events from NDJSON. It holds one line at a time, and never more of it than an event may have.
type eventReader struct {
	in    *bufio.Reader
	line  int // the number of the line read last, from 1
	count int // events read so far
}

// A line may have an event's bytes and \r\n.
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

// next waits for a line, and takes with it the whole lines that are there already. Nothing comes after a chunk that has an end.
func (l *eventReader) next() chunk {
	var c chunk
	for len(c.events) == 0 || len(c.events) < MaxChunk && c.bytes < maxChunkBytes/2 && l.lineWaits() {
		line, err := l.readLine()
		if err != nil && (err != io.EOF || len(line) == 0) {
			c.end = err
			return c
		}
		if len(line) > 0 {
			event, problem := score.Decode(line)
			if problem != nil {
				c.end = l.refuse(event.ID, problem)
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

// readLine reads one line without the white space around it; it is valid until the next call. With io.EOF comes what
// stands behind the last newline. A line that breaks off is not given out.
func (l *eventReader) readLine() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	l.line++
	switch {
	case err == bufio.ErrBufferFull:
		return nil, l.refuse("", score.Problemf(score.TooLarge, "line %d has more than %d bytes, the most of an event; is a newline missing?", l.line, score.MaxEventBytes))
	case err != nil && err != io.EOF:
		return nil, err
	}
	return bytes.Trim(line, " \t\r\n"), err
}

// lineWaits tells whether a whole line can be read without waiting for more to arrive.
func (l *eventReader) lineWaits() bool {
	arrived, _ := l.in.Peek(l.in.Buffered())
	return bytes.IndexByte(arrived, '\n') >= 0
}

func (l *eventReader) refuse(id string, p *score.Problem) *refusal {
	return &refusal{id, atIndex(p, l.count)}
}

// atIndex is p with the place of its event in the stream.
func atIndex(p *score.Problem, index int) *score.Problem {
	q := *p
	q.Index = &index
	return &q
}

// streamProblem is what the last line of the answer says of the end of a stream.
func (l *eventReader) streamProblem(err error) (id string, p *score.Problem) {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused.id, refused.problem
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", atIndex(score.Problemf(score.InvalidEvent, "the stream was silent for too long after line %d; what came before is answered above; a blank line now and then keeps it open", l.line-1), l.count)
	}
	return "", atIndex(score.Problemf(score.InvalidEvent, "the stream breaks off in line %d, which is dropped: %s", l.line, err), l.count)
}
