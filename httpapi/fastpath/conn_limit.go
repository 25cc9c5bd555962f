package fastpath

import (
	"net"
	"sync"
	"syscall"
)

// LimitConns returns l with at most limit open connections. Further ones wait in the
// system's queue. Unlike those of golang.org/x/net/netutil, its connections are a
// syscall.Conn if those of l are, which non-blocking writes need.
func LimitConns(l net.Listener, limit int) net.Listener {
	return &connLimiter{Listener: l, open: make(chan struct{}, limit), done: make(chan struct{})}
}

type connLimiter struct {
	net.Listener
	open chan struct{} // has a token for each open connection
	once sync.Once
	done chan struct{}
}

func (l *connLimiter) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &countedConn{Conn: c, release: sync.OnceFunc(func() { <-l.open })}, nil
}

func (l *connLimiter) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// countedConn calls release when it is closed.
type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

func (c *countedConn) SyscallConn() (syscall.RawConn, error) { return rawConn(c.Conn) }

// rawConn returns the raw connection of the descriptor of c.
func rawConn(c net.Conn) (syscall.RawConn, error) {
	if raw, ok := c.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}
