package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestMemberEndsRatherThanDropAppliedEntries(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	n := g.others(g.master())[0]
	m := n.member()
	go m.storage.Log.DeleteRange(m.machine.Applied(), entries(m)) // does not return
	checkEndsByContradiction(t, n)
	n.start() // nothing was removed
	g.settle()
	mustPost(t, n, alerts("bard/a", 4, 1))
	g.agree(4)
}

func TestMemberEndsRatherThanReplaceItsLogByAnOlderSnapshot(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	n := g.others(g.master())[0]
	m := n.member()
	applied := m.machine.Applied()
	var e raft.Log
	if err := m.storage.Log.GetLog(applied-1, &e); err != nil {
		t.Fatal(err)
	}
	m.storage.Log.SnapshotStored(e.Index, e.Term)
	go m.storage.Log.DeleteRange(1, entries(m))
	checkEndsByContradiction(t, n)
	n.start()
	g.settle()
	g.agree(3)
}
