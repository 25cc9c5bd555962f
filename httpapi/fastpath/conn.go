package fastpath

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// usualRequest is the buffer of every connection. One whose request needs more gets maxRequest bytes until that is answered.
	usualRequest = 4 << 10
	maxRequest   = 16 << 10
	// A request that has begun gets maxReads more reads and this much time until it is whole: clients that write head and body apart are
	// common. After that net/http waits for the rest, under its own limits.
	maxReads = 3
	assembly = time.Second
	// maxAnswers is how many bytes of answers to pipelined requests are written at once.
	maxAnswers = 64 << 10
)

// What a connection is at. Only an idle one may be closed by a shutdown.
const (
	idle int32 = iota
	busy
	closed
)

// conn is one connection. All but state and the embedded connection, which anybody may close, belongs to the goroutine of serve.
type conn struct {
	net.Conn
	server *Server
	peer   *Peer    // not part of this, so that a connection that was handed over does not keep the buffer below
	stream net.Conn // what is read and written: the connection, or TLS on it
	ctx    context.Context
	cancel context.CancelFunc
	state  atomic.Int32

	usual    [usualRequest]byte
	buf      []byte
	from, to int // what of buf has been read and not yet answered
	request  Request
	out      []byte
	// afterPost is how many bytes of empty lines may yet be skipped: net/http too lets pass what old clients send behind a body.
	afterPost int
	handed    bool
	// The deadlines that are set. They are made longer than they need be, so that not every request has to set them anew.
	readBy, writeBy time.Time
	// welcome is when the client may come again, if it was asked to wait.
	welcome time.Time
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{Conn: nc, server: s, stream: nc, peer: &Peer{Addr: addrOf(nc.RemoteAddr())}}
	c.ctx, c.cancel = context.WithCancel(WithPeer(s.ctx, c.peer))
	c.request.closing, c.request.Peer = &s.closing, c.peer
	return c
}

// closeIdle ends the connection if nothing is under way on it.
func (c *conn) closeIdle() {
	if c.state.CompareAndSwap(idle, closed) {
		c.Conn.Close()
		c.cancel()
	}
}

func (c *conn) serve() {
	defer func() {
		if err := recover(); err != nil && err != http.ErrAbortHandler {
			stack := make([]byte, 64<<10)
			stack = stack[:runtime.Stack(stack, false)]
			c.server.logf("fastpath: panic serving %v: %v\n%s", c.RemoteAddr(), err, stack)
			c.flush() // what was answered before
		}
		c.end()
	}()
	soon := c.server.http.ReadHeaderTimeout // who connects says something soon
	if !c.wait(soon) || c.beginsTLS() && !(c.shakeHands() && c.wait(soon)) {
		return
	}
	for c.answerAll() && c.wait(c.server.http.IdleTimeout) {
	}
}

func (c *conn) end() {
	c.cancel()
	if !c.handed {
		c.stream.Close()
	}
	c.server.forget(c)
}

// wait rests until a request begins. False: none will.
func (c *conn) wait(limit time.Duration) bool {
	c.from, c.to, c.buf = 0, 0, c.usual[:]
	c.state.Store(idle)
	if c.server.closing.Load() {
		return false
	}
	if limit > 0 {
		if now := time.Now(); c.readBy.Before(now.Add(limit)) {
			c.readBy = now.Add(limit + limit/4)
			_ = c.stream.SetReadDeadline(c.readBy) // fails on a connection that is closed, which Read tells
		}
	}
	var err error
	for c.to == 0 && err == nil {
		c.to, err = c.stream.Read(c.buf)
	}
	return c.to > 0 && c.state.CompareAndSwap(idle, busy)
}

// answerAll answers all that has been read. False: this connection is over, or not ours any more.
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

// answer answers the request that has been parsed. False: nothing may follow it here.
func (c *conn) answer(size int) bool {
	post := c.request.Method == http.MethodPost
	// What is answered does not wait with a request that waits.
	if post && !c.flush() {
		return false
	}
	c.request.Early = !c.welcome.IsZero() && time.Now().Before(c.welcome)
	before := len(c.out)
	out, ok := c.server.hot.Answer(c.ctx, c.out, &c.request)
	if !ok {
		return c.handOver()
	}
	c.out = out
	c.from += size
	if post {
		c.afterPost = 4
	}
	if len(out) == before || c.request.last {
		c.flush()
		return false
	}
	c.welcome = time.Time{}
	if c.request.Wait > 0 {
		c.welcome = time.Now().Add(c.request.Wait)
	}
	if c.request.Pause > 0 {
		return c.flush() && c.pause(c.request.Pause)
	}
	return len(out) < maxAnswers || c.flush()
}

// pause waits before the next request is read. False: the server is closed or shut down, which does not wait for those who are made to wait.
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

// skipEmptyLines does what net/http does after a POST.
func (c *conn) skipEmptyLines() {
	for ; c.afterPost > 0 && c.from < c.to; c.afterPost-- {
		if b := c.buf[c.from]; b != '\r' && b != '\n' {
			c.afterPost = 0
			return
		}
		c.from++
	}
}

// readMore reads on in a request that is not whole yet and will have size bytes, 0 where that is not known yet. False: no more comes soon.
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
	c.readBy = time.Now().Add(assembly)
	_ = c.stream.SetReadDeadline(c.readBy) // fails on a connection that is closed, which Read tells
	n, err := c.stream.Read(c.buf[c.to:])
	c.to += n
	return n > 0 || err == nil
}

// flush writes the answers that have gathered.
func (c *conn) flush() bool {
	if len(c.out) == 0 {
		return true
	}
	if limit := c.server.answer; limit > 0 {
		if now := time.Now(); c.writeBy.Before(now.Add(limit)) {
			c.writeBy = now.Add(limit + limit/4)
			_ = c.stream.SetWriteDeadline(c.writeBy) // fails on a connection that is closed, which Write tells
		}
	}
	_, err := c.stream.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > maxAnswers {
		c.out = nil
	}
	return err == nil
}

// handOver leaves the rest of the connection to net/http. It is always false: nothing more is to be done here.
func (c *conn) handOver() bool {
	if !c.flush() || c.stream.SetDeadline(time.Time{}) != nil {
		return false
	}
	c.handed = true
	c.server.handed.give(&unread{Conn: c.stream, b: slices.Clone(c.buf[c.from:c.to]), peer: c.peer})
	return false
}
