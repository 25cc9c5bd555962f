package status

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
)

// Held is the newest entry that a member's log was heard to hold.
type Held struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

// newerThan reports whether a log that ends with h is newer than one that ends with other.
// Raft compares logs in this way.
func (h Held) newerThan(other Held) bool {
	return cmp.Or(cmp.Compare(h.Term, other.Term), cmp.Compare(h.Index, other.Index)) > 0
}

// heldBy returns the newest entry that another member's log holds by its status, and that
// is committed: it has applied the entry, or this member has.
func (s *Source) heldBy(other Status) Held {
	if other.LogIndex <= s.Machine.Applied() && other.LogTerm > 0 && s.termAt(other.LogIndex) == other.LogTerm {
		return Held{other.LogIndex, other.LogTerm}
	}
	return Held{other.Applied, other.AppliedTerm}
}

// termAt returns the term of an entry of the log; 0 if the log does not have it.
func (s *Source) termAt(index uint64) uint64 {
	var e raft.Log
	if index == 0 || s.Store.Log.GetLog(index, &e) != nil {
		return 0
	}
	return e.Term
}

// hold remembers that a member's log holds an entry.
func (r *Reports) hold(id raft.ServerID, h Held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.Term > 0 && h.Index > r.held[id].Index {
		r.held[id] = h
	}
}

// Hold remembers that a member's log holds an entry, by a message of Raft.
func (r *Reports) Hold(id raft.ServerID, index, term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := (Held{index, term}); h.newerThan(r.logged[id]) {
		r.logged[id] = h
	}
}

// HeldBy returns the newest entry that another member's log was heard to hold since this
// process began; nil if there is none. A majority may hold an entry that no status tells
// of yet, but that was acknowledged: Raft's messages tell of it. If it was not committed,
// a later leader may have removed it, from this member's log too.
func (s *Source) HeldBy(id raft.ServerID) *Held {
	s.Reports.mu.Lock()
	committed, logged := s.Reports.held[id], s.Reports.logged[id]
	s.Reports.mu.Unlock()
	switch {
	case logged.newerThan(committed) && s.holds(logged):
		return &logged
	case committed.Index > 0:
		return &committed
	}
	return nil
}

// VoteGate keeps this member out of elections while it may have forgotten entries that it
// acknowledged: an old copy of its directory was put back. A majority that counted such an
// entry as stored could otherwise be outvoted with the help of the member that forgot it.
//
// Each member remembers the newest entry that it heard each other one to hold, from Raft's
// messages and from its status, and tells it so with its own status. A running member
// forgets nothing, so only one that has just started has to ask. It takes part in elections
//
//   - when it follows a master, and has applied what that master had applied when it asked:
//     its log has all that was committed before, whatever others say; or
//   - when each other voter has answered, or cannot remember since no process listens
//     there, or some time has passed; unless a voter heard it hold an entry that its log lacks.
//
// It takes part in no election of a term that one of them had heard of when it answered: it
// may have voted in it, and a vote that counted was heard of by somebody.
//
// A member of a sworn group that has gone back has left entries on purpose, and does not
// count them; see raftlog.Return. One that kept nothing takes part in no election until that
// is settled.
//
// A member that forgot waits for a master, which the others must elect without it. The
// word of one voter is enough, because often only one knows. So a voter that lies can
// keep a voter that has just started out of elections, but no other one.
type VoteGate struct {
	source  *Source
	logger  *slog.Logger
	askTime time.Duration // how long it waits for voters that do not answer

	mu       sync.Mutex
	began    time.Time
	settled  bool   // it follows a master and has all that was committed before
	goal     uint64 // what the master of goalTerm had applied when it was first asked
	goalTerm uint64
	asked    map[raft.ServerID]bool // that answered or do not run; this member for its former address
	claims   map[raft.ServerID]Held // the entries that it was heard to hold
	term     uint64                 // the latest that others had heard of when they first answered
	lost     Held                   // the newest of them that the log lacked when it was heard of
	lostBy   raft.ServerID          // the voter that heard it
	logged   uint64                 // the forgotten entry that was logged
}

// NewVoteGate returns a VoteGate of a member whose process has just begun.
func NewVoteGate(source *Source, logger *slog.Logger, askTime time.Duration) *VoteGate {
	return &VoteGate{
		source: source, logger: logger, askTime: askTime, began: time.Now(),
		asked: map[raft.ServerID]bool{}, claims: map[raft.ServerID]Held{},
	}
}

// heard takes the answer of a member that was asked since this process began.
func (g *VoteGate) heard(s Status) {
	_, leader := g.source.Raft.LeaderWithID()
	term := g.source.Raft.CurrentTerm()
	_, votes := peer.Find(peer.Voters(g.source.Raft), s.Member)
	g.mu.Lock()
	defer g.mu.Unlock()
	if votes && !g.asked[s.Member] && s.Term <= term+peer.MaxTermStep { // a later term is not believed
		g.term = max(g.term, s.Term)
	}
	g.asked[s.Member] = true
	if h := s.Held; h != nil {
		g.claims[s.Member] = *h
	}
	// Another master sets another goal: the one before may have lied.
	if s.Leads && s.Member == leader && s.Term == term && (g.goal == 0 || g.goalTerm < term) {
		g.goal, g.goalTerm = s.Applied, term
	}
}

// refused notes that no process listens at the address of a member.
func (g *VoteGate) refused(id raft.ServerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked[id] = true
}

// Forgotten returns the newest entry that a voter heard this member hold and that its log
// lacked since it started, and that voter; index 0 if there is none, or if the member has
// everything again.
func (g *VoteGate) Forgotten() (entry Held, by raft.ServerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.forgotten(peer.Voters(g.source.Raft))
}

func (g *VoteGate) forgotten(voters []raft.Server) (entry Held, by raft.ServerID) {
	if g.settle() {
		return entry, by
	}
	left := g.source.Store.Return()
	for _, id := range slices.Sorted(maps.Keys(g.claims)) {
		c := g.claims[id]
		if _, votes := peer.Find(voters, id); votes && c.Index > g.lost.Index &&
			!g.source.holds(c) && !left.Left(c.Index) {
			g.lost, g.lostBy = c, id
		}
	}
	// Its log may hold that entry again, but what it forgot may be more than that.
	return g.lost, g.lostBy
}

// FirstTerm returns the first term in which this member may take part in an election.
func (g *VoteGate) FirstTerm() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.term + 1
}

// settle reports whether the member is past the time in which it may have forgotten
// something.
func (g *VoteGate) settle() bool {
	r := g.source.Raft
	if !g.settled && (r.State() == raft.Leader || g.goal > 0 && g.source.Machine.Applied() >= g.goal) {
		g.settled = true
	}
	return g.settled
}

// holds reports whether the log or the newest snapshot has an entry.
func (s *Source) holds(h Held) bool {
	if term := s.termAt(h.Index); term > 0 {
		return term == h.Term
	}
	return s.Store.Log.InSnapshot(h.Index)
}

// Check returns why this member must not take part in elections now, or nil.
func (g *VoteGate) Check() error {
	servers := peer.Voters(g.source.Raft)
	left := g.source.Store.Return()
	g.mu.Lock()
	defer g.mu.Unlock()
	entry, by := g.forgotten(servers)
	switch {
	case left.Forgetful():
		return fmt.Errorf("this member has forgotten what it has certified (%s); "+
			"it takes part in elections when its history is the certified one again", left.Reason)
	case entry.Index > 0:
		return fmt.Errorf("this member has forgotten entry %d of term %d, which %s heard it hold; "+
			"it takes part in elections when a master has given it back", entry.Index, entry.Term, peer.MemberID(by))
	case g.settled || time.Since(g.began) >= g.askTime:
		return nil
	}
	for _, s := range servers {
		here := s.ID == g.source.Self && string(s.Address) == g.source.Peer
		if !here && !g.asked[s.ID] {
			return fmt.Errorf("%w, and %s has not answered yet what it remembers of it",
				peer.ErrStarting, peer.MemberID(s.ID))
		}
	}
	return nil
}

// Run logs what this member has forgotten, and that it has it again. It is called after
// each poll, by one goroutine.
func (g *VoteGate) Run() {
	entry, by := g.Forgotten()
	g.settleReturn()
	switch {
	case entry.Index == g.logged:
		return
	case entry.Index > 0:
		g.logger.Error("this frontend has forgotten what it acknowledged: was an old copy of its data put back? "+
			"It gives no vote until a master has given it everything again",
			"entry", entry.Index, "heard_by", peer.MemberID(by), "log", g.source.Raft.LastIndex())
	default:
		g.logger.Info("this frontend has everything again, and votes", "entry", cmp.Or(g.goal, g.logged))
	}
	g.logged = entry.Index
}

// settleReturn ends the exception for a member that has gone back, when it has everything
// again that was committed before.
func (g *VoteGate) settleReturn() {
	g.mu.Lock()
	settled := g.settle()
	g.mu.Unlock()
	if left := g.source.Store.Return(); settled && !left.Forgetful() {
		if err := g.source.Store.SettleReturn(); err != nil {
			g.logger.Warn("could not record that this frontend is back", "err", err)
		}
	}
}
