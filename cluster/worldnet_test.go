package cluster

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"laurel/cluster/peer"
)

// worldNet is a network in memory, for worlds in virtual time. Writes to a connection
// arrive in order, each after a random delay; there is no order between connections. What
// is sent in a direction that is cut, or from or to a host that is paused, arrives after
// the cut or the pause, as with TCP, which retransmits lost packets.
type worldNet struct {
	mu               sync.Mutex
	rand             *rand.Rand
	ports            map[string]*worldPort
	cuts             map[link]int
	paused           map[string]int
	conns            map[*worldConn]struct{} // one end of each connection
	changed          chan struct{}           // closed when a cut or a pause has changed
	maxDelay         time.Duration           // how long a rare delay lasts
	delayProbability float64                 // how often there is one
	wire             wire                    // how connections carry on; see worldwire_test.go
}

func newWorldNet(r *rand.Rand) *worldNet {
	return &worldNet{rand: r, ports: map[string]*worldPort{}, cuts: map[link]int{}, paused: map[string]int{},
		conns:   map[*worldConn]struct{}{},
		changed: make(chan struct{}), maxDelay: 100 * time.Millisecond, delayProbability: 0.01, wire: newWire()}
}

// degrade makes the network as bad as a plan asks for.
func (n *worldNet) degrade(p worldPlan) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.maxDelay, n.delayProbability, n.wire.late, n.wire.loss = p.maxDelay, p.delayProbability, p.tcp, p.loss
}

// delay returns a random delay for one piece. n.mu must be held.
func (n *worldNet) delay() time.Duration {
	if n.rand.Float64() < n.delayProbability {
		return time.Duration(n.rand.Int64N(int64(n.maxDelay)))
	}
	return 50*time.Microsecond + time.Duration(n.rand.Int64N(int64(time.Millisecond)))
}

// held returns nil if a direction is open, else a channel that is closed when that may
// have changed. n.mu must be held.
func (n *worldNet) held(l link) <-chan struct{} {
	if n.cuts[l] > 0 || n.paused[l.from] > 0 || n.paused[l.to] > 0 {
		return n.changed
	}
	return nil
}

func (n *worldNet) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *worldNet) cut(from, to string) {
	n.change(func() {
		l := link{from, to}
		if n.cuts[l]++; n.cuts[l] == 1 {
			n.wire.since[l] = time.Now()
		}
	})
}
func (n *worldNet) heal(from, to string) {
	n.change(func() {
		l := link{from, to}
		if n.cuts[l]--; n.cuts[l] == 0 {
			n.retransmitLate(l)
		}
	})
}
func (n *worldNet) pause(host string) {
	n.change(func() {
		n.paused[host]++
		n.countInterrupted(host, "snapshots whose sender hung")
	})
}
func (n *worldNet) resume(host string) { n.change(func() { n.paused[host]-- }) }

func (n *worldNet) isPaused(host string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused[host] > 0
}

// errGone is what a host that lost its power reads. Its peers do not notice the loss.
var errGone = errors.New("this host is gone")

// lose breaks the connections of which f selects a direction.
func (n *worldNet) lose(f func(link) bool) { n.breakConns(f, syscall.ECONNRESET) }

// vanish breaks the connections of a host. The other ends do not notice.
func (n *worldNet) vanish(host string) {
	n.mu.Lock()
	n.countInterrupted(host, "snapshots whose sender vanished")
	n.mu.Unlock()
	n.breakConns(func(l link) bool { return l.from == host }, errGone)
}

func (n *worldNet) breakConns(f func(link) bool, why error) {
	n.mu.Lock()
	var list []*worldConn
	for c := range n.conns {
		if f(c.link) || f(link{c.link.to, c.link.from}) {
			list = append(list, c)
		}
	}
	n.mu.Unlock()
	for _, c := range list {
		for _, end := range []*worldConn{c, c.far} {
			if why != errGone || f(end.link) {
				end.in.fail(why)
			} else {
				n.leaveHalfOpen(end)
			}
		}
		n.forget(c)
	}
}

func (n *worldNet) forget(c *worldConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	delete(n.conns, c.far)
}

// worldPort is a listener.
type worldPort struct {
	net    *worldNet
	addr   peer.Addr
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func hostOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return host
}

func (n *worldNet) listen(_, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ports[addr] != nil {
		return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	}
	p := &worldPort{net: n, addr: peer.Addr(addr), queue: make(chan net.Conn, 256), closed: make(chan struct{})}
	n.ports[addr] = p
	n.resetHalfOpen(hostOf(addr))
	return p, nil
}

func (p *worldPort) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *worldPort) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.net.mu.Lock()
		delete(p.net.ports, string(p.addr))
		p.net.mu.Unlock()
		for {
			select {
			case c := <-p.queue:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (p *worldPort) Addr() net.Addr { return p.addr }

// dialFrom returns the dialer of a host. A connection is made when a piece has passed in
// both directions.
func (n *worldNet) dialFrom(from string) peer.Dialer {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		to := hostOf(addr)
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		for _, l := range []link{{from, to}, {to, from}} {
			if err := n.pass(ctx, l); err != nil {
				return nil, &net.OpError{Op: "dial", Err: err}
			}
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		p := n.ports[addr]
		if p == nil {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		near, far := &worldConn{net: n, link: link{from, to}}, &worldConn{net: n, link: link{to, from}}
		near.in, far.in = newWorldPipe(n, far.link), newWorldPipe(n, near.link)
		near.far, far.far = far, near
		near.dialed = true
		select {
		case p.queue <- far:
			n.conns[near] = struct{}{}
			return near, nil
		default:
			n.wire.forget(near.in)
			n.wire.forget(far.in)
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
	}
}

// pass waits as long as one piece takes in a direction.
func (n *worldNet) pass(ctx context.Context, l link) error {
	n.mu.Lock()
	after := time.NewTimer(n.delay())
	n.mu.Unlock()
	defer after.Stop()
	select {
	case <-after.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		n.mu.Lock()
		held := n.held(l)
		n.mu.Unlock()
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dialTimeout is how long a host tries to connect.
const dialTimeout = 3 * time.Second

// worldConn is one end of a connection.
type worldConn struct {
	net  *worldNet
	link link // from here to there
	in   *worldPipe
	far  *worldConn
	sentCalls
}

func (c *worldConn) Read(b []byte) (int, error) { return c.in.read(b) }
func (c *worldConn) Write(b []byte) (int, error) {
	c.in.mu.Lock()
	failed := c.in.failed
	c.in.mu.Unlock()
	if failed != nil {
		return 0, syscall.EPIPE
	}
	return c.far.in.write(b, c.recognize(b))
}

// Close ends the connection. The other end reads all that was sent before the end.
func (c *worldConn) Close() error {
	c.far.in.end(io.EOF)
	c.in.fail(net.ErrClosed)
	c.net.forget(c)
	return nil
}

func (c *worldConn) LocalAddr() net.Addr  { return peer.Addr(c.link.from + ":1") }
func (c *worldConn) RemoteAddr() net.Addr { return peer.Addr(c.link.to + ":1") }

func (c *worldConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *worldConn) SetWriteDeadline(t time.Time) error { return nil } // a write never waits
func (c *worldConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.deadline = t
	c.in.wake()
	return nil
}
