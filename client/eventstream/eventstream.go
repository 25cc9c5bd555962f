// Package eventstream reads server-sent events, as the HTML standard defines them.
package eventstream

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Event is one event.
type Event struct {
	Name string
	Data []byte // valid until the next event is read
}

// Reader reads events.
type Reader struct {
	// ID is the last id. It is valid only after Next has returned, because an event that
	// was cut off in the middle was not received.
	ID string
	// Retry is the delay that the server asks for before reconnecting; 0 for none.
	Retry time.Duration

	lines *bufio.Scanner
	max   int // bytes of one event
	data  []byte
}

// NewReader returns a reader that refuses events of more than max bytes.
func NewReader(r io.Reader, max int) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, max)
	lines.Split(func(data []byte, _ bool) (advance int, token []byte, err error) {
		return bufio.ScanLines(data, false) // a line that was cut off was not received
	})
	return &Reader{lines: lines, max: max}
}

// Next reads up to the end of the next event that has data.
func (r *Reader) Next() (Event, error) {
	event := "message"
	r.data = r.data[:0]
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if len(line) == 0 {
			if len(r.data) > 0 {
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
	return Event{}, cmp.Or(r.lines.Err(), io.EOF)
}
