package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
)

// A member that was removed must stop, and must not start again with its data. A member that was
// not must not be talked into it, because the removal is noted in its directory for good. So a
// member believes that it was removed in two cases only:
//
//   - Its own log says so: a committed entry took it out of the configuration, no later one put
//     it back, and for a moment neither a master nor another member counts on it.
//   - A majority of the other voters of its own latest configuration say so: their committed
//     configurations lack it, at an index behind the last one that had it.
//
// The master stops replicating to a member when it appends the entry that removes it, so most
// removed members have to ask. Each member asks the others for their status all the time, and
// counts the answers by the server id that the certificate proves. Where members do not
// authenticate each other, it is the id that they claim.
//
// With two other voters or more, no single member can bring a removal about by a lie. With one
// other voter, in a group of two, its word decides: it would be the majority of what is left. A
// member that leads believes nobody. A member that slept while most voters of its configuration
// were replaced is told by too few. It gets no vote and no lease, and logs what it hears.

// listing is what a member's committed configuration says of the member that asks.
type listing struct {
	Index  uint64 `json:"index"`  // of the configuration
	Listed bool   `json:"listed"` // the asker is in it, or in a later one that is not committed yet
}

func (m *Member) listing(id raft.ServerID) listing {
	index, in := m.roster.lists(id)
	if !in {
		// A voter that has just started may not have applied all that is committed. But the entry
		// that took a member in is in the logs of a majority.
		in = slices.ContainsFunc(m.servers(), func(s raft.Server) bool { return s.ID == id })
	}
	return listing{index, in}
}

// absence is a member's word that this one is not in the group.
type absence struct {
	index uint64
	at    time.Time
}

// notes keeps what a member has said of this one's place.
func (n *neighbours) notes(by raft.ServerID, l *listing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case l == nil:
	case l.Listed:
		delete(n.absent, by)
		n.listed = time.Now()
	default:
		n.absent[by] = absence{l.Index, time.Now()}
	}
}

// unlisted reports whether no member has said for a moment that this one is in the group.
func (n *neighbours) unlisted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.listed) > n.member.scaled(silence)
}

// absences returns the indexes of the configurations that lack this member, by whose they are, as
// far as that was said a moment ago.
func (n *neighbours) absences() map[raft.ServerID]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	said := map[raft.ServerID]uint64{}
	for by, a := range n.absent {
		if time.Since(a.at) < n.member.scaled(silence) {
			said[by] = a.index
		}
	}
	return said
}

// verdict is what the answers of the voters say together.
type verdict struct {
	by      []raft.ServerID // the voters that say that the member was removed, in order
	asked   int             // the other voters of its configuration
	removed bool
}

// judge counts the voters of servers, but for self, whose committed configurations lack self at an
// index higher than joined, at which self was last known to be in one.
func judge(servers []raft.Server, self raft.ServerID, joined uint64, said map[raft.ServerID]uint64) verdict {
	var v verdict
	for _, s := range servers {
		if s.ID == self || s.Suffrage != raft.Voter {
			continue
		}
		v.asked++
		if index, says := said[s.ID]; says && index > joined {
			v.by = append(v.by, s.ID)
		}
	}
	slices.Sort(v.by)
	v.removed = len(v.by)*2 > v.asked
	return v
}

// learnRemoval ends this member if it was removed from its group.
func (m *Member) learnRemoval() {
	if m.raft.State() == raft.Leader || !m.storage.Joined() {
		return
	}
	servers, self := m.servers(), m.self
	in := slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == self })
	said := m.neighbour.absences()
	v := judge(servers, self, m.storage.JoinedAt(), said)
	if index := m.roster.leftAt(); index > 0 && !in && m.neighbour.unlisted() {
		// The log may end between the entry that took this member out and one that takes it in
		// again. While a master sends entries, more may come.
		if master, _ := m.raft.LeaderWithID(); master == "" {
			m.wasRemoved(fmt.Sprintf("entry %d of its log", index))
			return
		}
	}
	var words []string
	for _, id := range v.by {
		words = append(words, fmt.Sprintf("%s (configuration of entry %d)", memberID(id), said[id]))
	}
	if v.removed {
		m.wasRemoved(strings.Join(words, ", "))
		return
	}
	m.neighbour.doubt(v, strings.Join(words, ", "))
}

// doubt logs that some voters have said twice that this member was removed, and too few to believe
// it. It logs that again only when they are others.
func (n *neighbours) doubt(v verdict, words string) {
	if len(v.by) == 0 {
		return
	}
	n.mu.Lock()
	again := slices.Equal(n.doubted, v.by)
	n.doubted = v.by
	said := again && !slices.Equal(n.doubtSaid, v.by)
	if said {
		n.doubtSaid = v.by
	}
	n.mu.Unlock()
	if !said { // a removal that was committed a moment ago is not known to all yet
		return
	}
	n.member.log.Warn("some voters say that this frontend was removed, too few to believe it; if an operator removed it, stop it and delete its data directory",
		"by", words, "say", len(v.by), "want", v.asked/2+1, "voters", v.asked)
}

// wasRemoved ends this member and notes in its directory who said that it was removed. It may be
// called again.
func (m *Member) wasRemoved(by string) { m.neighbour.over.Do(func() { m.stopRemoved(by) }) }

func (m *Member) stopRemoved(by string) {
	m.log.Error("this frontend was removed from its group and stops", "by", by)
	if err := m.storage.MarkRemoved(by); err != nil {
		m.log.Warn("could not note the removal in the data directory", "error", err)
	}
	m.end(ErrRemoved)
}

// tellRemoved answers a member that was removed. What it says is this member's own committed
// configuration, so every voter can say it.
func (m *Member) tellRemoved(w http.ResponseWriter, r *http.Request) {
	id := raft.ServerID(peer.FromContext(r.Context()))
	w.Header().Set("Connection", "close")
	l := m.listing(id)
	if l.Listed {
		peer.WriteProblem(w, peer.NotMaster()) // the removal is not committed yet
		return
	}
	peer.WriteRemoved(w, l.Index, score.Problemf(score.Forbidden, "%q was removed from the group", memberID(id)))
}
