package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// answerConn is the answer to a request as a connection: what is written to it is sent at once. It is for HTTP/2, where no connection can be taken out of
// net/http's hands, and the handler must wait for as long as there is something to write.
type answerConn struct {
	net.Conn // nil: nothing but what follows may be asked of it
	w        http.ResponseWriter
	control  *http.ResponseController
	closed   chan struct{}
	once     sync.Once
	writing  sync.Mutex // one write after the other

	mu   sync.Mutex
	over bool // the handler returns: nothing of the answer may be touched any more
}

// answerStream begins an answer without an end.
func (p *port) answerStream(w http.ResponseWriter, first []byte) (net.Conn, error) {
	c := &answerConn{w: w, control: http.NewResponseController(w), closed: make(chan struct{})}
	if err := c.SetDeadline(time.Now().Add(p.limits.AnswerTimeout)); err != nil {
		return nil, err
	}
	_, err := c.Write(first)
	return c, err
}

// Write sends b, and takes away the deadline: with HTTP/2 one passes also while nothing is written.
func (c *answerConn) Write(b []byte) (int, error) {
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

// SetDeadline bounds the writes that follow; a second one while one is under way bounds that.
func (c *answerConn) SetDeadline(t time.Time) error { return c.SetWriteDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (c *answerConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return net.ErrClosed
	}
	return c.control.SetWriteDeadline(t)
}

// Close ends the answer. It does not wait.
func (c *answerConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// await returns when the answer is over, or its client gone, and nobody writes any more.
func (c *answerConn) await(ctx context.Context) {
	select {
	case <-c.closed:
	case <-ctx.Done():
	}
	c.Close()
	_ = c.SetWriteDeadline(time.Unix(1, 0)) // ends a write that waits
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}
