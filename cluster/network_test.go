package cluster

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
)

// network is between the nodes of a test. Each direction between two nodes can be cut. Packets then wait, as those
// that are lost and sent again, and arrive late when the cut is healed.
type network struct {
	mu   sync.Mutex
	ids  map[string]string // by address, of nodes that have dialed or been named
	cuts map[link]chan struct{}
	sent map[link]*bytes.Buffer // what has got through, while it is watched
	all  []net.Conn
}

type link struct{ from, to string }

func newNetwork(t *testing.T) *network {
	n := &network{ids: map[string]string{}, cuts: map[link]chan struct{}{}, sent: map[link]*bytes.Buffer{}}
	t.Cleanup(func() {
		n.heal()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.all {
			c.Close()
		}
	})
	return n
}

// between puts the network in front of a node; see newGroup.
func (n *network) between(o *Options) {
	from := o.ID
	o.hooks.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return n.dial(ctx, from, network, addr)
	}
}

// knows records the addresses of nodes.
func (n *network) knows(nodes ...*node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, to := range nodes {
		n.ids[to.member().Peer()] = to.opts.ID
	}
}

func (n *network) cut(from, to *node) {
	n.knows(from, to)
	n.mu.Lock()
	defer n.mu.Unlock()
	l := link{from.opts.ID, to.opts.ID}
	if n.cuts[l] == nil {
		n.cuts[l] = make(chan struct{})
	}
}

// apart cuts both directions.
func (n *network) apart(a, b *node) {
	n.cut(a, b)
	n.cut(b, a)
}

// mend heals one direction.
func (n *network) mend(from, to *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := link{from.opts.ID, to.opts.ID}
	if c := n.cuts[l]; c != nil {
		close(c)
		delete(n.cuts, l)
	}
}

func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l, c := range n.cuts {
		close(c)
		delete(n.cuts, l)
	}
}

// watch begins to record what passes.
func (n *network) watch(from, to *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent[link{from.opts.ID, to.opts.ID}] = new(bytes.Buffer)
}

// has reports whether something passed since watch.
func (n *network) has(from, to *node, what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Contains(n.sent[link{from.opts.ID, to.opts.ID}].Bytes(), []byte(what))
}

// pass waits while a direction is cut. The cut may be made before the address is known, so it is looked up each time.
func (n *network) pass(ctx context.Context, l func() link) error {
	for {
		n.mu.Lock()
		c := n.cuts[l()]
		n.mu.Unlock()
		if c == nil {
			return nil
		}
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *network) dial(ctx context.Context, from, network, addr string) (net.Conn, error) {
	there := func() link { return link{from, n.ids[addr]} }
	back := func() link { return link{n.ids[addr], from} }
	for _, l := range []func() link{there, back} {
		if err := n.pass(ctx, l); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
	}
	far, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	near, end := net.Pipe()
	n.mu.Lock()
	n.all = append(n.all, far, end)
	n.mu.Unlock()
	lasts, over := context.WithCancel(context.Background())
	go n.relay(lasts, over, far, end, there)
	go n.relay(lasts, over, end, far, back)
	return near, nil
}

func (n *network) relay(ctx context.Context, over func(), to, from net.Conn, l func() link) {
	defer over()
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		size, err := from.Read(b)
		if err != nil || n.pass(ctx, l) != nil {
			return
		}
		n.mu.Lock()
		if kept := n.sent[l()]; kept != nil {
			kept.Write(b[:size])
		}
		n.mu.Unlock()
		if _, err := to.Write(b[:size]); err != nil {
			return
		}
	}
}
