package peer

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// A configuration takes effect when it is appended, and says who votes. So in a sworn group
// a master may add only servers that an operator has signed in. An honest master does not
// add one before it has applied that signature, so a follower that has appended and applied
// all before the configuration knows of it as well.

// CheckServers returns an error if a configuration adds a server to those of this member's
// latest one that signed does not report.
func CheckServers(c raft.Configuration, known []raft.Server, signed func(name string) bool) error {
	for _, s := range c.Servers {
		if _, in := Find(known, s.ID); !in && !signed(MemberID(s.ID)) {
			return fmt.Errorf("the configuration adds the server %q, which no operator has signed in "+
				"as far as this member knows", s.ID)
		}
	}
	return nil
}

// unsigned returns the place of the first entry with a configuration that must not be
// appended yet, and why; without an error there is none.
func (t *Transport) unsigned(entries []*raft.Log) (int, error) {
	if t.config.Signed == nil {
		return 0, nil
	}
	known := Servers(t.raft)
	for i, e := range entries {
		if e.Type != raft.LogConfiguration {
			continue
		}
		c := raft.DecodeConfiguration(e.Data) // which was checked
		if err := CheckServers(c, known, t.config.Signed); err != nil {
			return i, fmt.Errorf("entry %d: %w", e.Index, err)
		}
		known = append(slices.Clip(known), c.Servers...)
	}
	return 0, nil
}

// deliverBefore gives Raft the first n entries of a request, and refuses the request. Its
// sender tries again: the signature may be in one of those entries.
func (t *Transport) deliverBefore(call raft.RPC, n int, why error) {
	before := *call.Command.(*raft.AppendEntriesRequest)
	before.Entries = before.Entries[:n]
	before.LeaderCommitIndex = min(before.LeaderCommitIndex, before.PrevLogEntry+uint64(n))
	if _, err := t.Call(raft.RPC{Command: &before}); err != nil {
		call.Respond(nil, err)
		return
	}
	call.Respond(nil, t.refuse(reasonConfiguration, why))
}
