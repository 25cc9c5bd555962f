package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/batch"
	"laurel/cluster/raftlog"
	"laurel/fsm/entry"
	"laurel/score"
)

// gate is a log backend whose writes can be delayed or made to fail.
type gate struct {
	raftlog.Backend
	mu   sync.Mutex
	shut chan struct{} // writes wait until it is closed; nil lets them pass
	err  error
	held chan struct{} // gets a value for each write that is held up
}

// behind puts the gate in front of a member's disk; see newGroup.
func (g *gate) behind(o *Options) {
	g.held = make(chan struct{}, 1000)
	o.hooks.wrapBackend = func(b raftlog.Backend) raftlog.Backend {
		g.Backend = b
		return g
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *gate) pass() error {
	g.mu.Lock()
	shut, err := g.shut, g.err
	g.mu.Unlock()
	if shut != nil {
		g.held <- struct{}{}
		<-shut
	}
	return err
}

func (g *gate) StoreLogs(l []*raft.Log) error {
	if err := g.pass(); err != nil {
		return err
	}
	return g.Backend.StoreLogs(l)
}

func (g *gate) SetUint64(k []byte, v uint64) error {
	if err := g.pass(); err != nil {
		return err
	}
	return g.Backend.SetUint64(k, v)
}

func TestPostsThatArriveDuringAWriteShareTheNextEntry(t *testing.T) {
	t.Parallel()
	var slow gate
	g := newGroup(t, 1, slow.behind)
	m := g.nodes[0].member()
	mustPost(t, g.nodes[0], alerts("bard/0", 1, 1))
	before := entries(m)
	slow.close()
	t.Cleanup(slow.open)
	const posts = 200
	var posters sync.WaitGroup
	for i := range posts {
		posters.Go(func() { mustPost(t, g.nodes[0], alerts(fmt.Sprintf("bard/%d", i+1), 1, 1)) })
	}
	<-slow.held
	eventually(t, "all have come", func() error {
		if n := gathered(t, g.nodes[0]) + m.poster.batcher.Waiting(); n < posts+1 {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	slow.open()
	posters.Wait()
	if n := entries(m) - before; n > posts/10 {
		t.Errorf("%d posts took %d entries", posts, n)
	}
	g.agree(posts + 1)
}

// gathered returns the number of events in the batches that the node's member has sent.
func gathered(t testing.TB, n *node) (events int) {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "laurel_gathered_events" {
			events = int(f.GetMetric()[0].GetHistogram().GetSampleSum())
		}
	}
	return events
}

// encoded returns a post of one event of approximately the given size.
func encoded(t testing.TB, size int) entry.EncodedPost {
	t.Helper()
	p := alerts("bard/x", 1, 1)
	p.Events[0].Data.(*score.Alert).Text = strings.Repeat("x", size)
	e, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPostRefusedAfterAnUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	m := g.nodes[0].member()
	attempts := 0
	m.poster.batcher = batch.New(func(posts []*batch.Post) {
		attempts++
		if attempts == 1 {
			batch.Refuse(posts, outcomeUnknown())
			return
		}
		batch.Refuse(posts, score.Problemf(score.RateLimited, "full"))
	}, func(int) {})
	_, err := m.Post(context.Background(), alerts("bard/x", 1, 1))
	refused(t, err, score.OutcomeUnknown)
}

// countedBackend counts the writes to a member's disk.
type countedBackend struct {
	raftlog.Backend
	entries, writes, votes atomic.Int64
}

// behind puts the counter in front of a member's disk; see newGroup.
func (c *countedBackend) behind(o *Options) {
	o.hooks.wrapBackend = func(b raftlog.Backend) raftlog.Backend {
		c.Backend = b
		return c
	}
}

func (c *countedBackend) StoreLogs(l []*raft.Log) error {
	c.entries.Add(int64(len(l)))
	c.writes.Add(1)
	return c.Backend.StoreLogs(l)
}

func (c *countedBackend) Set(k, v []byte) error {
	c.votes.Add(1)
	return c.Backend.Set(k, v)
}

func (c *countedBackend) SetUint64(k []byte, v uint64) error {
	c.votes.Add(1)
	return c.Backend.SetUint64(k, v)
}

// A follower that is behind writes several entries at once. What one write of the log costs on the disk is asserted in
// package raftlog.
func TestAPostIsAtMostOneWriteOfTheLogOnEachVoterAndNoOther(t *testing.T) {
	t.Parallel()
	var disks []*countedBackend
	g := newGroup(t, 3, func(o *Options) {
		c := new(countedBackend)
		disks = append(disks, c)
		c.behind(o)
	})
	const posts = 20
	mustPost(t, g.nodes[0], alerts("bard/0", 1, 1))
	g.agree(1)
	type counts struct{ entries, writes, votes int64 }
	count := func(d *countedBackend) counts { return counts{d.entries.Load(), d.writes.Load(), d.votes.Load()} }
	for first := uint64(2); ; first += posts {
		term := g.master().member().raft.CurrentTerm()
		before := make([]counts, len(disks))
		for i, d := range disks {
			before[i] = count(d)
		}
		for i := range uint64(posts) {
			mustPost(t, g.nodes[0], alerts("bard/0", first+i, 1))
		}
		g.agree(first + posts - 1)
		after := make([]counts, len(disks))
		for i, d := range disks {
			after[i] = count(d)
		}
		if g.master().member().raft.CurrentTerm() != term {
			t.Log("a starved machine has elected another master meanwhile; once more")
			continue
		}
		for i, now := range after {
			if e, w := now.entries-before[i].entries, now.writes-before[i].writes; e != posts || w > posts {
				t.Errorf("disk %d got %d entries in %d writes for %d posts, one after another", i+1, e, w, posts)
			}
			if now.votes != before[i].votes {
				t.Errorf("the votes of disk %d were written %d times", i+1, now.votes-before[i].votes)
			}
		}
		return
	}
}
