package cluster

import (
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// messageLayer is the stream layer of Raft. On a connection that it accepts a request is read,
// its answer written, and so on. A request that has begun must make progress: one that stands
// still for silence ends the connection, for hashicorp/raft's transport sets no deadline. The
// body of a snapshot is part of its request.
type messageLayer struct {
	*layer
	silence time.Duration
}

// Accept waits for a connection.
func (l messageLayer) Accept() (net.Conn, error) {
	c, err := l.layer.Accept()
	if err != nil {
		return nil, err
	}
	return &messageConn{Conn: c, silence: l.silence}, nil
}

// Dial connects to another member. What is sent must make progress as well: the transport's own
// deadline grows with the size of a snapshot.
func (l messageLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := l.layer.Dial(to, timeout)
	if err != nil {
		return nil, err
	}
	return &requestConn{Conn: c, silence: l.silence}, nil
}

// requestConn is a dialed connection.
type requestConn struct {
	net.Conn
	silence time.Duration
}

// Write waits for no longer than silence for the other end to take what is written.
func (c *requestConn) Write(b []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.silence))
	return c.Conn.Write(b)
}

// messageConn is an accepted connection. It is read and written by one goroutine at a time.
type messageConn struct {
	net.Conn
	silence time.Duration
	begun   bool  // a request is being read
	failed  error // what ended reading; what comes later would be taken for another request
}

// Read waits without end for a request to begin, and for no longer than silence for it to go on.
func (c *messageConn) Read(b []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	if c.begun {
		c.Conn.SetReadDeadline(time.Now().Add(c.silence))
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.failed = err
	}
	c.begun = c.begun || n > 0
	return n, err
}

// Write writes an answer. The next request may take its time to begin.
func (c *messageConn) Write(b []byte) (int, error) {
	if c.begun {
		c.begun = false
		c.Conn.SetReadDeadline(time.Time{})
	}
	return c.Conn.Write(b)
}
