package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// maxBatch bounds what a stream sends at a time, in bytes.
const maxBatch = 64 << 10

// stream is one NDJSON stream: events on their way out, answers on their way in, on one connection.
type stream struct {
	wire   *wire
	next   func(dst []byte) ([]byte, error) // appends the next event without a newline; io.EOF: there is none left
	window uint64                           // the most events unanswered
	meter  *meter

	patience time.Duration

	sent  chan batch
	acked atomic.Uint64
	wake  atomic.Uint64 // the sender waits for so many acked
	awake chan struct{} // one slot
	ended chan struct{} // closed when no more answers come
}

// streamPatience is how long a stream waits for answers. A server that has refused it may be waiting for its end.
const streamPatience = 10 * time.Second

// batch tells when the events up to a number were sent.
type batch struct {
	upTo uint64
	at   time.Time
}

// run streams until next has no more, and returns how many events were acked: all of them, or there is an error.
func (s *stream) run(ctx context.Context) (uint64, error) {
	s.sent, s.awake, s.ended = make(chan batch, s.window+1), make(chan struct{}, 1), make(chan struct{})
	received := make(chan error, 1)
	go func() {
		defer close(s.ended)
		received <- s.receive()
	}()
	n, sendErr := s.send()
	if sendErr != nil {
		// The answer says why, if there is one.
		_, _ = io.WriteString(s.wire, lastChunk)
		_ = s.wire.SetReadDeadline(time.Now().Add(time.Second))
	}
	err := <-received
	switch {
	case ctx.Err() != nil:
		return s.acked.Load(), context.Cause(ctx)
	case err != nil:
		return s.acked.Load(), fmt.Errorf("the stream to %s: %w", s.wire.host, err)
	case sendErr != nil:
		return s.acked.Load(), fmt.Errorf("the stream to %s: %w", s.wire.host, sendErr)
	case s.acked.Load() != n:
		return s.acked.Load(), fmt.Errorf("the stream to %s: %d events sent, %d answered", s.wire.host, n, s.acked.Load())
	}
	return n, nil
}

var (
	errEnded = errors.New("the answer ended before the stream did")
	errStuck = errors.New("no answer came for too long")
)

const lastChunk = "0\r\n\r\n"

// send writes the events as HTTP chunks, with at most window of them unanswered.
func (s *stream) send() (n uint64, err error) {
	head := "POST /v1/events HTTP/1.1\r\nHost: " + s.wire.host + "\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(s.wire, head); err != nil {
		return 0, err
	}
	const sizeLen = len("00000000\r\n") // the chunk's size, put in when it is known
	buf := make([]byte, 0, maxBatch+4096)
	for more := true; more; {
		if err := s.room(n); err != nil {
			return n, err
		}
		buf = buf[:sizeLen]
		for len(buf) < maxBatch && n-s.acked.Load() < s.window {
			if buf, err = s.next(buf); errors.Is(err, io.EOF) {
				more = false
				break
			} else if err != nil {
				return n, err
			}
			buf = append(buf, '\n')
			n++
		}
		if len(buf) == sizeLen {
			break
		}
		copy(buf, fmt.Appendf(nil, "%08x\r\n", len(buf)-sizeLen))
		buf = append(buf, "\r\n"...)
		s.sent <- batch{n, time.Now()}
		if _, err := s.wire.Write(buf); err != nil {
			return n, err
		}
	}
	_, err = io.WriteString(s.wire, lastChunk)
	return n, err
}

// room waits until a quarter of the window is free, so that events go out many at a time.
func (s *stream) room(sent uint64) error {
	enough := sent - min(sent, s.window*3/4)
	if s.acked.Load() >= enough {
		return nil
	}
	s.wake.Store(enough)
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	for s.acked.Load() < enough {
		select {
		case <-s.awake:
		case <-s.ended:
			return errEnded
		case <-timer.C:
			return errStuck
		}
	}
	return nil
}

// receive reads the answer, a line for every event, until it ends.
func (s *stream) receive() error {
	in := bufio.NewReaderSize(s.wire, maxAnswer)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		return fmt.Errorf("status %s: %s", res.Status, clip(body))
	}
	var of batch
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		line := lines.Bytes()
		if bytes.Contains(line, []byte(`"problem"`)) || !acked(line) {
			return fmt.Errorf("the event %d was refused: %s", s.acked.Load()+1, clip(line))
		}
		n := s.acked.Add(1)
		for of.upTo < n {
			select {
			case of = <-s.sent:
			default:
				return fmt.Errorf("the event %d was answered before it was sent", n)
			}
		}
		s.meter.record(of.at, time.Now())
		if n == s.wake.Load() {
			select {
			case s.awake <- struct{}{}:
			default:
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	return nil
}

// until ends next at a time.
func until(end time.Time, p *plays) func([]byte) ([]byte, error) {
	n := 0
	return func(dst []byte) ([]byte, error) {
		if n++; n%64 == 0 && time.Now().After(end) {
			return dst, io.EOF
		}
		return p.append(dst), nil
	}
}
