//go:build spy

package peer

import (
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Alter calls alter with all that Raft sends to a member, which it may change in place. It
// is called before Raft has sent anything.
func (t *Transport) Alter(alter func(member string, b []byte)) {
	layer := &alteringLayer{&dialingLayer{StreamLayer: t.layer, closed: make(chan struct{})}, alter}
	t.NetworkTransport = newNetworkTransport(layer, &t.config)
}

type alteringLayer struct {
	*dialingLayer
	alter func(member string, b []byte)
}

// Dial returns a connection to a member that alters what it sends.
func (l *alteringLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := l.dialingLayer.Dial(address, timeout)
	if err != nil {
		return nil, err
	}
	_, id, _ := strings.Cut(string(address), "/")
	return &alteringConn{c, MemberID(raft.ServerID(id)), l.alter}, nil
}

type alteringConn struct {
	net.Conn
	member string
	alter  func(member string, b []byte)
}

// Write sends what has been altered.
func (c *alteringConn) Write(b []byte) (int, error) {
	c.alter(c.member, b)
	return c.Conn.Write(b)
}
