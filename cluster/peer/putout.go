package peer

import (
	"github.com/hashicorp/raft"

	"laurel/trust/pki"
)

// reasonPutOut is the reason of laurel_peer_refused_total for a member that this one
// distrusts or shuns; see package standing.
const reasonPutOut = "put_out"

// putOut returns why a connection with a member must not be used for a protocol, or nil.
// protocol is 0 while it is not known. A member that is distrusted is sent entries, and
// it can claim anything by HTTP, where nothing is done because of who says it.
func (a *Authenticator) putOut(peer pki.Holder, protocol byte, dialed bool) error {
	if a == nil || a.Distrusts == nil {
		return nil
	}
	name := MemberID(raft.ServerID(peer.Member))
	if err := a.Shuns(name); err != nil {
		return err
	}
	if protocol == ProtocolPush || protocol == ProtocolRaft && !dialed {
		return a.Distrusts(name)
	}
	return nil
}

// admitStanding notes what a connection is for, and returns an error if it must not be used
// because its other end is put out. Recheck may look at the note before that is known here.
func (a *Authenticator) admitStanding(c *conn, protocol byte, dialed bool) error {
	c.port.mu.Lock()
	c.protocol, c.dialed = protocol, dialed
	c.port.mu.Unlock()
	err := a.putOut(c.peer, protocol, dialed)
	if err != nil && !dialed { // else nobody has asked
		a.refuse(reasonPutOut, c.raw.RemoteAddr(), err)
	}
	return err
}

// putOutConns closes the connections of members that are put out.
func (p *Port) putOutConns() {
	type use struct {
		protocol byte
		dialed   bool
	}
	open := map[*conn]use{}
	p.mu.Lock()
	for c := range p.open {
		if c.tls != nil {
			open[c] = use{c.protocol, c.dialed}
		}
	}
	p.mu.Unlock()
	for c, u := range open {
		if err := p.config.Auth.putOut(c.peer, u.protocol, u.dialed); err != nil {
			p.config.Auth.refuse(reasonPutOut, c.raw.RemoteAddr(), err)
			c.Close()
		}
	}
}
