package peer

import (
	"cmp"
	"errors"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"laurel/trust/pki"
)

// greet authenticates the dialing member and reads the preamble. It returns the channel
// of the connection's protocol.
func (p *Port) greet(c *conn) (chan net.Conn, error) {
	defer p.config.Auth.addPending(c)()
	deadline := time.Now().Add(cmp.Or(p.config.HandshakeTimeout, HandshakeTimeout))
	if err := p.config.Auth.serverHandshake(p.ctx, c, deadline); err != nil {
		return nil, err
	}
	c.SetReadDeadline(deadline)
	protocol, err := p.readPreamble(c)
	if err == nil && c.witness.Load() == nil {
		err = p.config.Auth.admitWitness(c, new(hello))
	}
	if err != nil {
		return nil, err
	}
	// A removed member may still use HTTP, where it is told that it was removed.
	if protocol != ProtocolHTTP && p.config.Auth.Removed(raft.ServerID(c.peer.Member)) {
		p.config.Auth.refuse(reasonRemoved, c.raw.RemoteAddr(), errRemoved)
		return nil, errRemoved
	}
	if err := p.checkSender(c, protocol); err != nil {
		p.config.Auth.refuse(pki.WrongRole, c.raw.RemoteAddr(), err)
		return nil, err
	}
	if err := p.config.Auth.admitStanding(c, protocol, false); err != nil {
		return nil, err
	}
	switch protocol {
	case ProtocolRaft:
		return p.raft, nil
	case ProtocolPush:
		return p.push, nil
	}
	return p.http, nil
}

// Preamble returns the first bytes of a connection that carries Raft or the push
// protocol. They name the member that the connection is for, and any other member closes
// it. Raft's messages do not name their receiver: without this, a new member at an
// address that the configuration still has for another one would be counted as that one.
func Preamble(protocol byte, to raft.ServerID) []byte {
	return append([]byte{protocol, byte(len(to))}, to...)
}

var errPreamble = errors.New("the connection is not for this member")

func (p *Port) readPreamble(r io.Reader) (protocol byte, err error) {
	var b [256]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return 0, err
	}
	if c, ok := r.(*conn); ok && b[0] == protocolHello && p.config.Auth.answersHello(c) {
		if err := p.config.Auth.acceptHello(c); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(r, b[:1]); err != nil {
			return 0, err
		}
	}
	switch protocol = b[0]; protocol {
	case ProtocolHTTP:
		return protocol, nil
	case ProtocolRaft, ProtocolPush:
		if _, err := io.ReadFull(r, b[:1]); err != nil {
			return 0, err
		}
		id := b[1 : 1+int(b[0])]
		if _, err := io.ReadFull(r, id); err == nil && raft.ServerID(id) == p.config.ServerID {
			return protocol, nil
		}
	}
	return 0, errPreamble
}
