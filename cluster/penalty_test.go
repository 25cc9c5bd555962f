package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/cluster/peer"
)

// valve delays the answers of the frontends on the streams of a master, as if they hung.
type valve struct {
	mu   sync.Mutex
	open chan struct{} // closed while all flows
	// release closes open.
	release func()
}

func newValve() *valve {
	v := &valve{}
	v.shut()
	v.reopen()
	return v
}

func (v *valve) shut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open = make(chan struct{})
	v.release = sync.OnceFunc(func() { close(v.open) })
}

func (v *valve) reopen() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.release()
}

func (v *valve) flows() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open
}

// dial makes connections; those with a push stream have the valve.
func (v *valve) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &valveConn{Conn: c, valve: v}, nil
}

type valveConn struct {
	net.Conn
	valve  *valve
	once   sync.Once
	stream bool
}

func (c *valveConn) Write(b []byte) (int, error) {
	c.once.Do(func() { c.stream = b[0] == peer.ProtocolPush })
	return c.Conn.Write(b)
}

func (c *valveConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.stream {
		<-c.valve.flows()
	}
	return n, err
}

// metric returns the value of a metric with a label's value, "" for a metric without labels; 0 if there is none.
func (n *node) metric(name, label string) float64 {
	n.t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == name && (label == "" || labels[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// scores asks the node for the revision over HTTP.
func (n *node) scores() (revision uint64, err error) {
	r, err := http.Get(n.server.URL + "/v1/scores")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return 0, errors.New(r.Status)
	}
	return revision, json.UnmarshalRead(r.Body, &revision)
}

func TestFrontendWithAWithheldLeaseIsCountedAndStillAnswers(t *testing.T) {
	t.Parallel()
	v := newValve()
	g := newGroup(t, 1, func(o *Options) { o.hooks.dial = v.dial })
	slow := g.add(func(o *Options) { o.Nonvoter = true })
	slow.start()
	t.Cleanup(v.reopen) // before the nodes stop, which would wait for the answers
	g.settle()
	master, m := g.nodes[0], g.nodes[0].member()
	leased := func() error {
		if !slow.member().Leased() {
			return errors.New("it has none")
		}
		return nil
	}
	seq := uint64(0)
	withheld := func() (failed error) {
		seq++
		eventually(t, "the frontend has a lease", leased)
		v.shut()
		last := mustPost(t, master, alerts("bard/a", seq, 1))[0].Revision
		v.reopen()
		eventually(t, "the penalty is counted", func() error {
			if n := master.metric("laurel_leases_withheld_total", slow.opts.ID); n < float64(seq) {
				return fmt.Errorf("%v are counted", n)
			}
			return nil
		})
		if failed = slow.member().Ready(t.Context()); failed == nil && !m.Leased() {
			failed = errors.New("the master's own frontend has no lease")
		}
		eventually(t, "the frontend answers", func() error {
			revision, err := slow.scores()
			if err == nil && revision < last {
				t.Fatalf("revision %d; %d was acked before", revision, last)
			}
			return err
		})
		return failed
	}
	for range 3 {
		// Again on a busy machine: the master itself may have been too slow for its lease.
		eventually(t, "a frontend without a lease is ready, and the master has its own", withheld)
	}
	eventually(t, "the frontend has a lease again", leased)
	eventually(t, "no lease is withheld", func() error {
		if n := master.metric("laurel_leases_withheld", ""); n != 0 {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
}
