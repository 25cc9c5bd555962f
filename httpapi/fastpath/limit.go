package fastpath

import (
	"net"
	"sync"
	"syscall"
)

// Limit is l with at most that many connections open at once; further ones wait in the system's queue. Its connections still are a
// syscall.Conn where those of l are, which is what golang.org/x/net/netutil's do not give: who writes to many needs it.
func Limit(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, places: make(chan struct{}, most), done: make(chan struct{})}
}

type limited struct {
	net.Listener
	places chan struct{} // as many as are taken
	once   sync.Once
	done   chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &counted{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// counted is a connection that has a place until it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

func (c *counted) SyscallConn() (syscall.RawConn, error) { return rawOf(c.Conn) }

// rawOf is the descriptor below a connection.
func rawOf(c net.Conn) (syscall.RawConn, error) {
	if raw, ok := c.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}
