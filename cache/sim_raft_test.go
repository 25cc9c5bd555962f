package cache

import "math/bits"

// This file has a compact Raft that grants votes as freely as Raft allows: no candidate
// is refused because a leader is known, and a leader that hears from nobody stays leader.
// Terms, votes and logs are durable. The configuration changes by one member at a time,
// and counts as soon as it is in the log.

type role int

const (
	follower role = iota
	candidate
	leader
)

type logEntry struct {
	term     int
	mask     uint        // the records that it changes; 0 for none
	conf     *config     // the members from here on; nil for no change
	proposer *leadership // whose bard waits for it
}

// config is a set of members and one of voters, with a bit per node.
type config struct{ members, voters uint }

func (c config) majority(of uint) bool {
	return bits.OnesCount(of&c.voters)*2 > bits.OnesCount(c.voters)
}

// raft is the Raft state of a node.
type raft struct {
	term, vote int
	log        []logEntry
	confAt     int // the length of the log up to the latest configuration; 0 for the first one

	role        role
	commit      int
	votes       uint
	next, match []int
	electionAt  float64
}

func (n *node) config() config {
	if n.confAt == 0 {
		return n.w.first
	}
	return *n.log[n.confAt-1].conf
}

func (n *node) logTerm(length int) int {
	if length == 0 {
		return 0
	}
	return n.log[length-1].term
}

func (n *node) appendLog(e logEntry) {
	n.log = append(n.log, e)
	if e.conf != nil {
		n.confAt = len(n.log)
	}
}

func (n *node) truncateLog(length int) {
	n.log = n.log[:length:length]
	for n.confAt > length {
		n.confAt--
	}
	for n.confAt > 0 && n.log[n.confAt-1].conf == nil {
		n.confAt--
	}
}

func (n *node) setTerm(term int) {
	if term > n.term {
		n.term, n.vote = term, -1
		n.follow()
	}
}

// follow ends a leadership. The push protocol may learn of that late.
func (n *node) follow() {
	n.role = follower
	if r := n.leadership; r != nil && !r.ending {
		r.ending = true
		if late := n.w.rand.Float64() * 60; n.w.chance(0.5) {
			n.after(late, r.end)
		} else {
			r.end()
		}
	}
}

func (n *node) resetElection() { n.electionAt = n.w.now + 80 + n.w.rand.Float64()*140 }

func (n *node) raftTick() {
	switch {
	case n.role == leader:
		n.replicate()
	case n.w.now >= n.electionAt:
		n.campaign()
	}
	n.after(10, n.raftTick)
}

func (n *node) campaign() {
	conf := n.config()
	if conf.voters&(1<<n.id) == 0 {
		n.resetElection()
		return
	}
	n.setTerm(n.term + 1)
	n.vote, n.role, n.votes = n.id, candidate, 1<<n.id
	n.resetElection()
	term, length, lastTerm := n.term, len(n.log), n.logTerm(len(n.log))
	for _, v := range n.w.nodes {
		if v == n || conf.voters&(1<<v.id) == 0 {
			continue
		}
		n.w.send(n, v, func() {
			v.setTerm(term)
			mine := v.logTerm(len(v.log))
			if v.term != term || v.vote != -1 && v.vote != n.id {
				return
			}
			if lastTerm < mine || lastTerm == mine && length < len(v.log) {
				return
			}
			v.vote = n.id
			v.resetElection()
			n.w.send(v, n, func() {
				if n.term == term && n.role == candidate {
					n.votes |= 1 << v.id
					n.maybeLead()
				}
			})
		})
	}
	n.maybeLead()
}

func (n *node) maybeLead() {
	if !n.config().majority(n.votes) {
		return
	}
	n.role = leader
	n.next, n.match = make([]int, len(n.w.nodes)), make([]int, len(n.w.nodes))
	for i := range n.next {
		n.next[i] = len(n.log)
	}
	n.appendLog(logEntry{term: n.term})
	n.becomeMaster(len(n.log))
	n.advanceCommit()
	n.replicate()
}

// propose puts an entry into the leader's log.
func (n *node) propose(e logEntry) {
	e.term = n.term
	n.appendLog(e)
	n.advanceCommit()
	n.replicate()
}

func (n *node) replicate() {
	members := n.config().members
	for _, f := range n.w.nodes {
		if f != n && members&(1<<f.id) != 0 {
			n.replicateTo(f)
		}
	}
}

func (n *node) replicateTo(f *node) {
	from := n.next[f.id]
	before, entries := n.logTerm(from), n.log[from:len(n.log):len(n.log)]
	term, commit := n.term, n.commit
	n.w.send(n, f, func() {
		f.setTerm(term)
		ok := f.term == term
		if ok {
			if f.role != follower {
				f.follow()
			}
			f.resetElection()
			ok = f.accept(from, before, entries, commit)
		}
		heard := f.term
		n.w.send(f, n, func() {
			n.setTerm(heard)
			switch {
			case n.role != leader || n.term != term:
			case !ok:
				n.next[f.id] = max(0, min(n.next[f.id], from)-8)
			default:
				n.match[f.id] = max(n.match[f.id], from+len(entries))
				n.next[f.id] = max(n.next[f.id], n.match[f.id])
				n.advanceCommit()
			}
		})
	})
}

// accept appends the leader's entries if they continue the log here.
func (n *node) accept(from, before int, entries []logEntry, commit int) bool {
	if from > len(n.log) || n.logTerm(from) != before {
		return false
	}
	for i, e := range entries {
		if from+i < len(n.log) {
			if n.log[from+i].term == e.term {
				continue
			}
			n.truncateLog(from + i)
		}
		n.appendLog(e)
	}
	n.setCommit(min(commit, from+len(entries)))
	return true
}

func (n *node) advanceCommit() {
	conf := n.config()
	for c := len(n.log); c > n.commit && n.log[c-1].term == n.term; c-- {
		have := uint(1) << n.id
		for i, m := range n.match {
			if m >= c {
				have |= 1 << i
			}
		}
		if conf.majority(have) {
			n.setCommit(c)
			return
		}
	}
}

// setCommit notes what is committed. The state machine applies it a little later.
func (n *node) setCommit(commit int) {
	if commit <= n.commit {
		return
	}
	n.commit = commit
	lag := n.w.rand.ExpFloat64() * 0.5
	if n.role != leader && n.w.chance(0.05) {
		lag += n.w.rand.Float64() * 40
	}
	n.after(lag, n.apply)
}

// apply applies what is committed.
func (n *node) apply() {
	for ; n.appliedTo < n.commit; n.appliedTo++ {
		e := n.log[n.appliedTo]
		if e.mask == 0 {
			continue
		}
		n.revision++
		n.w.noteApplied(n.revision, e.mask)
		if e.proposer != nil && e.proposer == n.leadership {
			e.proposer.unackedWrites = append(e.proposer.unackedWrites, n.revision)
		}
	}
	if n.leadership != nil {
		n.leadership.applied()
	}
}
