package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/internal/hclogger"
	"laurel/cluster/peer"
)

// fakePeer is another member as Raft sees it. The test sends its messages.
type fakePeer struct {
	id    raft.ServerID
	addr  raft.ServerAddress
	over  *raft.NetworkTransport
	votes chan raft.RPC // requests for its vote, which the test answers
}

func newFakePeer(t *testing.T, addr string, id raft.ServerID) *fakePeer {
	t.Helper()
	return newFakePeerAs(t, addr, id, "")
}

// newFakePeerAs returns a fakePeer that says that it is at another address, if that is not "".
func newFakePeerAs(t *testing.T, addr string, id raft.ServerID, says raft.ServerAddress) *fakePeer {
	t.Helper()
	var p *peer.Port
	eventually(t, "listen at the address of "+string(id), func() (err error) {
		p, err = peer.Listen(peer.Config{Address: addr, ServerID: id})
		return err
	})
	says = cmp.Or(says, raft.ServerAddress(p.Addr().String()))
	f := &fakePeer{id: id, addr: says, votes: make(chan raft.RPC, 100)}
	f.over = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: p.RaftLayer(patient), MaxPool: 2, Timeout: 20 * time.Second, Logger: hclogger.New(testLog(t), nil),
	})
	t.Cleanup(func() { f.over.Close(); p.Close() })
	go func() {
		for call := range f.over.Consumer() {
			switch request := call.Command.(type) {
			case *raft.RequestPreVoteRequest:
				granted := &raft.RequestPreVoteResponse{RPCHeader: f.header(), Term: request.Term, Granted: true}
				call.Respond(granted, nil)
			case *raft.RequestVoteRequest:
				f.votes <- call
			default:
				call.Respond(nil, errors.New("this peer does nothing else"))
			}
		}
	}()
	return f
}

func (f *fakePeer) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(f.id), Addr: []byte(f.addr)}
}

// beat sends a heartbeat of the leader of a term to a member, again if the connection is lost as
// a leader does, and returns the answer.
func (f *fakePeer) beat(t *testing.T, m *Member, term uint64) (answer raft.AppendEntriesResponse) {
	t.Helper()
	to := m.self
	request := &raft.AppendEntriesRequest{RPCHeader: f.header(), Term: term}
	eventually(t, "a heartbeat is answered", func() error {
		answer = raft.AppendEntriesResponse{}
		return f.over.AppendEntries(to, peer.Address(to, raft.ServerAddress(m.Peer())), request, &answer)
	})
	return answer
}

func TestCandidateThatHearsALaterLeaderDoesNotWinItsOldElection(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, func(o *Options) { o.TimeScale = 10 })
	a := g.master()
	mustPost(t, a, alerts("bard/a", 1, 3))
	g.agree(3)
	others := g.others(a)
	x, b := others[0], others[1]
	xID, bID := x.member().self, b.member().self
	xAddr, bAddr := x.opts.Peer, b.opts.Peer
	x.stop()
	b.stop()
	m := a.member()
	fx, fb := newFakePeer(t, xAddr, xID), newFakePeer(t, bAddr, bID)
	vote := <-fx.votes // m stands for election. x votes for it, but the answer is late.
	old, last := vote.Command.(*raft.RequestVoteRequest).Term, entries(m)
	// Meanwhile x votes for b in the next term. The first that m hears of b is a heartbeat. If
	// this is late on a busy machine, m has stood again, and b is elected in a later term.
	next := old
	hears := func() error {
		next = max(next, old+1, m.raft.CurrentTerm())
		if answer := fb.beat(t, m, next); !answer.Success {
			return fmt.Errorf("the heartbeat of term %d was answered %+v", next, answer)
		}
		return nil
	}
	eventually(t, "it hears of b", hears)
	vote.Respond(&raft.RequestVoteResponse{RPCHeader: fx.header(), Term: old, Granted: true}, nil)
	eventually(t, "it follows b", func() error {
		if err := hears(); err != nil {
			return err
		}
		if _, leader := m.raft.LeaderWithID(); leader != bID || m.raft.CurrentTerm() != next {
			return errors.New("it does not")
		}
		return nil
	})
	// A leader begins with an entry of its own.
	for range 50 {
		fb.beat(t, m, next)
		if m.raft.State() == raft.Leader || entries(m) != last {
			t.Fatalf("it became the leader of term %d, in which b was elected", m.raft.CurrentTerm())
		}
	}
}

// voteDelay delays the answer of one other node to the next request for a vote on the
// connections of a node.
type voteDelay struct {
	mu       sync.Mutex
	voter    string // the address of the other node; "" delays nothing yet
	held     bool
	released chan struct{}
}

func (d *voteDelay) arm(voter string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.voter = voter
}

func (d *voteDelay) holds() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.held {
		return errors.New("no vote is held back")
	}
	return nil
}

// delayedConn is a connection of a node to another one.
type delayedConn struct {
	net.Conn
	to      string
	delay   *voteDelay
	greeted bool // the preamble was written
	raft    bool
	mu      sync.Mutex
	holds   bool
}

const rpcRequestVote = 1 // the first byte of a request for a vote; hashicorp/raft names it

func (c *delayedConn) Write(b []byte) (int, error) {
	if !c.greeted {
		c.greeted, c.raft = true, len(b) > 0 && b[0] == peer.ProtocolRaft
		return c.Conn.Write(b)
	}
	c.delay.mu.Lock()
	if c.raft && c.to == c.delay.voter && !c.delay.held && len(b) > 0 && b[0] == rpcRequestVote {
		c.delay.held = true
		c.mu.Lock()
		c.holds = true
		c.mu.Unlock()
	}
	c.delay.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *delayedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	holds := c.holds
	c.mu.Unlock()
	if holds {
		<-c.delay.released
	}
	return n, err
}

// The order of messages of hashicorp/raft#695: a's vote of term n is late, b is elected in n+1,
// and the first that a hears of it is a heartbeat.
func TestThereAreNoTwoMastersOfOneEpoch(t *testing.T) {
	w := newNetwork(t)
	d := &voteDelay{released: make(chan struct{})}
	var mu sync.Mutex // guards what follows
	var dialed []net.Conn
	mute := false
	g := newGroup(t, 3, w.between, func(o *Options) {
		o.TimeScale = 2
		dial := o.hooks.dial
		switch o.ID {
		case "f3": // the others reach it; after a while it reaches nobody
			o.hooks.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				if mute {
					return nil, errors.New("no way out")
				}
				c, err := dial(ctx, network, addr)
				if err == nil {
					dialed = append(dialed, c)
				}
				return c, err
			}
		case "f1":
			o.hooks.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return &delayedConn{Conn: c, to: addr, delay: d}, nil
			}
			// There is time for all that follows.
			o.hooks.raftConfig = func(c *raft.Config) { c.ElectionTimeout = patient / 3 }
		}
	})
	release := sync.OnceFunc(func() { close(d.released) })
	t.Cleanup(release) // before the nodes stop, which would wait for the answer
	a, b, x := g.nodes[0], g.nodes[1], g.nodes[2]
	mustPost(t, a, alerts("bard/0", 1, 3))
	g.agree(3)
	eventually(t, "x is the master", func() error {
		if x.member().Master() {
			return nil
		}
		g.master().member().Transfer(context.Background(), x.opts.ID)
		return errors.New("it is not")
	})
	eventually(t, "a and b can be elected: they have all of x's log", func() error {
		last := x.member().raft.LastIndex()
		if a.member().raft.LastIndex() < last || b.member().raft.LastIndex() < last {
			return errors.New("they do not")
		}
		return nil
	})
	w.apart(a, b)
	w.apart(a, x)
	w.apart(b, x)
	mu.Lock()
	mute = true
	for _, c := range dialed {
		c.Close()
	}
	mu.Unlock()
	eventually(t, "x leads no more", func() error {
		if x.member().raft.State() == raft.Leader {
			return errors.New("it does")
		}
		return nil
	})
	d.arm(x.opts.Peer) // not b: a connection to it may have stayed open, and would take the request
	w.mend(a, x)
	w.mend(x, a)
	eventually(t, "x votes for a, and the answer is late", d.holds)
	// x's answer is on its way when x has stored its vote.
	voted := a.member().Epoch()
	eventually(t, "x has voted", func() error {
		if x.member().Epoch() < voted {
			return errors.New("it has not")
		}
		return nil
	})
	w.mend(b, x)
	w.mend(x, b)
	eventually(t, "b is the master", func() error {
		if !b.member().Master() {
			return errors.New("it is not")
		}
		return nil
	})
	epoch := b.member().Epoch()
	fb := newFakePeerAs(t, "127.0.0.1:0", b.member().self, raft.ServerAddress(b.opts.Peer))
	fb.beat(t, a.member(), epoch)
	release()
	var both sync.WaitGroup
	for _, one := range []struct {
		n      *node
		source string
	}{{a, "bard/A"}, {b, "bard/B"}} {
		both.Go(func() {
			for i := range uint64(3) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				one.n.member().Post(ctx, alerts(one.source, i+1, 1)) // a reaches no master: that it fails is right
				cancel()
			}
		})
	}
	both.Wait()
	if s := a.member().raft.State(); s == raft.Leader && a.member().Epoch() == epoch {
		t.Errorf("%s and %s are both leader of term %d", a.opts.ID, b.opts.ID, epoch)
	}
	w.heal()
	mu.Lock()
	mute = false
	mu.Unlock()
	for _, source := range []string{"bard/A", "bard/B"} {
		mustPost(t, g.master(), alerts(source, 1, 3))
	}
	g.agree(9)
	want := timeline(t, a.member())
	for _, n := range g.nodes {
		got := timeline(t, n.member())
		for id := range want {
			if got[id] != 1 {
				t.Errorf("%s has event %s %d times", n.opts.ID, id, got[id])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has %d events, %s has %d", n.opts.ID, len(got), a.opts.ID, len(want))
		}
	}
}
