package standing

import (
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/witness"
)

// Unelected is the fault of a frontend that acts as the master of a term in which a majority
// cannot have voted for it. Raft's followers believe any voter that says it leads.
const Unelected witness.Fault = "unelected"

// quietTime is after how long, at a time scale of 1, a master that has brought no entry of its
// term is judged without one. An honest one brings an entry at once.
const quietTime = 5 * time.Second

// maxLiars is the number of frontends whose word is not believed.
const maxLiars = 1

// acting is who acts as the master of a term, as seen here since some time.
//
// A member that is asked after that time, and says that it has given no vote in the term, or
// to another candidate, has not elected this master: an honest master acts after it has got
// the votes of a majority, a member remembers a vote before it sends it, and it gives one
// vote in a term. So it does not matter whether the member has reached the term, or gives its
// vote later. A member that was asked before, or has forgotten how it voted, says nothing. A
// pre-vote is no vote, a candidate's own is one, and a transfer of leadership is an election
// like others.
type acting struct {
	term  uint64
	name  string
	since time.Time
}

// unelected reports whether the master cannot have been elected by the voters, even if one of
// those who say so lies. votes returns what a voter says.
//
// Raft stores a candidate's address. One that no other voter has may be a new one of the
// master's.
func (a *acting) unelected(voters []raft.Server, votes func(raft.ServerID) raftlog.Votes) bool {
	masters := func(s raft.Server) bool { return peer.MemberID(s.ID) == a.name }
	others := slices.DeleteFunc(slices.Clone(voters), masters)
	if len(others) == len(voters) {
		return false // it was elected by others than these
	}
	against := 0
	for _, s := range others {
		candidate, known := votes(s.ID).In(a.term)
		isCandidate := func(o raft.Server) bool { return string(o.Address) == candidate }
		if known && (candidate == "" || slices.ContainsFunc(others, isCandidate)) {
			against++
		}
	}
	return len(voters)-against+maxLiars < len(voters)/2+1
}

// electors returns the voters by whom the acting master was elected if it was; nil if they are
// not known.
//
// An honest master that stays without an entry of its term here has a log that this frontend
// lacks the end of, and that may change the voters. So the present ones count only if nobody
// else knows of a later configuration.
func (e *Enforcer) electors() []raft.Server {
	a := &e.acting
	voters := e.Origins.Electors(a.term, a.name)
	if voters != nil || time.Since(a.since) < e.Scale(quietTime) {
		return voters
	}
	last, err := e.Store.Log.LastIndex()
	if term := e.Origins.termOf(last); err != nil || term == 0 || term >= a.term {
		return nil
	}
	return e.Voters(a.name)
}

// unelected returns the verdict against a master that was not elected; none if it may have been.
func (e *Enforcer) unelected() []witness.Verdict {
	a := &e.acting
	if a.name == "" || a.name == e.Self {
		return nil
	}
	votes := func(id raft.ServerID) raftlog.Votes {
		if peer.MemberID(id) == e.Self {
			return e.Store.Votes()
		}
		if votes, asked := e.Votes(id); asked.After(a.since) {
			return votes
		}
		return raftlog.Votes{}
	}
	if !a.unelected(e.electors(), votes) {
		return nil
	}
	_, next := e.Machine.Rounds().Unsealed()
	return []witness.Verdict{{Frontend: a.name, Fault: Unelected, Size: next}}
}
