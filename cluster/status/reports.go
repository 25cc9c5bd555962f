package status

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/fsm"
)

// Reports stores what the other members last reported. It is safe for concurrent use.
type Reports struct {
	maxAge time.Duration // of a report that counts, while its member answers
	missed time.Duration // for how long it counts after its member has not answered

	mu       sync.Mutex
	last     map[raft.ServerID]report
	place    *Place // this member's, as a master last reported; nil before
	absences map[raft.ServerID]absence
	held     map[raft.ServerID]Held // the newest committed entry that a member reported to hold
	logged   map[raft.ServerID]Held // the newest entry that it holds by Raft's messages
	listedAt time.Time              // when a member last reported that this one is in the group, or the start
}

type report struct {
	Status
	before Status    // the report before it
	heard  time.Time // when it came
	until  time.Time // when it is too old
}

// absence is a member's report that this one is not in its committed configuration.
type absence struct {
	index uint64 // of that configuration
	at    time.Time
}

// NewReports returns Reports whose entries count for four times PollEvery, scaled, after
// their member was to answer.
func NewReports(scale func(time.Duration) time.Duration) *Reports {
	return &Reports{
		maxAge: scale((restPolls + 4) * PollEvery), missed: scale(4 * PollEvery),
		last: map[raft.ServerID]report{}, absences: map[raft.ServerID]absence{},
		held: map[raft.ServerID]Held{}, logged: map[raft.ServerID]Held{}, listedAt: time.Now(),
	}
}

// Last returns the last status of a member. fresh is false if it is too old, or if a process
// no longer listens at the member's address.
func (r *Reports) Last(id raft.ServerID) (s Status, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[id]
	return last.Status, time.Now().Before(last.until)
}

// heardOf returns Last of a member, and when that came; zero if it has never answered.
func (r *Reports) heardOf(id raft.ServerID) (s Status, heard time.Time, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[id]
	return last.Status, last.heard, time.Now().Before(last.until)
}

// silence returns how long ago each of servers has last answered, in milliseconds, without
// those that never have.
func (r *Reports) silence(servers []raft.Server) map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	ages := map[string]int64{}
	for _, s := range servers {
		if last := r.last[s.ID]; !last.heard.IsZero() {
			ages[string(s.ID)] = time.Since(last.heard).Milliseconds()
		}
	}
	return ages
}

// states returns the last two states that a member reported lately.
func (r *Reports) states(id raft.ServerID) (list []fsm.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[id]
	if !time.Now().Before(last.until) {
		return nil
	}
	for _, s := range []Status{last.before, last.Status} {
		if s.Member != "" {
			list = append(list, fsm.State{Applied: s.Applied, Revision: s.Revision, Digest: s.Digest})
		}
	}
	return list
}

// Masters returns the peer addresses that other members report as the master's.
func (r *Reports) Masters() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, last := range r.last {
		if last.Master != "" {
			list = append(list, last.Master)
		}
	}
	return list
}

// Sealed returns the newest round that a member other than one lately reported to have made.
func (r *Reports) Sealed(not string) (newest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, last := range r.last {
		if peer.MemberID(id) != not && time.Now().Before(last.until) {
			newest = max(newest, last.Sealed)
		}
	}
	return newest
}

// Configured returns the index of the newest committed configuration that a member other than
// one lately reported.
func (r *Reports) Configured(not string) (newest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, last := range r.last {
		if peer.MemberID(id) != not && time.Now().Before(last.until) && last.Roster != nil {
			newest = max(newest, last.Roster.Index)
		}
	}
	return newest
}

// Place returns this member's place as a master last reported it; nil before.
func (r *Reports) Place() *Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.place
}

// TermReported reports whether a majority of the voters of ra's configuration last
// reported a term of at least atLeast. Old reports do not count.
func (r *Reports) TermReported(ra *raft.Raft, atLeast uint64) bool {
	voters := peer.Voters(ra)
	agree := 0
	for _, v := range voters {
		if s, fresh := r.Last(v.ID); fresh && s.Term >= atLeast {
			agree++
		}
	}
	return agree*2 > len(voters)
}

// add stores a status. A place that a master of a current term reports makes this member
// only ask for another one.
func (r *Reports) add(s Status, term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.last[s.Member] = report{Status: s, before: r.last[s.Member].Status, heard: now, until: now.Add(r.maxAge)}
	if s.Leads && s.Asker != nil && s.Term >= term {
		r.place = s.Asker
	}
}

// addRefused records that no process listens at a member's address. The member is
// unreachable at once, before its last report is too old.
func (r *Reports) addRefused(id raft.ServerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[id]
	last.until = time.Time{}
	r.last[id] = last
}

// addMissed records that a member has not answered.
func (r *Reports) addMissed(id raft.ServerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[id]
	if until := time.Now().Add(r.missed); until.Before(last.until) {
		last.until = until
	}
	r.last[id] = last
}

// addListing stores what a member reports of this one's place.
func (r *Reports) addListing(by raft.ServerID, l *Listing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case l == nil:
	case l.Listed:
		delete(r.absences, by)
		r.listedAt = time.Now()
	default:
		r.absences[by] = absence{l.Index, time.Now()}
	}
}

// unlisted reports whether no member has lately reported that this one is in the group.
func (r *Reports) unlisted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.listedAt) > r.maxAge
}

// absentIn returns the indexes of recent configurations without this member, by reporter.
func (r *Reports) absentIn() map[raft.ServerID]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	indexes := map[raft.ServerID]uint64{}
	for by, a := range r.absences {
		if time.Since(a.at) < r.maxAge {
			indexes[by] = a.index
		}
	}
	return indexes
}
