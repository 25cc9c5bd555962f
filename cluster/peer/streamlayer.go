package peer

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Address returns the form in which Raft's transport is given a receiver: the address,
// and the server id that the receiver must have. hashicorp/raft's own transport knows
// only the address.
func Address(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return addr + "/" + raft.ServerAddress(id)
}

// RaftLayer returns the stream layer of Raft's transport. A message that has begun must
// make progress within stallTimeout, or its connection is closed.
func (p *Port) RaftLayer(stallTimeout time.Duration) raft.StreamLayer {
	return &streamLayer{p.layer(p.raft), stallTimeout}
}

// streamLayer is the stream layer of Raft. On an accepted connection a request is read,
// its answer written, and so on. hashicorp/raft's transport sets no deadline there, so
// streamLayer does. The body of a snapshot is part of its request.
type streamLayer struct {
	*layer
	stallTimeout time.Duration
}

// Accept waits for a connection.
func (l *streamLayer) Accept() (net.Conn, error) {
	c, err := l.layer.Accept()
	if err != nil {
		return nil, err
	}
	return &acceptedConn{Conn: c, stallTimeout: l.stallTimeout}, nil
}

// Dial connects to Raft at the member that to names; see Address. The transport's own
// write deadline grows with the size of a snapshot, so the connection also has one for
// progress.
func (l *streamLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	addr, id, _ := strings.Cut(string(to), "/")
	c, err := l.Port.Dial(ctx, addr, raft.ServerID(id), ProtocolRaft)
	if err != nil {
		return nil, err
	}
	return &dialedConn{Conn: c, stallTimeout: l.stallTimeout}, nil
}

// dialedConn is a connection on which this member sends requests.
type dialedConn struct {
	net.Conn
	stallTimeout time.Duration
}

// Write waits at most stallTimeout for the peer to take what is written.
func (c *dialedConn) Write(b []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.stallTimeout))
	return c.Conn.Write(b)
}

// acceptedConn is a connection on which this member answers requests. One goroutine at a
// time reads and writes it.
type acceptedConn struct {
	net.Conn
	stallTimeout time.Duration
	reading      bool  // a request has begun
	failed       error // the error that ended reading; later bytes must not be taken for another request
}

// Read waits without limit for a request to begin, and at most stallTimeout for it to go
// on.
func (c *acceptedConn) Read(b []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	if c.reading {
		c.Conn.SetReadDeadline(time.Now().Add(c.stallTimeout))
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.failed = err
	}
	c.reading = c.reading || n > 0
	return n, err
}

// Write writes an answer. The wait for the next request to begin is unlimited again.
func (c *acceptedConn) Write(b []byte) (int, error) {
	if c.reading {
		c.reading = false
		c.Conn.SetReadDeadline(time.Time{})
	}
	return c.Conn.Write(b)
}
