package fastpath

import (
	"net"
	"sync"
	"syscall"
)

// handedOver is the listener from which net/http takes the connections that are not for the front.
type handedOver struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// give waits until net/http has taken c; once nobody takes any more it closes c.
func (l *handedOver) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

func (l *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handedOver) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *handedOver) Addr() net.Addr { return l.addr }

// unread is a connection of which some bytes have been read already.
type unread struct {
	net.Conn
	b    []byte
	peer *Peer
}

func (c *unread) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.b)
	if c.b = c.b[n:]; len(c.b) == 0 {
		c.b = nil
	}
	return n, nil
}

// SyscallConn lets who has taken the connection over from net/http write to it without waiting.
func (c *unread) SyscallConn() (syscall.RawConn, error) { return rawOf(c.Conn) }
