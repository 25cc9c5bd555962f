package address

import (
	"net"
	"net/netip"
)

// IP returns the IP address of one end of a connection, invalid for another kind of
// network.
func IP(a net.Addr) netip.Addr {
	tcp, _ := a.(*net.TCPAddr)
	return tcp.AddrPort().Addr().Unmap()
}

// Client returns what counts as the address of one client: an IPv4 address, or the /64
// network of an IPv6 address, because one client has many addresses in it.
func Client(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
