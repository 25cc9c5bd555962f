// Package sse reads server-sent events, as the HTML standard defines them.
package sse

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Event is one server-sent event.
type Event struct {
	Name string
	Data []byte // valid until the next event is read
}

// Reader reads server-sent events.
type Reader struct {
	r    *bufio.Reader
	max  int // bytes of one event
	line []byte
	data []byte

	// ID is the last id. It is valid only after Next has returned, because an event that
	// was cut off in the middle was not received.
	ID string
	// Retry is the delay that the server asks for before reconnecting; 0 for none.
	Retry time.Duration
}

// NewReader returns a Reader of r, which refuses events of more than max bytes.
func NewReader(r io.Reader, max int) *Reader { return &Reader{r: bufio.NewReader(r), max: max} }

// Next reads up to the end of the next event that has data.
func (r *Reader) Next() (Event, error) {
	event := "message"
	r.data = r.data[:0]
	some := false
	for {
		line, err := r.readLine()
		if err != nil {
			return Event{}, err
		}
		if len(line) == 0 {
			if some {
				return Event{event, bytes.TrimSuffix(r.data, []byte("\n"))}, nil
			}
			event = "message"
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			some = true
			r.data = append(append(r.data, value...), '\n')
			if len(r.data) > r.max {
				return Event{}, fmt.Errorf("sent an event of more than %d bytes", r.max)
			}
		case "id":
			r.ID = string(value)
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				r.Retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// readLine reads a line, without its end.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(bytes.TrimSuffix(r.line, []byte("\n")), []byte("\r")), nil
		case err != bufio.ErrBufferFull:
			return nil, err
		case len(r.line) > r.max:
			return nil, fmt.Errorf("sent a line of more than %d bytes", r.max)
		}
	}
}
