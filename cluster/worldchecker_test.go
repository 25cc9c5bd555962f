package cluster

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"maps"
	"math/bits"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// raftChecker checks the promises of Raft at every step of a world, by looking at all
// members from outside:
//
//   - Election safety: a term has at most one leader, a voter votes for one candidate in
//     a term, and its term never goes back.
//   - Log matching: if two logs have an entry of the same index and term, it is the same
//     entry, and so is the one before it. Logs of members that were killed since count,
//     too.
//   - State machine safety: the same entry is applied at an index everywhere, a member's
//     applied index does not go back, and no applied entry is removed from the end of a
//     log.
//   - Leader completeness: a leader has each entry that was applied in an earlier term.
//   - Liveness, if the plan limits it: a majority whose members reach each other has a
//     leader.
//
// It checks at each write of a log and every checkInterval. Most violations last, but not
// all, so the world ends at the first one.
type raftChecker struct {
	w    *world
	seed maphash.Seed

	mu              sync.Mutex
	entries         map[position]storedEntry
	applied         map[uint64]appliedEntry
	highest         uint64 // of applied
	leaders         map[uint64]string
	members         map[*worldMember]*memberState
	leaderlessSince map[int]time.Time // since when a majority, a bit set of w.nodes, has had no leader
}

const checkInterval = 2 * time.Millisecond

type position struct{ index, term uint64 }

type storedEntry struct {
	digest   uint64
	previous uint64 // term of the entry before it; 0 if unknown
	by       string
}

type appliedEntry struct {
	term, digest uint64
	// known is the term of the member that applied it first. It was committed in that
	// term or an earlier one.
	known uint64
	by    string
}

// memberState is what the checker knows of one process.
type memberState struct {
	applied  uint64
	leads    uint64 // the term that it leads; 0 if it does not
	complete uint64 // the leader's log was checked up to this entry
}

func newRaftChecker(w *world) *raftChecker {
	return &raftChecker{w: w, seed: maphash.MakeSeed(),
		entries: map[position]storedEntry{}, applied: map[uint64]appliedEntry{},
		leaders: map[uint64]string{}, members: map[*worldMember]*memberState{}, leaderlessSince: map[int]time.Time{}}
}

func (c *raftChecker) violation(format string, args ...any) {
	c.w.problems.addf("BROKEN: "+format, args...)
}

func (c *raftChecker) digest(e *raft.Log) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteByte(byte(e.Type))
	h.Write(e.Data)
	h.WriteByte(0)
	h.Write(e.Extensions)
	return h.Sum64()
}

// stored checks entries that a member stores.
func (c *raftChecker) stored(n *worldNode, list []*raft.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var before raft.Log
	if n.log.GetLog(list[0].Index-1, &before) != nil {
		before.Term = 0
	}
	previous := before.Term
	for _, e := range list {
		at, one := position{e.Index, e.Term}, storedEntry{c.digest(e), previous, n.id}
		was, there := c.entries[at]
		switch {
		case !there:
		case was.digest != one.digest:
			c.violation("%s stores another entry %d of term %d than %s", n.id, e.Index, e.Term, was.by)
		case was.previous != 0 && previous != 0 && was.previous != previous:
			c.violation("%s has an entry of term %d before entry %d of term %d, and %s one of term %d",
				n.id, previous, e.Index, e.Term, was.by, was.previous)
		}
		if !there || was.previous == 0 {
			c.entries[at] = one
		}
		previous = e.Term
	}
}

// shortened checks the removal of entries from the end of a log.
func (c *raftChecker) shortened(m *worldMember, from, to uint64) {
	first, err := m.node.log.FirstIndex()
	if err != nil || from <= first {
		return
	}
	if applied := m.machine.Applied(); from <= applied && !m.crashed.Load() {
		c.violation("%s removes the entries %d to %d from the end of its log, and has applied them up to %d",
			m.node.id, from, to, applied)
	}
}

// forgetUntold forgets the votes of a node in terms that no other one has heard of: they
// count nowhere, so it may forget them, too.
func (c *raftChecker) forgetUntold(n *worldNode) {
	heard := uint64(0)
	for _, m := range c.w.up() {
		heard = max(heard, m.Epoch())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(n.votes, func(term uint64, _ string) bool { return term > heard })
}

// voted checks a vote that a member writes.
func (c *raftChecker) voted(n *worldNode, term uint64, candidate []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, there := n.votes[term]; there && was != string(candidate) {
		c.violation("%s votes in term %d for %s and for %s", n.id, term, was, candidate)
	}
	n.votes[term] = string(candidate)
}

// watch checks all members until the world is over.
func (c *raftChecker) watch() {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for i := 0; !c.w.over.Load(); i++ {
		<-tick.C
		for _, m := range c.w.up() {
			c.check(m)
		}
		if i%20 == 0 && c.w.plan.maxLeaderless > 0 && !c.w.quiet.Load() {
			c.checkLiveness()
		}
	}
}

// check checks one member.
func (c *raftChecker) check(m *worldMember) {
	term := m.raft.CurrentTerm()
	leads := m.raft.State() == raft.Leader && m.raft.CurrentTerm() == term
	installing := m.installing()
	applied := m.machine.Applied()
	installing = installing || m.installing()
	if m.crashed.Load() {
		return // it may have applied entries that only seemed to be stored
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.members[m]
	if s == nil {
		s = &memberState{}
		c.members[m] = s
	}
	if !installing { // otherwise the log may still have entries that the snapshot replaces
		c.checkApplied(m, s, term, applied)
	}
	switch {
	case leads && s.leads != term:
		if was, there := c.leaders[term]; there && was != m.node.id {
			c.violation("%s and %s are leaders of term %d", was, m.node.id, term)
		}
		c.leaders[term] = m.node.id
		c.w.history.count(countLeaders)
		s.leads, s.complete = term, 0
	case !leads && s.leads != 0:
		s.leads = 0
		c.w.history.count(countDeposed)
	}
	if leads {
		c.checkLeader(m, s, term)
	}
}

// installing reports whether Raft is installing a snapshot of the master.
func (m *worldMember) installing() bool {
	return m.storage.Snapshots.Installing()
}

func (c *raftChecker) checkApplied(m *worldMember, s *memberState, term, applied uint64) {
	if applied < s.applied {
		c.violation("%s had applied entry %d, and has now applied up to %d", m.node.id, s.applied, applied)
		s.applied = applied
	}
	first, err := m.node.log.FirstIndex()
	if err != nil || first == 0 {
		s.applied = applied
		return
	}
	var e raft.Log
	for i := max(s.applied+1, first); i <= applied; i++ {
		if m.node.log.GetLog(i, &e) != nil {
			continue // applied by a snapshot
		}
		one := appliedEntry{e.Term, c.digest(&e), term, m.node.id}
		was, there := c.applied[i]
		switch {
		case !there:
			c.applied[i] = one
			c.highest = max(c.highest, i)
		case was.term != one.term || was.digest != one.digest:
			c.violation("%s has applied entry %d of term %d, and %s another one of term %d",
				one.by, i, one.term, was.by, was.term)
		}
	}
	s.applied = applied
}

func (c *raftChecker) checkLeader(m *worldMember, s *memberState, term uint64) {
	first, err := m.node.log.FirstIndex()
	if err != nil {
		return
	}
	var e raft.Log
	for i := max(s.complete+1, first); i <= c.highest; i++ {
		one, there := c.applied[i]
		if !there || one.known >= term {
			continue // committed in this term, or in a later one that this leader may not know of
		}
		switch err := m.node.log.GetLog(i, &e); {
		case err != nil && first == 0 && i <= m.raft.LastIndex(): // in a snapshot
		case err != nil:
			c.violation("%s is the leader of term %d and lacks entry %d, which %s had applied in term %d",
				m.node.id, term, i, one.by, one.known)
		case e.Term != one.term || c.digest(&e) != one.digest:
			c.violation("%s is the leader of term %d and has another entry %d than %s had applied in term %d",
				m.node.id, term, i, one.by, one.known)
		}
	}
	s.complete = c.highest
}

// checkLiveness checks that there has been a leader within the plan's limit, if the
// members of a majority run and reach each other. The leader need not be one of them: it
// steps down if it does not reach a majority.
func (c *raftChecker) checkLiveness() {
	nodes := c.w.list()
	up := make([]*worldMember, len(nodes))
	leads := false
	for i, n := range nodes {
		m := n.now.Load()
		if m == nil || m.crashed.Load() || c.w.net.isPaused(n.id) {
			continue
		}
		up[i] = m
		leads = leads || m.raft.State() == raft.Leader
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for set := 1; set < 1<<len(nodes); set++ {
		if bits.OnesCount(uint(set)) <= len(nodes)/2 {
			continue
		}
		if leads || !c.w.connected(nodes, up, set) {
			delete(c.leaderlessSince, set)
			continue
		}
		from, there := c.leaderlessSince[set]
		if !there {
			c.leaderlessSince[set] = time.Now()
		} else if lasted := time.Since(from); lasted > c.w.plan.maxLeaderless {
			c.violation("the majority %b of %d has had no leader for %v, but its members reach each other",
				set, len(nodes), lasted)
			delete(c.leaderlessSince, set)
		}
	}
}

// connected reports whether all members of a set run and reach each other.
func (w *world) connected(nodes []*worldNode, up []*worldMember, set int) bool {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	for i, a := range nodes {
		if set&(1<<i) == 0 {
			continue
		}
		if up[i] == nil {
			return false
		}
		for j, b := range nodes {
			if i != j && set&(1<<j) != 0 && w.net.cuts[link{a.id, b.id}] > 0 {
				return false
			}
		}
	}
	return true
}

// sameStates returns how the state machines differ, "" if they are equal.
func (w *world) sameStates(list []*worldMember) (why string) {
	var first bytes.Buffer
	for i, m := range list {
		var b bytes.Buffer
		s, err := m.machine.Snapshot()
		if err == nil {
			err = s.Write(&b)
			s.Release()
		}
		switch {
		case err != nil:
			return fmt.Sprintf("the state of %s cannot be read: %v", m.node.id, err)
		case i == 0:
			first = b
		case !bytes.Equal(first.Bytes(), b.Bytes()):
			return fmt.Sprintf("%s and %s have different states, of %d and %d bytes",
				list[0].node.id, m.node.id, first.Len(), b.Len())
		}
	}
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	w.history.counts[countStateBytes] = max(w.history.counts[countStateBytes], first.Len())
	w.history.counts[countStates] += len(list)
	return ""
}

// The counts of raftChecker.
const (
	countLeaders    = "leaders"
	countDeposed    = "leaders deposed"
	countStates     = "states compared"
	countStateBytes = "bytes of the largest state"
)
