package fastpath

import (
	"net"
	"net/netip"
	"sync"
)

// AddressLimit bounds the connections of each address.
type AddressLimit struct {
	Max     int
	Exempt  func(netip.Addr) bool // reports addresses that are not one client; nil: none
	Refused func(netip.Addr)      // is called for each connection that is closed; may be nil
}

// Listen returns l without connections of addresses that already have Max of them: these
// are closed at once. An IPv6 network of 64 bits counts as one address.
func (a AddressLimit) Listen(l net.Listener) net.Listener {
	return &addressLimiter{Listener: l, limit: a, open: map[netip.Addr]int{}}
}

type addressLimiter struct {
	net.Listener
	limit AddressLimit

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
		if l.limit.Exempt != nil && l.limit.Exempt(addr) {
			return c, nil
		}
		if addr = ClientAddress(addr); l.acquire(addr) {
			return &countedConn{Conn: c, release: sync.OnceFunc(func() { l.release(addr) })}, nil
		}
		c.Close()
		if l.limit.Refused != nil {
			l.limit.Refused(addr)
		}
	}
}

func (l *addressLimiter) acquire(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[a] >= l.limit.Max {
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
