package fastpath

import (
	"context"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"laurel/internal/address"
)

const (
	// smallBuffer is the size of a connection's buffer. For a larger request it gets one
	// of maxRequest bytes until that is answered.
	smallBuffer = 4 << 10
	maxRequest  = 16 << 10
	// A request that has begun gets maxReads more reads and assemblyTime until it must be
	// whole, because many clients write head and body separately. Then net/http waits for
	// the rest, with its own limits.
	maxReads     = 3
	assemblyTime = time.Second
	// maxAnswers bounds the bytes of answers to pipelined requests that are held before
	// they are written.
	maxAnswers = 64 << 10
)

// States of a connection. A shutdown closes idle ones only.
const (
	idle int32 = iota
	busy
	closed
)

// conn is one connection. All but state and the embedded connection, which any goroutine
// may close, belongs to the goroutine of serve.
type conn struct {
	net.Conn
	server *Server
	peer   *Peer    // a pointer, so that a connection that was handed over does not keep the buffer below
	stream net.Conn // the connection, or TLS on it
	ctx    context.Context
	cancel context.CancelFunc
	state  atomic.Int32

	small    [smallBuffer]byte
	buf      []byte
	from, to int // the part of buf that has been read and not answered
	request  Request
	out      []byte
	// afterPost is how many bytes of empty lines may be skipped. net/http skips those
	// that old clients send after a body, too.
	afterPost       int
	handedOff       bool
	readBy, writeBy time.Time // the deadlines that are set
	// retryAt is when the client may send the next request, if it was asked to wait.
	retryAt time.Time
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{Conn: nc, server: s, stream: nc, peer: &Peer{Addr: address.IP(nc.RemoteAddr())}}
	c.ctx, c.cancel = context.WithCancel(WithPeer(s.ctx, c.peer))
	c.request.closing, c.request.peer = &s.closing, c.peer
	return c
}

func (c *conn) closeIdle() {
	if c.state.CompareAndSwap(idle, closed) {
		c.Conn.Close()
		c.cancel()
	}
}

func (c *conn) serve() {
	defer func() {
		if err := recover(); err != nil && err != http.ErrAbortHandler {
			c.server.logf("fastpath: panic serving %v: %v\n%s", c.RemoteAddr(), err, debug.Stack())
			c.flush() // the answers before
		}
		c.cancel()
		if !c.handedOff {
			c.stream.Close()
		}
		c.server.forget(c)
	}()
	first := c.server.http.ReadHeaderTimeout
	if !c.wait(first) || c.beginsTLS() && !(c.handshake() && c.wait(first)) {
		return
	}
	for c.answerAll() && c.wait(c.server.http.IdleTimeout) {
	}
}

// wait waits until a request begins. It reports false if the connection ends before.
func (c *conn) wait(timeout time.Duration) bool {
	c.from, c.to, c.buf = 0, 0, c.small[:]
	c.state.Store(idle)
	if c.server.closing.Load() {
		return false
	}
	extend(&c.readBy, timeout, c.stream.SetReadDeadline)
	var err error
	for c.to == 0 && err == nil {
		c.to, err = c.stream.Read(c.buf)
	}
	return c.to > 0 && c.state.CompareAndSwap(idle, busy)
}

// extend sets a deadline after timeout, unless one is set that is no earlier. It sets it
// later than needed, so that most requests need not set a new one.
func extend(deadline *time.Time, timeout time.Duration, set func(time.Time) error) {
	if now := time.Now(); timeout > 0 && deadline.Before(now.Add(timeout)) {
		*deadline = now.Add(timeout + timeout/4)
		_ = set(*deadline) // on a closed connection reads and writes fail, too
	}
}

// answerAll answers the requests that have been read. It reports false if the connection
// has ended or was handed over.
func (c *conn) answerAll() bool {
	for reads := 0; ; {
		c.skipEmptyLines()
		if c.from == c.to {
			return c.flush()
		}
		size, v := c.request.parse(c.buf[c.from:c.to])
		switch {
		case v == whole:
			if !c.answer(size) {
				return false
			}
			reads = 0
		case v == partial && reads < maxReads && c.readMore(size):
			reads++
		default:
			return c.handOver()
		}
	}
}

// answer answers the parsed request. It reports false if no other may follow on this
// connection.
func (c *conn) answer(size int) bool {
	post := c.request.Method == http.MethodPost
	// Earlier answers must not wait for a post.
	if post && !c.flush() {
		return false
	}
	c.request.Early = !c.retryAt.IsZero() && time.Now().Before(c.retryAt)
	before := len(c.out)
	out, ok := c.server.handler.Answer(c.ctx, c.out, &c.request)
	written := c.request.Written
	if !ok {
		if written != nil {
			written()
		}
		return c.handOver()
	}
	c.out = out
	c.from += size
	if post {
		c.afterPost = 4
	}
	if written != nil {
		ok := c.flush()
		if written(); !ok {
			return false
		}
	}
	if len(out) == before || c.request.last {
		c.flush()
		return false
	}
	c.retryAt = time.Time{}
	if c.request.Wait > 0 {
		c.retryAt = time.Now().Add(c.request.Wait)
	}
	if c.request.Pause > 0 {
		return c.flush() && c.pause(c.request.Pause)
	}
	return len(out) < maxAnswers || c.flush()
}

// pause waits before the next request is read. It reports false if the server is closed
// or shut down, which does not wait for paused connections.
func (c *conn) pause(d time.Duration) bool {
	c.state.Store(idle)
	if c.server.closing.Load() {
		return false
	}
	select {
	case <-time.After(d):
		return c.state.CompareAndSwap(idle, busy)
	case <-c.ctx.Done():
		return false
	}
}

// skipEmptyLines skips empty lines after a POST, as net/http does.
func (c *conn) skipEmptyLines() {
	for ; c.afterPost > 0 && c.from < c.to; c.afterPost-- {
		if b := c.buf[c.from]; b != '\r' && b != '\n' {
			c.afterPost = 0
			return
		}
		c.from++
	}
}

// readMore reads more of a request that is not whole. size is the length of the whole
// request, 0 if it is not known. It reports false if the rest does not arrive in time or
// does not fit.
func (c *conn) readMore(size int) bool {
	if size > maxRequest || !c.flush() {
		return false
	}
	have := c.buf[c.from:c.to]
	if size > len(c.buf) || len(have) == len(c.buf) {
		if len(c.buf) == maxRequest {
			return false
		}
		c.buf = make([]byte, maxRequest)
	}
	c.from, c.to = 0, copy(c.buf, have)
	c.readBy = time.Now().Add(assemblyTime)
	_ = c.stream.SetReadDeadline(c.readBy) // on a closed connection Read fails, too
	n, err := c.stream.Read(c.buf[c.to:])
	c.to += n
	return n > 0 || err == nil
}

func (c *conn) flush() bool {
	if len(c.out) == 0 {
		return true
	}
	extend(&c.writeBy, c.server.answerTimeout, c.stream.SetWriteDeadline)
	_, err := c.stream.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > maxAnswers {
		c.out = nil
	}
	return err == nil
}

// handOver hands the connection over to net/http. It returns false always, for the caller
// to return.
func (c *conn) handOver() bool {
	if !c.flush() || c.stream.SetDeadline(time.Time{}) != nil {
		return false
	}
	c.handedOff = true
	c.server.handoff.give(&unreadConn{Conn: c.stream, b: slices.Clone(c.buf[c.from:c.to]), peer: c.peer})
	return false
}
