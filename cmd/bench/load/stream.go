package load

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

const (
	// maxBatch bounds what a stream sends at a time, in bytes.
	maxBatch = 64 << 10
	// streamPatience bounds the time without an answer. A server that has refused a
	// stream may be waiting for its end.
	streamPatience = time.Minute
)

// stream is one NDJSON stream: events on their way out, answers on their way in, on one
// connection.
type stream struct {
	wire   *Wire
	next   func(dst []byte) ([]byte, error) // appends the next event without a newline; io.EOF at the end
	window uint64                           // the most events unanswered
	meter  *Meter

	sent  chan batch
	acked atomic.Uint64
	wake  atomic.Uint64 // the sender waits until so many are acknowledged
	awake chan struct{} // one slot
	ended chan struct{} // closed when no more answers come
}

// batch says when the events up to a number were sent.
type batch struct {
	upTo uint64
	at   time.Time
}

// run streams until next has no more. It returns how many events were acknowledged: all
// of them, or there is an error.
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
	if err == nil {
		err = sendErr
	}
	acked := s.acked.Load()
	switch {
	case ctx.Err() != nil:
		return acked, context.Cause(ctx)
	case err != nil:
		return acked, fmt.Errorf("stream to %s: %w", s.wire.host, err)
	case acked != n:
		return acked, fmt.Errorf("stream to %s: %d events sent, %d answered", s.wire.host, n, acked)
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
	head := "POST /v1/events HTTP/1.1\r\nHost: " + s.wire.host +
		"\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(s.wire, head); err != nil {
		return 0, err
	}
	const sizeLen = len("00000000\r\n") // the chunk's size, filled in when it is known
	buf := make([]byte, 0, maxBatch+4096)
	for more := true; more; {
		if err := s.waitForRoom(n); err != nil {
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

// waitForRoom waits until a quarter of the window is free, so that events go out many at
// a time.
func (s *stream) waitForRoom(sent uint64) error {
	enough := sent - min(sent, s.window*3/4)
	if s.acked.Load() >= enough {
		return nil
	}
	s.wake.Store(enough)
	timer := time.NewTimer(streamPatience)
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
	res, err := http.ReadResponse(bufio.NewReaderSize(s.wire, MaxAnswer), nil)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, MaxAnswer))
		return fmt.Errorf("status %s: %s", res.Status, Clip(body))
	}
	var of batch
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		line := lines.Bytes()
		if bytes.Contains(line, []byte(`"problem"`)) || !IsAcked(line) {
			return fmt.Errorf("event %d was refused: %s", s.acked.Load()+1, Clip(line))
		}
		n := s.acked.Add(1)
		for of.upTo < n {
			select {
			case of = <-s.sent:
			default:
				return fmt.Errorf("event %d was answered before it was sent", n)
			}
		}
		s.meter.Record(of.at, time.Now())
		if n == s.wake.Load() {
			select {
			case s.awake <- struct{}{}:
			default:
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}
