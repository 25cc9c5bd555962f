package status

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/fsm"
)

// Roster is the newest committed configuration of the group that this member has applied.
// raft.GetConfiguration returns the latest one instead, which may never be committed, and
// no index.
type Roster struct {
	self   raft.ServerID
	joined func(index uint64)

	mu      sync.Mutex
	index   uint64 // of the entry of the configuration; 0 if none is known
	config  raft.Configuration
	removed uint64 // the entry that removed this member; 0 if it is in the configuration or never was
}

// NewRoster returns an empty Roster of the member self. joined is called with the index
// of each configuration that has this member.
func NewRoster(self raft.ServerID, joined func(index uint64)) *Roster {
	return &Roster{self: self, joined: joined}
}

// update takes over the configuration of the entry at index, unless it is not newer.
func (r *Roster) update(index uint64, c raft.Configuration) {
	_, in := peer.Find(c.Servers, r.self)
	r.mu.Lock()
	if index <= r.index {
		r.mu.Unlock()
		return
	}
	_, was := peer.Find(r.config.Servers, r.self)
	switch {
	case in:
		r.removed = 0
	case was:
		r.removed = index
	}
	r.index, r.config = index, c
	r.mu.Unlock()
	if in {
		r.joined(index)
	}
}

// UpdateFromSnapshots takes over the configuration of the newest snapshot.
func (r *Roster) UpdateFromSnapshots(snapshots raft.SnapshotStore) error {
	list, err := snapshots.List()
	for _, s := range list {
		r.update(s.ConfigurationIndex, s.Configuration)
	}
	return err
}

// Lists returns the index of the configuration, and whether it has a member.
func (r *Roster) Lists(id raft.ServerID) (index uint64, in bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, in = peer.Find(r.config.Servers, id)
	return r.index, in
}

// Votes reports whether the configuration has a server as a voter.
func (r *Roster) Votes(id raft.ServerID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, in := peer.Find(r.config.Servers, id)
	return in && s.Suffrage == raft.Voter
}

// removedAt returns the index of the entry that removed this member; 0 for none.
func (r *Roster) removedAt() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed
}

// FSM is Raft's state machine. It also passes the committed configurations to a Roster.
type FSM struct {
	*fsm.Raft
	Roster    *Roster
	Snapshots raft.SnapshotStore
	Committed func() // called before committed entries are applied
}

// Apply applies one entry.
func (f FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries.
func (f FSM) ApplyBatch(logs []*raft.Log) []any {
	f.Committed()
	answers := f.Raft.ApplyBatch(logs)
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			f.Roster.update(l.Index, raft.DecodeConfiguration(l.Data))
		}
	}
	return answers
}

// Restore replaces the state by a snapshot that the master sent.
func (f FSM) Restore(in io.ReadCloser) error {
	if err := f.Raft.Restore(in); err != nil {
		return err
	}
	return f.Roster.UpdateFromSnapshots(f.Snapshots)
}
