package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
)

// message is one server-sent event.
type message struct {
	event string
	data  []byte // valid until the next message is read
}

// messages reads server-sent events.
type messages struct {
	r    *bufio.Reader
	line []byte
	data []byte

	// id is the last id. It is valid only after next has returned, because an event that
	// was cut off in the middle was not received.
	id    string
	retry time.Duration // the delay that the server asks for before reconnecting; 0 for none
}

func newMessages(r io.Reader) *messages { return &messages{r: bufio.NewReader(r)} }

// next reads up to the end of the next event that has data.
func (m *messages) next() (message, error) {
	event := "message"
	m.data = m.data[:0]
	some := false
	for {
		line, err := m.readLine()
		if err != nil {
			return message{}, err
		}
		if len(line) == 0 {
			if some {
				return message{event, bytes.TrimSuffix(m.data, []byte("\n"))}, nil
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
			m.data = append(append(m.data, value...), '\n')
			if len(m.data) > maxResponse {
				return message{}, fmt.Errorf("sent an event of more than %d bytes", maxResponse)
			}
		case "id":
			m.id = string(value)
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				m.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// readLine reads a line, without its end.
func (m *messages) readLine() ([]byte, error) {
	m.line = m.line[:0]
	for {
		part, err := m.r.ReadSlice('\n')
		m.line = append(m.line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(bytes.TrimSuffix(m.line, []byte("\n")), []byte("\r")), nil
		case err != bufio.ErrBufferFull:
			return nil, err
		case len(m.line) > maxResponse:
			return nil, fmt.Errorf("sent a line of more than %d bytes", maxResponse)
		}
	}
}
