package cluster

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"laurel/cluster/peer"
)

func TestOneMessageCannotExhaustTheTerms(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	impostor := newFakePeer(t, "127.0.0.1:0", "x@x")
	n := g.others(g.master())[0]
	m := n.member()
	to, at := m.self, peer.Address(m.self, raft.ServerAddress(m.Peer()))
	const huge = math.MaxUint64 - 1
	header := impostor.header()
	for what, send := range map[string]func() error{
		"a heartbeat": func() error {
			request := &raft.AppendEntriesRequest{RPCHeader: header, Term: huge}
			return impostor.over.AppendEntries(to, at, request, new(raft.AppendEntriesResponse))
		},
		"entries": func() error {
			request := &raft.AppendEntriesRequest{RPCHeader: header, Term: huge, PrevLogEntry: 1, PrevLogTerm: 1}
			return impostor.over.AppendEntries(to, at, request, new(raft.AppendEntriesResponse))
		},
		"a request for a vote": func() error {
			request := &raft.RequestVoteRequest{RPCHeader: header, Term: huge, LeadershipTransfer: true}
			return impostor.over.RequestVote(to, at, request, new(raft.RequestVoteResponse))
		},
		"a request for a pre-vote": func() error {
			request := &raft.RequestPreVoteRequest{RPCHeader: header, Term: huge}
			return impostor.over.RequestPreVote(to, at, request, new(raft.RequestPreVoteResponse))
		},
	} {
		if send() == nil {
			t.Errorf("%s was answered", what)
		}
	}
	if got := m.Epoch(); got > peer.MaxTermStep {
		t.Errorf("the term is %d now", got)
	}
	if got := metric(t, n, "laurel_raft_refused_total", "term"); got != 4 {
		t.Errorf("%v messages were counted as refused; want 4", got)
	}
	mustPost(t, n, alerts("bard/a", 1, 3))
	g.agree(3)
}

// A response has a term, too, and hashicorp/raft adopts it.
func TestOneResponseCannotExhaustTheTerms(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	m := g.master().member()
	falseReporter := newFakePeer(t, "127.0.0.1:0", "x@x")
	over := m.transport
	go func() {
		for call := range falseReporter.votes {
			vote := &raft.RequestVoteResponse{RPCHeader: falseReporter.header(), Term: math.MaxUint64, Granted: true}
			call.Respond(vote, nil)
		}
	}()
	var answer raft.RequestVoteResponse
	request := &raft.RequestVoteRequest{RPCHeader: falseReporter.header(), Term: m.Epoch()}
	err := over.RequestVote("x@x", falseReporter.addr, request, &answer)
	if err == nil || answer.Term != 0 {
		t.Errorf("the answer was %+v, %v; want an error and no term", answer, err)
	}
}

func TestTermOfTheMajorityIsBelievedAfterALongAbsence(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	late := g.others(g.master())[0]
	late.stop()
	// The others go through more elections than a member believes without asking.
	for _, n := range g.running() {
		n.stop()
	}
	for _, n := range g.nodes {
		if n == late {
			continue
		}
		raiseTerm(t, n, 3*peer.MaxTermStep)
		n.start()
	}
	mustPost(t, g.master(), alerts("bard/a", 1, 1))
	late.start()
	eventually(t, "the member that was away answers", func() error { return late.member().Ready(context.Background()) })
	g.agree(1)
}

// raiseTerm sets the term in the directory of a node that is stopped.
func raiseTerm(t *testing.T, n *node, term uint64) {
	t.Helper()
	store, err := raftboltdb.NewBoltStore(filepath.Join(n.opts.Dir, voteFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.SetUint64([]byte(termKey), term), store.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMemberEndsRatherThanForgetATermOrVote(t *testing.T) {
	t.Parallel()
	for _, key := range []string{termKey, voteTermKey} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 3)
			n := g.others(g.master())[0]
			stable := n.member().storage.Stable
			if err := stable.SetUint64([]byte(key), 50); err != nil {
				t.Fatal(err)
			}
			go stable.SetUint64([]byte(key), 49) // does not return
			checkEndsByContradiction(t, n)
		})
	}
}

// checkEndsByContradiction checks that a node's member ends because of a contradiction.
func checkEndsByContradiction(t *testing.T, n *node) {
	t.Helper()
	why := ended(t, n)
	var e *ContradictionError
	if !errors.As(why, &e) || e.Dir != n.opts.Dir {
		t.Errorf("%s ended with %v", n.opts.ID, why)
	}
}

// A voter whose term is higher than the others believe refuses their lower terms. The
// terms must converge, or the loss of another voter would leave no majority.
func TestVoterWhoseTermIsFarAheadIsCountedAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 1))
	g.agree(1)
	far := g.others(g.master())[0]
	far.stop()
	raiseTerm(t, far, 2*peer.MaxTermStep)
	far.start()
	// The others continue meanwhile. After one of them is lost, the far one is needed.
	master := g.master()
	mustPost(t, master, alerts("bard/a", 2, 1))
	master.stop()
	mustPost(t, far, alerts("bard/a", 3, 1))
	g.agree(3)
}
