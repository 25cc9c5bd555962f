//go:build spy

package peer

import (
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// alters has the function of Alter by the raft.StreamLayer of its transport.
var alters sync.Map

// Alter calls alter with all that Raft sends to a member from now on, which it may change in
// place. Raft may send already.
func (t *Transport) Alter(alter func(member string, b []byte)) { alters.Store(t.layer, alter) }

// Dial returns a connection to a member that alters what it sends.
func (l *dialingLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := l.StreamLayer.Dial(address, timeout)
	if err != nil {
		return nil, err
	}
	_, id, _ := strings.Cut(string(address), "/")
	return &alteringConn{c, MemberID(raft.ServerID(id)), l.StreamLayer}, nil
}

type alteringConn struct {
	net.Conn
	member string
	layer  raft.StreamLayer
}

// Write sends what has been altered.
func (c *alteringConn) Write(b []byte) (int, error) {
	if alter, ok := alters.Load(c.layer); ok {
		alter.(func(member string, b []byte))(c.member, b)
	}
	return c.Conn.Write(b)
}
