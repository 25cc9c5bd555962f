package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// streamConn is a response as a connection: what is written to it is sent at once. It is
// for HTTP/2, where the connection cannot be taken from net/http and the handler must not
// return before the stream ends.
type streamConn struct {
	net.Conn // nil; only the methods below may be called
	w        http.ResponseWriter
	control  *http.ResponseController
	closed   chan struct{}
	once     sync.Once
	writing  sync.Mutex // held during a write

	mu   sync.Mutex
	over bool // the handler returns: w must not be used any more
}

// newStreamConn begins a response without an end.
func newStreamConn(w http.ResponseWriter, first []byte, timeout time.Duration) (net.Conn, error) {
	c := &streamConn{w: w, control: http.NewResponseController(w), closed: make(chan struct{})}
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	_, err := c.Write(first)
	return c, err
}

// Write sends b and removes the deadline. With HTTP/2 a deadline passes even while
// nothing is written.
func (c *streamConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	n, err := c.w.Write(b)
	if err == nil {
		err = c.control.Flush()
	}
	if err == nil {
		err = c.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// SetDeadline bounds the current write and those that follow.
func (c *streamConn) SetDeadline(t time.Time) error { return c.SetWriteDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (c *streamConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return net.ErrClosed
	}
	return c.control.SetWriteDeadline(t)
}

// Close ends the response. It does not wait.
func (c *streamConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// await waits until the response has ended or ctx ends, and no write is under way.
func (c *streamConn) await(ctx context.Context) {
	select {
	case <-c.closed:
	case <-ctx.Done():
	}
	c.Close()
	_ = c.SetWriteDeadline(time.Unix(1, 0)) // ends a blocked write
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}
