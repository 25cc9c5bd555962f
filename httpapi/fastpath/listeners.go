package fastpath

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"laurel/internal/address"
)

// Limit returns l with at most total open connections, and perAddress of each address.
// Further ones wait in the system's queue; those of one address are closed at once, and
// refused is called. exempt reports addresses that are not one client. Unlike those of
// golang.org/x/net/netutil, the connections are a syscall.Conn if those of l are, which
// non-blocking writes need.
func Limit(l net.Listener, total, perAddress int, exempt func(netip.Addr) bool, refused func()) net.Listener {
	return &limiter{
		Listener:   l,
		perAddress: perAddress,
		exempt:     exempt,
		refused:    refused,
		open:       make(chan struct{}, total),
		done:       make(chan struct{}),
		addresses:  map[netip.Addr]int{},
	}
}

type limiter struct {
	net.Listener
	perAddress int
	exempt     func(netip.Addr) bool
	refused    func()
	open       chan struct{} // has a token for each open connection
	once       sync.Once
	done       chan struct{}

	mu        sync.Mutex
	addresses map[netip.Addr]int // open connections; invalid for exempt addresses
}

func (l *limiter) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.open
			return nil, err
		}
		addr := address.IP(c.RemoteAddr())
		if l.exempt(addr) {
			addr = netip.Addr{}
		}
		addr = address.Client(addr)
		if l.acquire(addr) {
			return &countedConn{Conn: c, release: sync.OnceFunc(func() { l.release(addr) })}, nil
		}
		c.Close()
		l.refused()
	}
}

func (l *limiter) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

func (l *limiter) acquire(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.IsValid() && l.addresses[a] >= l.perAddress {
		return false
	}
	l.addresses[a]++
	return true
}

func (l *limiter) release(a netip.Addr) {
	<-l.open
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addresses[a]--; l.addresses[a] == 0 {
		delete(l.addresses, a)
	}
}

type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }

func (c *countedConn) SyscallConn() (syscall.RawConn, error) { return rawConn(c.Conn) }

// rawConn returns the raw connection of the descriptor of c.
func rawConn(c net.Conn) (syscall.RawConn, error) {
	if raw, ok := c.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}

// handoffListener is the listener from which net/http accepts the connections that are
// handed over to it.
type handoffListener struct {
	addr  net.Addr
	conns chan net.Conn
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

// Close is called once, by net/http.
func (l *handoffListener) Close() error {
	close(l.done)
	return nil
}

func (l *handoffListener) Addr() net.Addr { return l.addr }

// unreadConn is a connection of which some bytes have been read already. Read returns
// them first.
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

// Close closes the connection, or has that done after the time of Peer.Linger.
func (c *unreadConn) Close() error {
	if c.peer == nil || c.peer.linger.Load() == 0 {
		return c.Conn.Close()
	}
	go func() {
		defer c.Conn.Close()
		_ = c.SetDeadline(time.Now().Add(time.Duration(c.peer.linger.Swap(0))))
		_ = closeWrite(c.Conn)
		_, _ = io.Copy(io.Discard, c.Conn) // an error is the end of the time, or of the connection
	}()
	return nil
}

// closeWrite tells the other end that nothing more comes, if c can.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// SyscallConn permits non-blocking writes after the connection was hijacked from
// net/http.
func (c *unreadConn) SyscallConn() (syscall.RawConn, error) { return rawConn(c.Conn) }
