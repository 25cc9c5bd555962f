package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/fsm/entry"
)

func headerOf(m *Member) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(m.self), Addr: []byte(m.Peer())}
}

func TestACorruptMasterAddsNoServerThatNoOperatorHasSignedIn(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	master, n := g.master().member(), g.others(g.master())[0].member()
	last := entries(n)
	c := raft.Configuration{Servers: append(slices.Clone(n.servers()), raft.Server{Suffrage: raft.Voter, ID: "x@x", Address: "127.0.0.1:1"})}
	var answer raft.AppendEntriesResponse
	err := master.transport.AppendEntries(n.self, raft.ServerAddress(n.Peer()), &raft.AppendEntriesRequest{
		RPCHeader: headerOf(master), Term: n.Epoch(), PrevLogEntry: last, PrevLogTerm: n.source.Status("").LogTerm,
		Entries: []*raft.Log{{
			Index: last + 1, Term: n.Epoch(), Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c),
		}},
	}, &answer)
	if err == nil || answer.Success || len(n.servers()) != 4 {
		t.Errorf("the answer is %+v, %v, and there are %d members", answer, err, len(n.servers()))
	}
	g.settle()
}

// It gets the signature and the configuration in one message.
func TestAFrontendThatWasDownTakesAServerThatWasSignedInMeanwhile(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	away := g.nodes[3]
	away.stop()
	g.addSworn().start()
	eventually(t, "the group has five members", func() error {
		if got := len(g.master().member().servers()); got != 5 {
			return fmt.Errorf("it has %d", got)
		}
		return nil
	})
	away.start()
	g.settle()
}

func TestNoSnapshotOfAnotherHistoryReplacesWhatWasApplied(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	post, err := entry.EncodePost(alerts("bard/liar", 1, 5))
	if err != nil {
		t.Fatal(err)
	}
	state := snapshotAfter(t, entry.Encode([]entry.EncodedPost{post}))
	master, n := g.master().member(), g.others(g.master())[0].member()
	var answer raft.InstallSnapshotResponse
	err = master.transport.InstallSnapshot(n.self, raft.ServerAddress(n.Peer()), &raft.InstallSnapshotRequest{
		RPCHeader: headerOf(master), SnapshotVersion: raft.SnapshotVersionMax, Term: n.Epoch(),
		LastLogIndex: n.machine.Applied(), LastLogTerm: n.Epoch() - 1, ConfigurationIndex: 1, Size: int64(len(state)),
		Configuration: raft.EncodeConfiguration(n.raft.GetConfiguration().Configuration()),
	}, &answer, bytes.NewReader(state))
	if err == nil || answer.Success || n.machine.Revision() != 3 {
		t.Errorf("the answer is %+v, %v, and the revision %d", answer, err, n.machine.Revision())
	}
	mustPost(t, g.master(), alerts("bard/a", 4, 1))
	g.agree(4)
}
