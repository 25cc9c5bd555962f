package main

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

// maxAnswer bounds the answer to one post, head and body.
const maxAnswer = 64 << 10

// wire is one keep-alive HTTP/1.1 connection with one request under way at a time. It knows just enough of HTTP to read a
// frontend's answers, because what the generator costs is taken from the frontends: they share the cores.
type wire struct {
	net.Conn
	host string
	buf  []byte // what has been read of the answer
}

// answer is valid until the next request on the same wire.
type answer struct {
	status      int
	body        []byte
	retryAfter  time.Duration
	revision    uint64 // of the record that was read
	cache, mode []byte // how the answer came about, where it is about scores
}

// dial connects to a frontend. The connection breaks when ctx ends.
func dial(ctx context.Context, addr string) (*wire, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return &wire{Conn: conn, host: addr, buf: make([]byte, 4096)}, nil
}

// getRequest is a whole request.
func getRequest(host, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
}

// postHead is all of a request's head up to the number that is its body's length.
func postHead(host string) []byte {
	return []byte("POST /v1/events HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nContent-Length: ")
}

func appendRequest(dst, head, body []byte) []byte {
	dst = append(dst, head...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// roundTrip sends one request and reads its answer.
func (w *wire) roundTrip(request []byte) (answer, error) {
	if _, err := w.Write(request); err != nil {
		return answer{}, fmt.Errorf("asking %s: %w", w.host, err)
	}
	a, err := w.answer()
	if err != nil {
		return answer{}, fmt.Errorf("the answer of %s: %w", w.host, err)
	}
	return a, nil
}

func (w *wire) answer() (answer, error) {
	have, head, length := 0, -1, 0
	var a answer
	for {
		if have == len(w.buf) {
			if have == maxAnswer {
				return answer{}, fmt.Errorf("longer than %d bytes", maxAnswer)
			}
			w.buf = append(w.buf, make([]byte, have)...)
		}
		n, err := w.Read(w.buf[have:])
		have += n
		if head < 0 {
			if i := bytes.Index(w.buf[:have], []byte("\r\n\r\n")); i >= 0 {
				head = i + 4
				var herr error
				if length, herr = a.readHead(w.buf[:i]); herr != nil {
					return answer{}, herr
				}
			}
		}
		if head >= 0 && have >= head+length {
			if have > head+length {
				return answer{}, fmt.Errorf("%d bytes more than its Content-Length", have-head-length)
			}
			a.body = w.buf[head:have]
			return a, nil
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return answer{}, err
		}
	}
}

// readHead reads the status and the few header fields that matter here; it returns the length of the body.
func (a *answer) readHead(head []byte) (length int, err error) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return 0, fmt.Errorf("starts with %q; want HTTP/1.1 and a status", clip(line))
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("has the status %q", line[9:12])
	}
	length = -1
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil || length < 0 || length > maxAnswer {
				return 0, fmt.Errorf("has the Content-Length %q; want 0 to %d", clip(value), maxAnswer)
			}
		case bytes.EqualFold(name, []byte("Retry-After")):
			if s, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil && s >= 0 && s < 60 {
				a.retryAfter = time.Duration(s) * time.Second
			}
		case bytes.EqualFold(name, []byte("Laurel-Revision")):
			if a.revision, err = strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, fmt.Errorf("has the Laurel-Revision %q", clip(value))
			}
		case bytes.EqualFold(name, []byte("Laurel-Cache")):
			a.cache = bytes.TrimSpace(value)
		case bytes.EqualFold(name, []byte("Laurel-Mode")):
			a.mode = bytes.TrimSpace(value)
		}
	}
	if length < 0 {
		return 0, errors.New("has no Content-Length")
	}
	return length, nil
}

func clip(b []byte) []byte { return b[:min(len(b), 300)] }
