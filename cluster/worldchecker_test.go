package cluster

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// checker checks at every step of a world what Raft promises, by looking at all members from
// outside:
//
//   - Election safety: a term has at most one leader, a voter votes for one candidate in a term,
//     and its term never goes back.
//   - Log Matching: two logs that have an entry of one index and one term have the same entry, and
//     the same one before it. Logs of members that were killed since count too.
//   - State machine safety: an index is applied as the same entry everywhere, what a member has
//     applied it does not take back, and no applied entry is removed from the end of a log.
//   - Leader completeness: a leader has each entry that was applied in an earlier term.
//   - Liveness, where the plan says so: a majority whose members reach each other has a leader.
//
// It looks at each write of a log and every lookPause between. What is wrong once stays wrong
// mostly, but not always, so the world ends at the first finding.
type raftChecker struct {
	w    *world
	seed maphash.Seed

	mu              sync.Mutex
	entries         map[position]storedEntry
	applied         map[uint64]appliedEntry
	highest         uint64 // of applied
	leaders         map[uint64]string
	members         map[*worldMember]*memberState
	leaderlessSince map[int]time.Time // since when a majority, a bit set of w.nodes, lacks a leader
}

const checkInterval = 2 * time.Millisecond

type position struct{ index, term uint64 }

type storedEntry struct {
	digest   uint64
	previous uint64 // term of the entry before it; 0 if it is not known
	by       string
}

type appliedEntry struct {
	term, digest uint64
	// known is the term of the member that applied it first: it was committed in this term or
	// before.
	known uint64
	by    string
}

// memberState is what ledger knows of one process.
type memberState struct {
	applied  uint64
	leads    uint64 // the term that it leads; 0 if it does not
	complete uint64 // the entries that were looked for in the leader's log
}

func newRaftChecker(w *world) *raftChecker {
	return &raftChecker{w: w, seed: maphash.MakeSeed(),
		entries: map[position]storedEntry{}, applied: map[uint64]appliedEntry{},
		leaders: map[uint64]string{}, members: map[*worldMember]*memberState{}, leaderlessSince: map[int]time.Time{}}
}

func (l *raftChecker) violation(format string, args ...any) {
	l.w.problems.addf("BROKEN: "+format, args...)
}

func (l *raftChecker) digest(e *raft.Log) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.WriteByte(byte(e.Type))
	h.Write(e.Data)
	h.WriteByte(0)
	h.Write(e.Extensions)
	return h.Sum64()
}

// stored checks entries that a member writes to its log.
func (l *raftChecker) stored(n *worldNode, list []*raft.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var before raft.Log
	if n.log.GetLog(list[0].Index-1, &before) != nil {
		before.Term = 0
	}
	previous := before.Term
	for _, e := range list {
		at, one := position{e.Index, e.Term}, storedEntry{l.digest(e), previous, n.id}
		was, there := l.entries[at]
		switch {
		case !there:
		case was.digest != one.digest:
			l.violation("%s stores another entry %d of term %d than %s", n.id, e.Index, e.Term, was.by)
		case was.previous != 0 && previous != 0 && was.previous != previous:
			l.violation("%s has an entry of term %d before entry %d of term %d, and %s one of term %d",
				n.id, previous, e.Index, e.Term, was.by, was.previous)
		}
		if !there || was.previous == 0 {
			l.entries[at] = one
		}
		previous = e.Term
	}
}

// shortened checks the removal of entries from the end of a log.
func (l *raftChecker) shortened(m *worldMember, from, to uint64) {
	first, err := m.node.log.FirstIndex()
	if err != nil || from <= first {
		return
	}
	if applied := m.machine.Applied(); from <= applied && !m.crashed.Load() {
		l.violation("%s removes the entries %d to %d from the end of its log, and has applied them up to %d",
			m.node.id, from, to, applied)
	}
}

// voted checks a vote that a member writes.
func (l *raftChecker) voted(n *worldNode, term uint64, candidate []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, there := n.votes[term]; there && was != string(candidate) {
		l.violation("%s votes in term %d for %s and for %s", n.id, term, was, candidate)
	}
	n.votes[term] = string(candidate)
}

// watch looks at all members until the world is over.
func (l *raftChecker) watch() {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for i := 0; !l.w.over.Load(); i++ {
		<-tick.C
		for _, m := range l.w.up() {
			l.look(m)
		}
		if i%20 == 0 && l.w.plan.maxLeaderless > 0 && !l.w.quiet.Load() {
			l.checkLiveness()
		}
	}
}

// look checks one member.
func (l *raftChecker) look(m *worldMember) {
	term := m.raft.CurrentTerm()
	leads := m.raft.State() == raft.Leader && m.raft.CurrentTerm() == term
	installing := m.installing()
	applied := m.machine.Applied()
	installing = installing || m.installing()
	if m.crashed.Load() {
		return // it may have applied what only seemed to be stored
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.members[m]
	if s == nil {
		s = &memberState{}
		l.members[m] = s
	}
	if !installing { // else the log may still have what the snapshot replaces
		l.checkApplied(m, s, term, applied)
	}
	switch {
	case leads && s.leads != term:
		if was, there := l.leaders[term]; there && was != m.node.id {
			l.violation("%s and %s are leaders of term %d", was, m.node.id, term)
		}
		l.leaders[term] = m.node.id
		l.w.history.count(countLeaders)
		s.leads, s.complete = term, 0
	case !leads && s.leads != 0:
		s.leads = 0
		l.w.history.count(countDeposed)
	}
	if leads {
		l.checkLeader(m, s, term)
	}
}

// installing reports whether Raft has a snapshot of the master to install.
func (m *worldMember) installing() bool {
	return m.storage.Snapshots().Installing()
}

func (l *raftChecker) checkApplied(m *worldMember, s *memberState, term, applied uint64) {
	if applied < s.applied {
		l.violation("%s had applied entry %d, and has now applied up to %d", m.node.id, s.applied, applied)
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
			continue // it came with a snapshot
		}
		one := appliedEntry{e.Term, l.digest(&e), term, m.node.id}
		was, there := l.applied[i]
		switch {
		case !there:
			l.applied[i] = one
			l.highest = max(l.highest, i)
		case was.term != one.term || was.digest != one.digest:
			l.violation("%s has applied entry %d of term %d, and %s another one of term %d",
				one.by, i, one.term, was.by, was.term)
		}
	}
	s.applied = applied
}

func (l *raftChecker) checkLeader(m *worldMember, s *memberState, term uint64) {
	first, err := m.node.log.FirstIndex()
	if err != nil {
		return
	}
	var e raft.Log
	for i := max(s.complete+1, first); i <= l.highest; i++ {
		one, there := l.applied[i]
		if !there || one.known >= term {
			continue // committed in this term, or in a later one, of which this leader may know nothing
		}
		switch err := m.node.log.GetLog(i, &e); {
		case err != nil && first == 0 && i <= m.raft.LastIndex(): // it stands in a snapshot
		case err != nil:
			l.violation("%s is the leader of term %d and lacks entry %d, which %s had applied in term %d",
				m.node.id, term, i, one.by, one.known)
		case e.Term != one.term || l.digest(&e) != one.digest:
			l.violation("%s is the leader of term %d and has another entry %d than %s had applied in term %d",
				m.node.id, term, i, one.by, one.known)
		}
	}
	s.complete = l.highest
}

// checkLiveness checks that there has been a leader within the plan's limit, if a majority of the
// members runs and reaches each other. The leader may be none of these: one that does not reach a
// majority steps down.
func (l *raftChecker) checkLiveness() {
	nodes := l.w.list()
	up := make([]*worldMember, len(nodes))
	leads := false
	for i, n := range nodes {
		m := n.now.Load()
		if m == nil || m.crashed.Load() || l.w.net.isPaused(n.id) {
			continue
		}
		up[i] = m
		leads = leads || m.raft.State() == raft.Leader
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for set := 1; set < 1<<len(nodes); set++ {
		if bits.OnesCount(uint(set)) <= len(nodes)/2 {
			continue
		}
		if leads || !l.w.connected(nodes, up, set) {
			delete(l.leaderlessSince, set)
			continue
		}
		from, there := l.leaderlessSince[set]
		if !there {
			l.leaderlessSince[set] = time.Now()
		} else if lasted := time.Since(from); lasted > l.w.plan.maxLeaderless {
			l.violation("the majority %b of %d has had no leader for %v, and its members reach each other",
				set, len(nodes), lasted)
			delete(l.leaderlessSince, set)
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

// sameStates returns why the state machines are not equal, "" if they are.
func (w *world) sameStates(list []*worldMember) (why string) {
	var first bytes.Buffer
	for i, m := range list {
		var b bytes.Buffer
		s, err := m.machine.Snapshot()
		if err == nil {
			_, err = s.WriteTo(&b)
			s.Close()
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

// What ledger counts.
const (
	countLeaders    = "leaders"
	countDeposed    = "leaders deposed"
	countStates     = "states compared"
	countStateBytes = "bytes of the largest state"
)
