package status

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
)

// RemovalCheck finds out whether this member was removed from its group.
//
// A member that was removed must stop, and must not start again with its data. A member
// that was not removed must not be persuaded that it was, because the removal is recorded
// in its directory for good. So a member believes that it was removed in two cases only:
//
//   - Its own log says so: a committed entry removed it from the configuration, no later one added
//     it again, and for a while neither a master nor another member counts on it.
//   - A majority of the other voters of its own latest configuration say so: their committed
//     configurations lack it, at an index after the last one that had it.
//
// The master stops replicating to a member when it appends the entry that removes it, so
// most removed members have to ask. Each member polls the others for their status, and
// counts the answers by the server id in the certificate. Where members do not
// authenticate each other, it is the id that they claim.
//
// With two other voters or more, no single member can cause a removal by a false answer.
// With one other voter, in a group of two, its answer decides: it would be the majority
// of what is left. A member that leads believes nobody. A member that was down while most
// voters of its configuration were replaced is told by too few. It gets no vote and no
// lease, and logs what it is told.
type RemovalCheck struct {
	Source  *Source
	Reports *Reports
	Logger  *slog.Logger
	Removed func() // ends this member

	once            sync.Once
	doubted, logged []raft.ServerID // see logDoubt
}

// verdict is what the voters report together.
type verdict struct {
	by      []raft.ServerID // the voters that report the removal, in order
	asked   int             // the other voters of the configuration
	removed bool
}

// judge counts the voters of servers, without self, whose committed configurations lack
// self at an index after joined, at which self was last known to be in one.
func judge(servers []raft.Server, self raft.ServerID, joined uint64, absentIn map[raft.ServerID]uint64) verdict {
	var v verdict
	for _, s := range servers {
		if s.ID == self || s.Suffrage != raft.Voter {
			continue
		}
		v.asked++
		if index, ok := absentIn[s.ID]; ok && index > joined {
			v.by = append(v.by, s.ID)
		}
	}
	slices.Sort(v.by)
	v.removed = len(v.by)*2 > v.asked
	return v
}

// Run checks once whether this member was removed, and ends it if so.
func (c *RemovalCheck) Run() {
	r, store, self := c.Source.Raft, c.Source.Store, c.Source.Self
	if r.State() == raft.Leader || !store.Joined() {
		return
	}
	servers, absentIn := peer.Servers(r), c.Reports.absentIn()
	_, listed := peer.Find(servers, self)
	master, _ := r.LeaderWithID()
	// The log may end between the entry that removed this member and one that adds it
	// again. While a master sends entries, more may follow.
	if at := c.Source.Roster.removedAt(); at > 0 && !listed && master == "" && c.Reports.unlisted() {
		c.remove(fmt.Sprintf("entry %d of its log", at))
		return
	}
	v := judge(servers, self, store.JoinedAt(), absentIn)
	reports := make([]string, len(v.by))
	for i, id := range v.by {
		reports[i] = fmt.Sprintf("%s (configuration of entry %d)", peer.MemberID(id), absentIn[id])
	}
	if evidence := strings.Join(reports, ", "); v.removed {
		c.remove(evidence)
	} else {
		c.logDoubt(v, evidence)
	}
}

// logDoubt logs that some voters, too few, report the removal. It waits for the second
// time, because not all members know a removal that was committed a moment ago, and logs
// again only for other voters. Run calls it from one goroutine.
func (c *RemovalCheck) logDoubt(v verdict, evidence string) {
	if len(v.by) == 0 {
		return
	}
	repeated := slices.Equal(c.doubted, v.by)
	c.doubted = v.by
	if !repeated || slices.Equal(c.logged, v.by) {
		return
	}
	c.logged = v.by
	c.Logger.Warn("some voters report that this frontend was removed, too few to believe it; "+
		"if an operator removed it, stop it and delete its data directory",
		"by", evidence, "reports", len(v.by), "want", v.asked/2+1, "voters", v.asked)
}

// Supersede ends this member because its group goes on without it; see Poller.Superseded.
func (c *RemovalCheck) Supersede(by string) { c.remove(by) }

// remove records in the data directory who reported the removal, and ends this member.
func (c *RemovalCheck) remove(by string) {
	c.once.Do(func() {
		c.Logger.Error("this frontend was removed from its group and stops", "by", by)
		if err := c.Source.Store.MarkRemoved(by); err != nil {
			c.Logger.Warn("could not record the removal in the data directory", "err", err)
		}
		c.Removed()
	})
}
