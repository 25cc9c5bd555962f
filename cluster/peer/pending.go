package peer

import (
	"net/netip"
	"slices"
	"sync"

	"laurel/internal/address"
)

// MaxHandshakes bounds the connections whose handshake or preamble is not complete. One
// more closes another one, see pendingConns.
const MaxHandshakes = 128

// maxMemberAddrs bounds the addresses that are remembered as those of members.
const maxMemberAddrs = 64

// pendingConns are the connections whose handshake or preamble is not complete. A member
// completes both within milliseconds, but strangers that open connections to keep others
// out do not. So where there are too many, the oldest connection of the network that has
// most of them is closed, and none from a member's address while there are others.
type pendingConns struct {
	mu      sync.Mutex
	list    []pendingConn      // oldest first
	count   map[netip.Addr]int // by pendingConn.from
	members []netip.Addr       // from which members came, most recent last
}

type pendingConn struct {
	*conn
	addr netip.Addr
	from netip.Addr // what counts as one stranger
}

// add adds a connection, and returns the one that must be closed for it, if any.
// configured has the addresses of members that are in the configuration.
func (p *pendingConns) add(c *conn, configured func() []netip.Addr) (closed *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil {
		p.count = map[netip.Addr]int{}
	}
	addr := address.IP(c.raw.RemoteAddr())
	one := pendingConn{c, addr, address.Client(addr)}
	p.list = append(p.list, one)
	p.count[one.from]++
	if len(p.list) <= MaxHandshakes {
		return nil
	}
	members := slices.Concat(p.members, configured())
	worst, strange := 0, false
	for i, other := range p.list {
		s := !slices.Contains(members, other.addr)
		if s && !strange || s == strange && p.count[other.from] > p.count[p.list[worst].from] {
			worst, strange = i, s
		}
	}
	closed = p.list[worst].conn
	p.removeAt(worst)
	return closed
}

// remove removes a connection, unless add has returned it.
func (p *pendingConns) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.list, func(one pendingConn) bool { return one.conn == c }); i >= 0 {
		p.removeAt(i)
	}
}

func (p *pendingConns) removeAt(i int) {
	from := p.list[i].from
	p.list = slices.Delete(p.list, i, i+1)
	if p.count[from]--; p.count[from] == 0 {
		delete(p.count, from)
	}
}

// remember remembers the address of a connection as that of a member.
func (p *pendingConns) remember(c *conn) {
	addr := address.IP(c.raw.RemoteAddr())
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.members, addr); i >= 0 {
		p.members = slices.Delete(p.members, i, i+1)
	} else if len(p.members) == maxMemberAddrs {
		p.members = slices.Delete(p.members, 0, 1)
	}
	p.members = append(p.members, addr)
}
