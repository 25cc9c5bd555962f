package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Raft's own word that an entry is committed takes minutes here, so what the followers answer they know from the master's stream.
func TestAReaderOfWhatHasJustChangedDoesNotWaitForRaftToTellOfTheCommit(t *testing.T) {
	slow := false
	g := newGroup(t, 3, func(o *Options) {
		o.tune = func(c *raft.Config) {
			if slow {
				c.CommitTimeout = 10 * time.Minute
			}
		}
	})
	// The group has formed; from now on each member is slow with its word.
	slow = true
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	for i := range 20 {
		results, err := mustPost(t, g.master(), alerts("bard/a", uint64(i+1), 1)), error(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			revision, err := read(ctx, n.member())
			cancel()
			if err != nil || revision < results[0].Revision {
				t.Fatalf("%s: got revision %d (%v) after %d was acked", n.opts.ID, revision, err, results[0].Revision)
			}
		}
	}
}

// What a master that is deposed says to be committed may be an entry of the next term. A follower
// that has another entry there must not take that for committed.
func TestAFollowerTakesForCommittedOnlyTheEntryThatTheMasterNamed(t *testing.T) {
	w := newNetwork(t)
	patience := false
	g := newGroup(t, 3, w.between, func(o *Options) {
		o.tune = func(c *raft.Config) {
			if patience { // it does not see by itself that it is cut off
				c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = patient, patient, patient
			}
		}
	})
	old := g.nodes[0]
	old.stop()
	patience = true
	old.start()
	eventually(t, "it is the master", func() error {
		if old.member().Master() {
			return nil
		}
		g.master().member().Transfer(context.Background(), old.opts.ID)
		return errors.New("it is not")
	})
	mustPost(t, old, alerts("bard/a", 1, 3))
	g.agree(3)
	others := g.others(old)
	w.apart(old, others[0])
	w.apart(old, others[1])
	m := old.member()
	committed1 := entries(m)
	posting, stop := context.WithCancel(context.Background())
	defer stop()
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		m.Post(posting, alerts("bard/lost", 1, 3))
	}()
	eventually(t, "the master that is cut off has an entry that is not committed", func() error {
		if entries(m) == committed1 {
			return errors.New("it has not")
		}
		return nil
	})
	tail := entries(m)
	var c *node
	eventually(t, "there is another master", func() error {
		for _, n := range others {
			if n.member().Master() {
				c = n
				return nil
			}
		}
		return errors.New("there is none")
	})
	results := mustPost(t, c, alerts("bard/b", 1, 3))
	hint := c.member().appliedEntry()
	if hint.term != c.member().Epoch() || hint.index < tail {
		t.Fatalf("the master of epoch %d names the entry %+v; want one of its own at %d or behind", c.member().Epoch(), hint, tail)
	}
	// The old master stands for a follower of its term: it has another entry at tail, and hears
	// on a stream of its own epoch what the later master applied there.
	epoch := m.Epoch()
	follower := &Member{opts: m.opts, ctx: m.ctx, stopped: m.stopped, raft: m.raft, storage: m.storage, commits: newCommits(), inbound: m.inbound, transport: m.transport}
	follower.storage = &storage{serverID: "another", history: m.storage.history}
	follower.commits.hear(epoch, committed{tail, hint.term})
	for !follower.tellCommitted() {
	}
	if got := m.raft.CommitIndex(); got >= tail {
		t.Errorf("entry %d of term %d is taken for committed; committed there is one of term %d", tail, epoch, hint.term)
	}
	stop() // so that it is not posted again
	<-posted
	w.heal()
	g.agree(results[len(results)-1].Revision)
	if got := timeline(t, m); got["bard/lost-1"] != 0 {
		t.Error("an event that was never committed is applied")
	}
}
