package fastpath

import (
	"net"
	"sync"
	"syscall"
)

// handoffListener is the listener from which net/http accepts the connections that are
// handed over to it.
type handoffListener struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// give waits until net/http accepts c. After Close it closes c.
func (l *handoffListener) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

func (l *handoffListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handoffListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *handoffListener) Addr() net.Addr { return l.addr }

// unreadConn is a connection of which some bytes have been read already. Read returns them
// first.
type unreadConn struct {
	net.Conn
	b    []byte
	peer *Peer
}

func (c *unreadConn) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.b)
	if c.b = c.b[n:]; len(c.b) == 0 {
		c.b = nil
	}
	return n, nil
}

// SyscallConn permits non-blocking writes after the connection was hijacked from net/http.
func (c *unreadConn) SyscallConn() (syscall.RawConn, error) { return rawConn(c.Conn) }
