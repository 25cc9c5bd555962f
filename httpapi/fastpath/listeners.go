package fastpath

import (
	"net"
	"net/netip"
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

// LimitAddresses returns l with at most limit open connections of each address. It closes
// further ones at once, and calls refused. exempt reports addresses that are not one client.
// An IPv6 network of 64 bits counts as one address.
func LimitAddresses(l net.Listener, limit int, exempt func(netip.Addr) bool, refused func()) net.Listener {
	return &addressLimiter{Listener: l, limit: limit, exempt: exempt, refused: refused, open: map[netip.Addr]int{}}
}

type addressLimiter struct {
	net.Listener
	limit   int
	exempt  func(netip.Addr) bool
	refused func()

	mu   sync.Mutex
	open map[netip.Addr]int
}

func (l *addressLimiter) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c.RemoteAddr())
		if l.exempt(addr) {
			return c, nil
		}
		if addr = ClientAddress(addr); l.acquire(addr) {
			return &countedConn{Conn: c, release: sync.OnceFunc(func() { l.release(addr) })}, nil
		}
		c.Close()
		l.refused()
	}
}

func (l *addressLimiter) acquire(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[a] >= l.limit {
		return false
	}
	l.open[a]++
	return true
}

func (l *addressLimiter) release(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[a]--; l.open[a] <= 0 {
		delete(l.open, a)
	}
}

// ClientAddress returns what counts as the address of one client: an IPv4 address, or the
// /64 network of an IPv6 address, because one client has many addresses in it.
func ClientAddress(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
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
