package cluster

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
)

// hashicorp/raft panics if it cannot decode a configuration, and does not check entries.
func TestMessageThatWouldMakeRaftPanicIsRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, steady)
	n := g.others(g.master())[0]
	m := n.member()
	falseReporter := newFakePeer(t, "127.0.0.1:0", "x@x")
	to, at := m.self, peer.Address(m.self, raft.ServerAddress(m.Peer()))
	last, term := entries(m), m.Epoch()
	entry := func(index uint64, kind raft.LogType, data string) *raft.Log {
		return &raft.Log{Index: index, Term: term, Type: kind, Data: []byte(data)}
	}
	for what, list := range map[string][]*raft.Log{
		"an invalid configuration":                        {entry(last+1, raft.LogConfiguration, "\xff\xff\xff")},
		"a change of members of old":                      {entry(last+1, raft.LogAddPeerDeprecated, "x")},
		"an entry of an unknown type":                     {entry(last+1, 77, "")},
		"an entry of a later term":                        {{Index: last + 1, Term: term + 1, Type: raft.LogNoop}},
		"an entry of an earlier term than the one before": {{Index: last + 1, Term: term - 1, Type: raft.LogNoop}},
		"no entry":                        {nil},
		"an entry behind a gap":           {entry(last+2, raft.LogNoop, "")},
		"two entries of the same index":   {entry(last+1, raft.LogNoop, ""), entry(last+1, raft.LogNoop, "")},
		"an entry of the index 0":         {entry(0, raft.LogNoop, "")},
		"a command of a newer version":    {entry(last+1, raft.LogCommand, "\xc8\x01")},
		"a command that is cut off":       {entry(last+1, raft.LogCommand, "\x03\x0a\x09")},
		"a later entry before an earlier": {entry(last+2, raft.LogNoop, ""), entry(last+1, raft.LogNoop, "")},
	} {
		request := &raft.AppendEntriesRequest{
			RPCHeader: falseReporter.header(), Term: term, PrevLogEntry: last, PrevLogTerm: term, Entries: list,
		}
		if err := falseReporter.over.AppendEntries(to, at, request, new(raft.AppendEntriesResponse)); err == nil {
			t.Errorf("%s was answered", what)
		}
	}
	body := "not a state"
	for what, change := range map[string]func(*raft.InstallSnapshotRequest){
		"an invalid configuration": func(r *raft.InstallSnapshotRequest) { r.Configuration = []byte("\xff\xff") },
		"an unknown version":       func(r *raft.InstallSnapshotRequest) { r.SnapshotVersion = 7 },
		"an old version":           func(r *raft.InstallSnapshotRequest) { r.SnapshotVersion = 0 },
		"an invalid state":         func(*raft.InstallSnapshotRequest) {},
		"a body that is cut off":   func(r *raft.InstallSnapshotRequest) { r.Size-- },
	} {
		request := &raft.InstallSnapshotRequest{
			RPCHeader: falseReporter.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: term,
			LastLogIndex: last + 100, LastLogTerm: term, ConfigurationIndex: 1,
			Configuration: raft.EncodeConfiguration(raft.Configuration{}), Size: int64(len(body)),
		}
		change(request)
		var answer raft.InstallSnapshotResponse
		err := falseReporter.over.InstallSnapshot(
			to, at, request, &answer, io.LimitReader(strings.NewReader(body), request.Size))
		if err == nil && answer.Success {
			t.Errorf("a snapshot with %s was taken", what)
		}
	}
	request := &raft.RequestVoteRequest{
		RPCHeader: falseReporter.header(), Term: term + 1, LastLogIndex: last, LastLogTerm: term + 1,
		LeadershipTransfer: true,
	}
	if err := falseReporter.over.RequestVote(to, at, request, new(raft.RequestVoteResponse)); err == nil {
		t.Error("a request for a vote was answered whose log ends in its own term")
	}
	mustPost(t, n, alerts("bard/a", 1, 3))
	g.agree(3)
}

func TestOnlyTheFollowedLeaderMakesAMemberStandForElection(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	falseReporter := newFakePeer(t, "127.0.0.1:0", "x@x")
	requests := uint64(0)
	// On a busy machine, a member may stand for election for a reason of its own.
	eventually(t, "the epoch stays while members are asked to stand for election", func() error {
		requests++
		epoch := g.master().member().raft.CurrentTerm()
		for _, n := range g.nodes {
			id := n.member().self
			at := peer.Address(id, raft.ServerAddress(n.member().Peer()))
			request := &raft.TimeoutNowRequest{RPCHeader: falseReporter.header()}
			if err := falseReporter.over.TimeoutNow(id, at, request, new(raft.TimeoutNowResponse)); err == nil {
				t.Fatalf("%s stands for election for anybody", n.opts.ID)
			}
			if got := metric(t, n, "laurel_raft_refused_total", "transfer"); got != float64(requests) {
				t.Fatalf("%s counts %v refusals of %d", n.opts.ID, got, requests)
			}
		}
		mustPost(t, g.master(), alerts("bard/a", 3*requests-2, 3))
		if got := g.master().member().raft.CurrentTerm(); got != epoch {
			return fmt.Errorf("it was %d and is %d", epoch, got)
		}
		return nil
	})
}
