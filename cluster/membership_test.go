package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/cluster/peer"
	"laurel/score"
)

// ended waits until the member ends, closes it, and returns the error.
func ended(t *testing.T, n *node) (why error) {
	t.Helper()
	eventually(t, n.opts.ID+" ends", func() error {
		select {
		case why = <-n.member().Ended():
			return nil
		default:
			return errors.New("it goes on")
		}
	})
	n.stop()
	return why
}

func checkRuns(t *testing.T, n *node) {
	t.Helper()
	select {
	case err := <-n.member().Ended():
		t.Errorf("%s has ended: %v", n.opts.ID, err)
	default:
	}
}

func (n *node) asNew() score.NewMember {
	m := n.member()
	return score.NewMember{ID: m.ID(), Peer: m.Peer(), URL: n.opts.URL, Voter: true, Instance: m.storage.Instance()}
}

func TestTheGroupKnowsItsMembers(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" knows all of all", func() error {
			master, f := g.master(), n.member().Frontends()
			if f.Master != master.opts.ID || f.Mode != score.Push || len(f.Frontends) != 3 {
				return fmt.Errorf("%+v", f)
			}
			for _, e := range f.Frontends {
				if e.State != score.Serving || e.URL == "" || !e.Voter || e.Master != (e.ID == master.opts.ID) {
					return fmt.Errorf("%+v", e)
				}
			}
			return nil
		})
	}
	master := g.master()
	lost := g.others(master)[0]
	lost.stop()
	eventually(t, "one that is lost is unreachable", func() error {
		for _, e := range master.member().Frontends().Frontends {
			if e.ID == lost.opts.ID && e.State != score.Unreachable {
				return fmt.Errorf("it is %s", e.State)
			}
		}
		return nil
	})
}

func TestMemberWhoseProcessIsGoneIsUnreachableAtOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	lost := g.others(master)[0]
	id := lost.member().self
	reports := master.member().poller.Reports
	eventually(t, "the master knows it", func() error {
		if _, fresh := reports.Last(id); !fresh {
			return errors.New("not yet")
		}
		return nil
	})
	lost.stop()
	eventually(t, "a connection is refused", func() error {
		if _, fresh := reports.Last(id); fresh {
			return errors.New("not yet")
		}
		return nil
	})
	for _, e := range master.member().Frontends().Frontends {
		if e.ID == lost.opts.ID && e.State != score.Unreachable {
			t.Errorf("it is %s", e.State)
		}
	}
}

func TestJoiningAgainIsHarmless(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	m := g.master().member()
	before := fmt.Sprint(m.servers())
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" joins again", func() error {
			return g.master().member().Join(context.Background(), n.asNew(), false)
		})
	}
	if after := fmt.Sprint(m.servers()); after != before {
		t.Errorf("the configuration was %s and is %s", before, after)
	}
	_, err := Start(g.nodes[0].again())
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second frontend on the directory got %v", err)
	}
}

func TestIDOfAnotherFrontendIsRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	other := newNode(t, "f2", func(o *Options) { o.Join = []string{g.nodes[0].server.URL} })
	other.start()
	if why := ended(t, other); !strings.Contains(why.Error(), `"f2" is taken`) {
		t.Errorf("it ended with %v", why)
	}
	g.settle()
}

func TestPeerAddressOfAnotherFrontendIsRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	gone := g.others(g.master())[0]
	gone.stop()
	squatter := g.add(func(o *Options) { o.Peer = gone.opts.Peer })
	squatter.opts.Join = nil
	for _, n := range g.others(nil) {
		squatter.opts.Join = append(squatter.opts.Join, n.server.URL)
	}
	squatter.start()
	if why := ended(t, squatter); !strings.Contains(why.Error(), "is taken by the frontend") {
		t.Errorf("it ended with %v", why)
	}
	gone.start()
	g.settle()
}

// A follower's acks count for the server that the configuration has at its address. Another frontend at that
// address must not get its messages.
func TestFrontendAtTheAddressOfAnotherIsNotCountedAsThatOne(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	for _, n := range g.others(master) {
		n.stop()
		impostor := newNode(t, "stranger-"+n.opts.ID, func(o *Options) {
			o.Peer = n.opts.Peer
			o.Join = []string{"http://127.0.0.1:1"}
		})
		impostor.start()
	}
	eventually(t, "the master steps down", func() error {
		if master.member().Master() {
			return errors.New("it does not")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := master.member().Post(ctx, alerts("bard/x", 1, 1)); err == nil {
		t.Error("a post was acked by members of another group")
	}
}

func TestJoinRefusesAFrontendThatDoesNotAnswerOrIsAnother(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	m := g.master().member()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	refused(t, m.Join(context.Background(), score.NewMember{ID: "f9", Peer: dead, Voter: true}, false), score.NotReady)
	conflicts := func(n score.NewMember) {
		t.Helper()
		g.refusedByMaster(score.IDConflict, func(m *Member) error { return m.Join(context.Background(), n, false) })
	}
	conflicts(score.NewMember{ID: "f9", Peer: g.nodes[1].member().Peer(), Voter: true})
	refused(t, m.Join(context.Background(), score.NewMember{ID: "f 9", Peer: dead}, false), score.InvalidEvent)
	refused(t, m.Join(context.Background(), score.NewMember{ID: "f9", Peer: "nowhere"}, false), score.InvalidEvent)
	again := g.nodes[1].asNew()
	again.Instance = "anotherone"
	conflicts(again)
	follower := g.others(g.master())[0].member()
	refused(t, follower.Join(context.Background(), g.nodes[1].asNew(), false), score.NoMaster)
	refused(t, follower.Leave(context.Background(), "f1", false), score.NoMaster)
	refused(t, follower.Transfer(context.Background(), ""), score.NoMaster)
	if len(m.servers()) != 3 {
		t.Errorf("the configuration is %v", m.servers())
	}
}

func TestAFrontendIsAddedOnlyWhereTheOthersCanReachIt(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	m := g.master().member()
	for _, new := range []string{"192.0.2.1:9001", "[2001:db8::1]:9001", "f3.invalid:9001"} {
		p := refused(t, m.Join(t.Context(), score.NewMember{ID: "f3", Peer: new, URL: "http://f3.invalid"}, true),
			score.StatusConflict)
		if p.Field != "peer" || !strings.Contains(p.Detail, new) || !strings.Contains(p.Detail, " is at 127.") {
			t.Errorf("%s: %v", new, p)
		}
	}
	// One that is elsewhere on this machine, or a member that moves, is asked there. There is
	// no way to the broadcast address.
	for id, to := range map[string]string{"f3": "localhost:1", "f2": "255.255.255.255:9001"} {
		refused(t, m.Join(t.Context(), score.NewMember{ID: id, Peer: to, URL: "http://f3.invalid", Voter: true}, true),
			score.NotReady)
	}
}

func TestMemberWithANewAddressKeepsItsData(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 5))
	for _, moved := range []*node{g.others(g.master())[0], g.master()} {
		was := moved.opts.Peer
		moved.stop()
		g.master()
		moved.opts.Peer = loopback()
		moved.start()
		g.settle()
		for _, s := range g.master().member().servers() {
			if string(s.Address) == was {
				t.Errorf("the group still has %s at %s", s.ID, was)
			}
		}
	}
	mustPost(t, g.nodes[2], alerts("bard/a", 6, 5))
	g.agree(10)
	for _, n := range g.nodes {
		checkRuns(t, n)
	}
}

func TestNonvoterHasNoVoteUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 5))
	n := g.add(func(o *Options) { o.Nonvoter = true })
	n.start()
	g.settle()
	mustPost(t, n, alerts("bard/a", 6, 5))
	g.agree(10)
	m := g.master().member()
	if list := voters(m); !slices.Equal(list, []string{"f1"}) {
		t.Errorf("the voters are %v", list)
	}
	refused(t, m.Transfer(context.Background(), "f2"), score.NotFound)
	eventually(t, "it is promoted", func() error { return m.Join(context.Background(), n.asNew(), false) })
	if list := voters(m); !slices.Equal(list, []string{"f1", "f2"}) {
		t.Errorf("the voters are %v", list)
	}
	eventually(t, "its log has the change", func() error {
		if list := voters(n.member()); len(list) != 2 {
			return fmt.Errorf("the voters are %v", list)
		}
		return nil
	})
	n.stop()
	if _, err := Start(n.again()); !errors.Is(err, ErrHasVote) {
		t.Errorf("it has a vote, and started without one it got %v", err)
	}
	n.opts.Nonvoter = false
	n.start()
	g.settle()
	g.expectVoters(2)
}

func TestLastVoterNeverLeavesAndTheLastButOneNeedsForce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	master := g.master()
	other := g.others(master)[0]
	m := master.member()
	leave := func(id string, force bool) func(*Member) error {
		return func(m *Member) error { return m.Leave(context.Background(), id, force) }
	}
	g.refusedByMaster(score.NotFound, leave("f9", false))
	g.refusedByMaster(score.StatusConflict, leave(other.opts.ID, false))
	g.remove(other.opts.ID, true)
	if why := ended(t, other); !errors.Is(why, ErrRemoved) {
		t.Errorf("it ended with %v", why)
	}
	for _, force := range []bool{false, true} {
		g.refusedByMaster(score.StatusConflict, leave(m.ID(), force))
	}
	mustPost(t, master, alerts("bard/a", 1, 1))
}

func TestRemovedMemberStopsAndDoesNotStartAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	gone := g.others(master)[0]
	g.remove(gone.opts.ID, false)
	if why := ended(t, gone); !errors.Is(why, ErrRemoved) {
		t.Errorf("it ended with %v", why)
	}
	if _, err := Start(gone.again()); !errors.Is(err, ErrRemoved) {
		t.Errorf("started again it got %v", err)
	}
	mustPost(t, master, alerts("bard/a", 1, 1))
	g.agree(1)
}

func TestMemberRemovedWhileDownLearnsItWhenItIsBack(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"its old address", "a new address"} {
		t.Run("at "+address, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 3)
			master := g.master()
			gone := g.others(master)[0]
			// A member that is stopped before it knows that it has joined may join again: nobody counted on it.
			eventually(t, "it knows that it has joined", func() error {
				if !gone.member().storage.Joined() {
					return errors.New("it does not")
				}
				return nil
			})
			gone.stop()
			g.remove(gone.opts.ID, false)
			if address == "a new address" {
				gone.opts.Peer = loopback()
			}
			gone.start()
			if why := ended(t, gone); !errors.Is(why, ErrRemoved) {
				t.Errorf("it ended with %v", why)
			}
			if list := voters(g.master().member()); len(list) != 2 {
				t.Errorf("the voters are %v", list)
			}
		})
	}
}

func TestLeavingAMajorityThatDoesNotAnswerNeedsForce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	others := g.others(master)
	others[0].stop()
	g.refusedByMaster(score.StatusConflict, func(m *Member) error {
		return m.Leave(context.Background(), others[1].opts.ID, false)
	})
	g.remove(others[0].opts.ID, false) // the dead one
	mustPost(t, master, alerts("bard/a", 1, 1))
}

func TestTheMasterCanLeave(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			g.start()
			mustPost(t, g.nodes[0], alerts("bard/a", 1, 5))
			gone := g.master()
			g.remove(gone.opts.ID, false)
			if why := ended(t, gone); !errors.Is(why, ErrRemoved) {
				t.Errorf("it ended with %v", why)
			}
			if list := voters(g.master().member()); len(list) != 2 || slices.Contains(list, gone.opts.ID) {
				t.Errorf("the voters are %v", list)
			}
			mustPost(t, g.master(), alerts("bard/a", 6, 5))
			g.agree(10)
		})
	}
}

func TestDataOfAnotherGroupIsRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	other := newNode(t, "g1", func(o *Options) { o.Bootstrap = true })
	m := other.start()
	eventually(t, "the other group has a master", func() error { return m.Ready(context.Background()) })
	p := g.refusedByMaster(score.IDConflict, func(m *Member) error {
		return m.Join(context.Background(), other.asNew(), false)
	})
	if p.Field != "instance" {
		t.Errorf("the problem is about %q", p.Field)
	}
}

func TestMembersThatJoinDuringAChangeOfTheMasterAreAdded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	over := make(chan struct{})
	posted := make(chan uint64)
	first := slices.Clone(g.nodes)
	go func() {
		for seq := uint64(1); ; seq++ {
			select {
			case <-over:
				posted <- seq - 1
				return
			default:
				mustPost(t, first[seq%3], alerts("bard/load", seq, 1))
			}
		}
	}()
	var late []*node
	for range 2 {
		n := g.add()
		n.opts.Join = []string{g.nodes[0].server.URL, g.nodes[1].server.URL, g.nodes[2].server.URL}
		n.start()
		late = append(late, n)
		for range 3 {
			g.master().member().Transfer(context.Background(), "")
		}
	}
	g.settle()
	close(over)
	g.agree(<-posted)
	for _, n := range late {
		checkRuns(t, n)
	}
}

func TestAMasterThatIsDeposedRefusesNobodyForGood(t *testing.T) {
	t.Parallel()
	network := newNetwork(t)
	_, old, others := newSlowMaster(t, network, patient)
	stranger := newNode(t, "g1", func(o *Options) { o.Bootstrap = true })
	m := stranger.start()
	eventually(t, "the stranger's group has a master", func() error { return m.Ready(context.Background()) })
	for _, n := range others {
		network.apart(old, n)
	}
	successor(t, others)
	checkNotDeposedYet(t, old)
	refused(t, old.member().Join(t.Context(), stranger.asNew(), true), score.NoMaster)
}

// A joiner may know itself as a member from an entry that is never committed. It must not take the next
// master's answer that it is not a member for its removal.
func TestJoinerWhoseJoinIsUndoneIsAddedAgain(t *testing.T) {
	t.Parallel()
	network := newNetwork(t)
	// It must be the master until the joiner has asked it.
	g, old, others := newSlowMaster(t, network, patient)
	for _, n := range others {
		network.apart(old, n)
	}
	n := g.add(network.between)
	n.opts.Join = []string{old.server.URL}
	n.start()
	eventually(t, "the joiner knows itself as a member", func() error {
		if len(n.member().servers()) != 4 {
			return errors.New("it does not")
		}
		return nil
	})
	successor(t, others)
	for _, s := range others[0].member().servers() {
		if peer.MemberID(s.ID) == n.opts.ID {
			t.Fatal("the join was committed without a majority")
		}
	}
	network.heal()
	g.settle()
	checkRuns(t, n)
	eventually(t, "it knows that it has joined", func() error {
		if !n.member().storage.Joined() {
			return errors.New("it does not")
		}
		return nil
	})
}
