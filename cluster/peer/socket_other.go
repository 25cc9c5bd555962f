//go:build !linux || race

package peer

import "net"

func quick(c net.Conn) net.Conn { return c }
