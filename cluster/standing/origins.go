package standing

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
)

const (
	// maxRuns bounds the runs of entries that are remembered.
	maxRuns = 64
	// maxElections bounds the elections whose voters are remembered.
	maxElections = 8
	// maxDoubtful bounds the entries that are looked at when no quorum can agree on a round.
	maxDoubtful = 1 << 16
)

// Origins is Raft's log with a note of who brought each entry since the start. The term of an
// entry proves nothing: the one who brought the entry wrote it.
type Origins struct {
	*raftlog.Log
	raft atomic.Pointer[raft.Raft]

	// index and term are of the last entry that was appended since the start. Raft's main
	// goroutine alone uses them.
	index, term uint64

	mu        sync.Mutex
	runs      []run
	elections []election // the last
}

// run is a run of entries that one member has brought. It ends where the next one begins.
type run struct {
	first uint64
	by    string
}

// election is who could vote in a term for the one that has brought the first entry of it.
type election struct {
	term   uint64
	by     string
	voters []raft.Server
}

// Open notes the Raft whose log it is. Who brings entries before is not known.
func (o *Origins) Open(r *raft.Raft) { o.raft.Store(r) }

// StoreLog appends one entry.
func (o *Origins) StoreLog(e *raft.Log) error { return o.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries. hashicorp/raft v1.8.0 calls it on its main goroutine while it
// handles the message that has them, after it has taken the sender for its leader
// (appendEntries). The transport has checked that the sender is who it says. The master
// follows itself.
func (o *Origins) StoreLogs(e []*raft.Log) error {
	by := ""
	if r := o.raft.Load(); r != nil {
		_, id := r.LeaderWithID()
		by = peer.MemberID(id)
		o.noteElections(e, by, func() []raft.Server { return peer.Servers(r) })
	}
	if len(e) > 0 {
		o.note(e[0].Index, by)
	}
	return o.Log.StoreLogs(e)
}

// note notes that a member brings the entries from index first on, in the place of those that
// there were.
func (o *Origins) note(first uint64, by string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.runs)
	for n > 0 && o.runs[n-1].first >= first {
		n--
	}
	o.runs = o.runs[:n]
	if n > 0 && o.runs[n-1].by == by {
		return
	}
	o.runs = append(o.runs[max(0, n+1-maxRuns):], run{first, by})
}

// noteElections notes the voters of a term when its first entry is brought. An honest master
// was elected by the last configuration in its log before that entry, and the log here is the
// same up to it. A later configuration may have other voters.
func (o *Origins) noteElections(entries []*raft.Log, by string, latest func() []raft.Server) {
	for i, e := range entries {
		if e.Index != o.index+1 {
			o.term = o.termOf(e.Index - 1)
		}
		if o.term > 0 && e.Term > o.term {
			servers := latest() // before the first of entries
			for _, before := range entries[:i] {
				if before.Type == raft.LogConfiguration {
					servers = raft.DecodeConfiguration(before.Data).Servers // which was checked
				}
			}
			o.noteElection(e.Term, by, servers)
		}
		o.index, o.term = e.Index, e.Term
	}
}

// noteElection notes the voters among servers, unless those of this election are known.
func (o *Origins) noteElection(term uint64, by string, servers []raft.Server) {
	if o.Electors(term, by) != nil {
		return
	}
	nonvoter := func(s raft.Server) bool { return s.Suffrage != raft.Voter }
	voters := slices.DeleteFunc(slices.Clone(servers), nonvoter)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.elections = append(o.elections[max(0, len(o.elections)+1-maxElections):], election{term, by, voters})
}

// termOf returns the term of an entry of the log; 0 if it is not there.
func (o *Origins) termOf(index uint64) uint64 {
	var e raft.Log
	if err := o.GetLog(index, &e); err != nil {
		return 0
	}
	return e.Term
}

// Electors returns the voters by whom the master of a term was elected if it was; nil if they
// are not known. They must not be changed.
func (o *Origins) Electors(term uint64, master string) []raft.Server {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.elections {
		if e.term == term && e.by == master {
			return e.voters
		}
	}
	return nil
}

// Of returns who brought an entry; "" if it is not known.
func (o *Origins) Of(index uint64) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range slices.Backward(o.runs) {
		if r.first <= index {
			return r.by
		}
	}
	return ""
}

// origin is where an entry of the log comes from.
type origin struct {
	by     string // who brought it
	master string // the master of its term
	empty  bool   // it changes nothing
}

// suspects returns who may have told frontends something else in the entries from index from
// to index to: those who brought them, and the masters of their terms, for an honest
// frontend passes on what a corrupt one made. known is false if that is not known of an entry.
func suspects(self string, from, to uint64, of func(index uint64) (origin, bool)) (names []string, known bool) {
	if to < from || to-from > maxDoubtful {
		return nil, false
	}
	found := map[string]bool{}
	for index := from; index <= to; index++ {
		o, ok := of(index)
		switch {
		case ok && o.empty:
			continue
		case !ok || o.by == "" || o.master == "":
			return nil, false
		}
		found[o.by], found[o.master] = true, true
	}
	delete(found, self)
	return slices.Sorted(maps.Keys(found)), true
}
