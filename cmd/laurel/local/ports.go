// Package local is what those who run frontends on this machine have in common: which ports of the loopback they take, and how a log ends.
package local

import (
	"net"
	"strconv"
)

// The ports tried first are those that the commands and the documentation take for granted. They are below those that systems hand out to
// outgoing connections, so that a frontend that is started again finds its own free.
const (
	FirstHTTP = 8001
	FirstPeer = 9001
	// Ports is how many there are of each.
	Ports = 900
	// Block is how many ports of each kind go together: whoever listens on a block's Claim has all of it, also those of a frontend that is
	// down at the moment.
	Block = 10
)

// Claim is the address that claims the block with the n-th ports, from 0: its last peer port, which no frontend takes.
func Claim(n int) string { return Address(FirstPeer + n/Block*Block + Block - 1) }

// Address is a port of the loopback.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Free tells whether nobody listens at an address.
func Free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
