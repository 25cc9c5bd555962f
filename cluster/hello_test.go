package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"testing"
	"time"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/cluster/push"
)

func (n *node) serverID() string { return string(n.member().self) }

// impostor opens streams to a frontend as only the master does. In a secure group it has the
// certificate of another member.
type impostor struct {
	t    *testing.T
	to   *node
	with *node // whose certificate it has; nil in a group without any
}

// says opens a stream, sends frames, and returns the answers of the frontend before it closes the stream.
func (s impostor) says(frames []byte) (answers []cache.Message) {
	s.t.Helper()
	addr, id := s.to.member().Peer(), s.to.member().self
	var c net.Conn
	var err error
	if s.with == nil {
		c, err = net.Dial("tcp", addr)
	} else {
		c, err = tls.Dial("tcp", addr, s.with.opts.Identity.PeerClientConfig(string(id)))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patient))
	if _, err := c.Write(append(peer.Preamble(peer.ProtocolPush, id), frames...)); err != nil {
		s.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	for {
		m, err := push.ReadMessage(r)
		if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
			s.t.Error("the frontend does not hang up")
		}
		if err != nil {
			return answers
		}
		answers = append(answers, m)
	}
}

// lie returns the frames of a stream that grants the frontend a lease of an hour.
func lie(h *cache.Hello) (frames []byte) {
	for _, m := range []cache.Message{
		h, &cache.Beat{Round: 1}, &cache.Start{At: 1, Released: 1}, &cache.Grant{At: 1, Remaining: time.Hour},
	} {
		frames = push.AppendMessage(frames, m)
	}
	return push.AppendMessage(frames, &push.Commit{Index: math.MaxUint64, Term: math.MaxUint64})
}

// checkShowsAcked checks that a frontend answers from memory with the last acked event.
func checkShowsAcked(t *testing.T, g *group, n *node, seq uint64) {
	t.Helper()
	last := mustPost(t, g.master(), alerts("bard/a", seq, 1))[0].Revision
	eventually(t, n.opts.ID+" answers by itself", func() error {
		revision, err := read(context.Background(), n.member())
		if err == nil && revision < last {
			t.Fatalf("%s is at revision %d; %d was acked before", n.opts.ID, revision, last)
		}
		return err
	})
}

func TestHelloOfAnotherMemberThanTheLeaderIsRefused(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	lease := g.master().member().timings().Lease
	checkShowsAcked(t, g.group, g.nodes[0], 1)
	for i, one := range []struct {
		name, reason string
		hello        func(epoch uint64, with, master *node) cache.Hello
	}{
		{"of an epoch without end", "not_leader", func(_ uint64, with, _ *node) cache.Hello {
			return cache.Hello{Epoch: math.MaxUint64, Master: with.serverID()}
		}},
		{"of the next epoch", "not_leader", func(epoch uint64, with, _ *node) cache.Hello {
			return cache.Hello{Epoch: epoch + 1, Master: with.serverID()}
		}},
		{"of this epoch", "not_leader", func(epoch uint64, with, _ *node) cache.Hello {
			return cache.Hello{Epoch: epoch, Master: with.serverID()}
		}},
		{"in the master's name", "other_peer", func(epoch uint64, _, master *node) cache.Hello {
			return cache.Hello{Epoch: epoch, Master: master.serverID()}
		}},
		{"of the last epoch", "stale", func(epoch uint64, with, _ *node) cache.Hello {
			return cache.Hello{Epoch: epoch - 1, Master: with.serverID()}
		}},
	} {
		// A busy machine may lose the master at any moment. It is said again in the next epoch.
		eventually(t, "a hello "+one.name+" is refused", func() error {
			master := g.master()
			to, with := g.others(master)[0], g.others(master)[1]
			epoch, before := to.member().Epoch(), to.metric("laurel_hello_refused_total", one.reason)
			hello := one.hello(epoch, with, master)
			hello.Lease = lease
			answers := (impostor{t, to, with}).says(lie(&hello))
			if !master.member().Master() || to.member().Epoch() != epoch || master.member().Epoch() != epoch {
				return errors.New("the master was lost meanwhile")
			}
			if len(answers) > 0 {
				t.Errorf("a hello %s: %+v", one.name, answers[0])
			}
			if after := to.metric("laurel_hello_refused_total", one.reason); after <= before {
				return fmt.Errorf("there are %v refusals for the reason %s", after, one.reason)
			}
			if left := to.member().frontend.State().Lease; left > lease {
				t.Errorf("a hello %s: a lease of %v", one.name, left)
			}
			return nil
		})
		for _, n := range g.nodes {
			checkShowsAcked(t, g.group, n, uint64(i)+2)
		}
	}
}

func TestMessagesBeforeAHelloAreIgnored(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	to := g.others(g.master())[0]
	checkShowsAcked(t, g, to, 1)
	falseReporter := &cache.Hello{Epoch: math.MaxUint64, Master: "f9@nowhere", Lease: to.member().timings().Lease}
	master := &cache.Hello{Epoch: to.member().Epoch(), Master: g.master().serverID(), Lease: falseReporter.Lease}
	hint := push.AppendMessage(nil, &push.Commit{Index: 1 << 40, Term: 1})
	for name, frames := range map[string][]byte{
		"a stream that is refused":          lie(falseReporter),
		"a stream without a hello":          lie(falseReporter)[len(push.AppendMessage(nil, falseReporter)):],
		"a hint before the master's hello":  push.AppendMessage(hint, master),
		"a grant before the master's hello": push.AppendMessage(push.AppendMessage(nil, &cache.Grant{}), master),
	} {
		if answers := (impostor{t, to, nil}).says(frames); len(answers) > 0 {
			t.Errorf("%s: %+v", name, answers[0])
		}
		if epoch, last := to.member().pushes.Hints.Newest(); last.Index >= 1<<40 {
			t.Errorf("%s: it believes in entry %d of epoch %d", name, last.Index, epoch)
		}
	}
	checkShowsAcked(t, g, to, 2)
}

// The Hello of a new master may arrive before the first message of its Raft.
func TestHelloIsHeldUntilRaftKnowsTheMaster(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	eventually(t, "a new master is admitted before raft knows it", func() error {
		others := g.others(g.master())
		next, other := others[0], others[1].member()
		h := &cache.Hello{Epoch: other.Epoch() + 1, Master: next.serverID(), Lease: other.timings().Lease}
		admitted := make(chan error)
		go func() { admitted <- other.pushes.Admit(nil, h) }()
		if err := g.master().member().Transfer(t.Context(), next.opts.ID); err != nil {
			t.Log(err)
		}
		return <-admitted
	})
}

// Of two masters of one epoch only one must get the acks of a frontend.
func TestSecondMasterOfAnEpochIsCountedAndRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	to := g.others(g.master())[0]
	checkShowsAcked(t, g, to, 1)
	m := to.member()
	hello := &cache.Hello{Epoch: m.Epoch(), Master: "f9@nowhere", Lease: m.timings().Lease}
	_, err := m.frontend.Open(false).Receive(hello, m.Epoch())
	if !errors.Is(err, cache.ErrTwoMasters) {
		t.Fatalf("got %v, want %v", err, cache.ErrTwoMasters)
	}
	m.pushes.Refuse(err)
	if n := to.metric("laurel_hello_refused_total", "two_masters"); n != 1 {
		t.Errorf("%v are counted", n)
	}
	checkShowsAcked(t, g, to, 2)
}
