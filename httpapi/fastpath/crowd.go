package fastpath

import (
	"net"
	"net/netip"
	"sync"
)

// Each bounds the connections of each address.
type Each struct {
	Most    int
	Exempt  func(netip.Addr) bool // those that are not one client; nil: none
	Refused func(netip.Addr)      // is told of each connection that is closed; nil for nobody
}

// Limit is l without connections of addresses that have Most of them already: those are closed at once. Of IPv6 a network of 64 bits counts as one address.
func (e Each) Limit(l net.Listener) net.Listener {
	return &crowd{Listener: l, each: e, open: map[netip.Addr]int{}}
}

type crowd struct {
	net.Listener
	each Each

	mu   sync.Mutex
	open map[netip.Addr]int
}

func (l *crowd) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c.RemoteAddr())
		if l.each.Exempt != nil && l.each.Exempt(addr) {
			return c, nil
		}
		if addr = Place(addr); l.enter(addr) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { l.leave(addr) })}, nil
		}
		c.Close()
		if l.each.Refused != nil {
			l.each.Refused(addr)
		}
	}
}

func (l *crowd) enter(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[a] >= l.each.Most {
		return false
	}
	l.open[a]++
	return true
}

func (l *crowd) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[a]--; l.open[a] <= 0 {
		delete(l.open, a)
	}
}

// Place is what counts as one address: of IPv6 the network, for everybody has many addresses in one.
func Place(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
