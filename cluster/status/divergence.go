package status

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/fsm"
)

// DivergenceCheck compares the state of this member with those that the voters report.
// The members apply the same log, so after the same entry all have the same revision and
// the same digest.
//
// A member that contradicts more than half of the voters of its own configuration stops.
// So no single voter can stop another one by a false report, where there are three or
// more; and where there are two, neither stops. A member that is contradicted by fewer
// cannot know who is wrong. It goes on, and logs and counts the contradiction.
type DivergenceCheck struct {
	Source   *Source
	Reports  *Reports
	Logger   *slog.Logger
	Diverged func(reason string) // ends this member

	once   sync.Once
	at     map[raft.ServerID]uint64 // the voters that contradict this member, and after which entry
	logged []raft.ServerID
	count  atomic.Int64
}

// Contradicting returns the number of voters that contradict this member.
func (c *DivergenceCheck) Contradicting() int64 { return c.count.Load() }

// compare notes which of the voters contradict this member. A report that cannot be
// compared changes nothing: states that differ once differ ever after.
func (c *DivergenceCheck) compare(voters []raft.Server, stateAt func(index uint64) (fsm.State, bool)) {
	before := c.at
	c.at = map[raft.ServerID]uint64{}
	for _, v := range voters {
		if v.ID == c.Source.Self {
			continue
		}
		if index, contradicted := before[v.ID]; contradicted {
			c.at[v.ID] = index
		}
		for _, theirs := range c.Reports.states(v.ID) {
			ours, known := stateAt(theirs.Applied)
			switch {
			case !known:
			case ours == theirs:
				delete(c.at, v.ID)
			default:
				c.at[v.ID] = theirs.Applied
			}
		}
	}
	c.count.Store(int64(len(c.at)))
}

// Run compares the states once. It is called after each poll, by one goroutine.
func (c *DivergenceCheck) Run() { c.run(peer.Voters(c.Source.Raft), c.Source.Machine.StateAt) }

func (c *DivergenceCheck) run(voters []raft.Server, stateAt func(index uint64) (fsm.State, bool)) {
	c.compare(voters, stateAt)
	var by []raft.ServerID
	var list []string
	for _, v := range voters {
		if index, contradicts := c.at[v.ID]; contradicts {
			by = append(by, v.ID)
			list = append(list, fmt.Sprintf("%s (entry %d)", peer.MemberID(v.ID), index))
		}
	}
	evidence := strings.Join(list, ", ")
	if len(by)*2 > len(voters) {
		c.once.Do(func() {
			c.Logger.Error("this frontend contradicts the majority of the voters and stops: "+
				"after the same entry they have another state", "by", evidence)
			c.Diverged("after the same entry the majority of the voters has another state: " + evidence)
		})
		return
	}
	if len(by) > 0 && !slices.Equal(by, c.logged) {
		c.Logger.Error("a voter has another state after the same entry as this frontend, and there is no majority "+
			"against this one; find out which of them is wrong, and replace it",
			"by", evidence, "reports", len(by), "voters", len(voters))
	}
	c.logged = by
}
