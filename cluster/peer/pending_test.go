package peer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// addrConn is a connection from an address that does nothing.
type addrConn struct {
	net.Conn
	addr netip.Addr
}

func (c addrConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 1))
}

// crowd has connections that wait for a handshake.
type crowd struct {
	pendingConns
	configured []netip.Addr
	closed     []*conn
}

// connect adds a connection from an address.
func (p *crowd) connect(addr string) *conn {
	c := &conn{raw: addrConn{addr: netip.MustParseAddr(addr)}}
	if closed := p.add(c, func() []netip.Addr { return p.configured }); closed != nil {
		p.closed = append(p.closed, closed)
	}
	return c
}

func (p *crowd) isOpen(c *conn) bool { return !slices.Contains(p.closed, c) }

func TestAStrangersHandshakesDoNotKeepMembersOut(t *testing.T) {
	const many = 10 * MaxHandshakes
	one := func(int) string { return "198.51.100.1" }
	for name, c := range map[string]struct {
		member string
		known  func(*crowd)
		from   func(int) string
	}{
		"one address":            {"192.0.2.2", nil, one},
		"one network of IPv6":    {"192.0.2.2", nil, func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }},
		"as IPv4 in IPv6":        {"192.0.2.2", nil, func(int) string { return "::ffff:198.51.100.1" }},
		"ten addresses":          {"192.0.2.2", nil, func(i int) string { return fmt.Sprintf("198.51.100.%d", i%10) }},
		"the member's network":   {"2001:db8::2", remembers("2001:db8::2"), func(i int) string { return fmt.Sprintf("2001:db8::%x", 16+i) }},
		"any number, configured": {"192.0.2.2", func(p *crowd) { p.configured = []netip.Addr{netip.MustParseAddr("192.0.2.2")} }, anyAddress},
		"any number, remembered": {"192.0.2.2", remembers("192.0.2.2"), anyAddress},
	} {
		var p crowd
		if c.known != nil {
			c.known(&p)
		}
		for i := range MaxHandshakes {
			p.connect(c.from(i))
		}
		member := p.connect(c.member)
		for i := range many {
			p.connect(c.from(MaxHandshakes + i))
		}
		if !p.isOpen(member) {
			t.Errorf("%s: the handshake of a member was broken off for a stranger's", name)
		}
		if n := len(p.list); n != MaxHandshakes {
			t.Errorf("%s: %d connections wait", name, n)
		}
		p.remove(member)
		if n := len(p.list); n != MaxHandshakes-1 {
			t.Errorf("%s: %d connections wait after a handshake", name, n)
		}
		for _, c := range slices.Clone(p.list) {
			p.remove(c.conn)
		}
		if len(p.list) != 0 || len(p.count) != 0 {
			t.Errorf("%s: %d connections of %d networks remain", name, len(p.list), len(p.count))
		}
	}
}

func remembers(addr string) func(*crowd) {
	return func(p *crowd) { p.remember(&conn{raw: addrConn{addr: netip.MustParseAddr(addr)}}) }
}

func anyAddress(i int) string { return fmt.Sprintf("198.51.%d.%d", i/250, i%250) }

func TestTheOldestHandshakeOfTheCrowdIsBrokenOff(t *testing.T) {
	var p crowd
	first := p.connect("198.51.100.1")
	for range MaxHandshakes {
		p.connect("198.51.100.1")
	}
	if len(p.closed) != 1 || p.closed[0] != first {
		t.Errorf("%d connections were closed; want the oldest", len(p.closed))
	}
	p.remove(first) // its goroutine ends
	if len(p.list) != MaxHandshakes || p.count[netip.MustParseAddr("198.51.100.1")] != MaxHandshakes {
		t.Errorf("%d connections wait, %v", len(p.list), p.count)
	}
	// Members among themselves have no privilege.
	remembers("198.51.100.1")(&p)
	p.connect("198.51.100.1")
	if len(p.closed) != 2 {
		t.Errorf("%d connections were closed", len(p.closed))
	}
}

func TestTheRememberedAddressesOfMembersAreBounded(t *testing.T) {
	var p crowd
	for i := range 10 * maxMemberAddrs {
		remembers("192.0.2.2")(&p)
		remembers(anyAddress(i))(&p)
	}
	if len(p.members) != maxMemberAddrs || !slices.Contains(p.members, netip.MustParseAddr("192.0.2.2")) {
		t.Errorf("%d addresses are remembered: %v", len(p.members), p.members)
	}
}
