package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// MaxAnswer bounds the answer to one request, head and body.
const MaxAnswer = 64 << 10

// Wire is one keep-alive HTTP/1.1 connection with one request under way at a time.
type Wire struct {
	net.Conn
	host string
	buf  []byte // what has been read of the answer
}

// Answer is an answer's status, body and the header fields that matter here. It is valid
// until the next request on the same wire.
type Answer struct {
	Status     int
	Body       []byte
	RetryAfter time.Duration
}

// Dial connects to a frontend. The connection breaks when ctx ends.
func Dial(ctx context.Context, addr string) (*Wire, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return &Wire{Conn: conn, host: addr, buf: make([]byte, 4096)}, nil
}

// postHead returns the head of a post up to its Content-Length's value.
func postHead(host string) []byte {
	return []byte("POST /v1/events HTTP/1.1\r\nHost: " + host +
		"\r\nContent-Type: application/json\r\nContent-Length: ")
}

// appendRequest appends a request that begins with a postHead.
func appendRequest(dst, head, body []byte) []byte {
	dst = append(dst, head...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// RoundTrip sends one request and reads its answer.
func (w *Wire) RoundTrip(request []byte) (Answer, error) {
	if _, err := w.Write(request); err != nil {
		return Answer{}, fmt.Errorf("send to %s: %w", w.host, err)
	}
	have := 0
	for {
		if have == len(w.buf) {
			w.buf = append(w.buf, make([]byte, have)...)
		}
		n, err := w.Read(w.buf[have:])
		have += n
		a, whole, parseErr := parseAnswer(w.buf[:have])
		switch {
		case parseErr != nil:
			return Answer{}, fmt.Errorf("answer of %s: %w", w.host, parseErr)
		case whole:
			return a, nil
		case errors.Is(err, io.EOF):
			return Answer{}, fmt.Errorf("answer of %s: %w", w.host, io.ErrUnexpectedEOF)
		case err != nil:
			return Answer{}, fmt.Errorf("answer of %s: %w", w.host, err)
		}
	}
}

// parseAnswer parses an answer if data has all of it.
func parseAnswer(data []byte) (a Answer, whole bool, err error) {
	head := bytes.Index(data, []byte("\r\n\r\n"))
	if head < 0 {
		if len(data) >= MaxAnswer {
			return a, false, fmt.Errorf("longer than %d bytes", MaxAnswer)
		}
		return a, false, nil
	}
	length, err := a.parseHead(data[:head])
	if err != nil {
		return a, false, err
	}
	switch end := head + 4 + length; {
	case len(data) < end:
		return a, false, nil
	case len(data) > end:
		return a, false, fmt.Errorf("%d bytes more than its Content-Length", len(data)-end)
	}
	a.Body = data[head+4:]
	return a, true, nil
}

// parseHead parses the status and the header fields of Answer. It returns the length of
// the body.
func (a *Answer) parseHead(head []byte) (length int, err error) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return 0, fmt.Errorf("begins with %q; want HTTP/1.1 and a status", Clip(line))
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("has the status %q", line[9:12])
	}
	length = -1
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(value))
			if err != nil || length < 0 || length > MaxAnswer {
				return 0, fmt.Errorf("has the Content-Length %q; want 0 to %d", Clip(value), MaxAnswer)
			}
		case bytes.EqualFold(name, []byte("Retry-After")):
			if s, err := strconv.Atoi(string(value)); err == nil && s >= 0 && s < 60 {
				a.RetryAfter = time.Duration(s) * time.Second
			}
		}
	}
	if length < 0 {
		return 0, errors.New("has no Content-Length")
	}
	return length, nil
}

// Clip shortens a text for an error.
func Clip(b []byte) []byte { return b[:min(len(b), 300)] }
