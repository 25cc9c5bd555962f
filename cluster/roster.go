package cluster

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"laurel/fsm"
)

// roster is the newest committed configuration of the group that this member has applied.
// raft.GetConfiguration returns the latest one, which may never be committed, and no index.
type roster struct {
	self raft.ServerID
	note func(index uint64) // is told of each configuration that has this member in it

	mu     sync.Mutex
	index  uint64 // of the entry that made the configuration; 0 if none is known
	config raft.Configuration
	left   uint64 // the entry that took this member out, if it is out since; else 0
}

// take makes the configuration of the entry at index the newest one. One that is no newer than
// the one that is known changes nothing.
func (r *roster) take(index uint64, c raft.Configuration) {
	_, in := find(c, r.self)
	r.mu.Lock()
	if index <= r.index {
		r.mu.Unlock()
		return
	}
	_, was := find(r.config, r.self)
	switch {
	case in:
		r.left = 0
	case was:
		r.left = index
	}
	r.index, r.config = index, c
	r.mu.Unlock()
	if in {
		r.note(index)
	}
}

// takeNewest takes the configuration that the newest snapshot has.
func (r *roster) takeNewest(snapshots raft.SnapshotStore) error {
	list, err := snapshots.List()
	for _, s := range list {
		r.take(s.ConfigurationIndex, s.Configuration)
	}
	return err
}

// lists reports whether a member is in the configuration, and the index of that configuration.
func (r *roster) lists(id raft.ServerID) (index uint64, in bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, in = find(r.config, id)
	return r.index, in
}

// leftAt returns the index of the entry that took this member out of the group; 0 for none.
func (r *roster) leftAt() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}

// rosterFSM is Raft's state machine. It hands the committed configurations to the roster, too.
type rosterFSM struct {
	*fsm.Raft
	roster    *roster
	snapshots raft.SnapshotStore
}

// Apply applies one entry.
func (f rosterFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies many entries.
func (f rosterFSM) ApplyBatch(logs []*raft.Log) []any {
	answers := f.Raft.ApplyBatch(logs)
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			f.roster.take(l.Index, raft.DecodeConfiguration(l.Data))
		}
	}
	return answers
}

// Restore puts a snapshot that the master sent in the place of the state.
func (f rosterFSM) Restore(in io.ReadCloser) error {
	if err := f.Raft.Restore(in); err != nil {
		return err
	}
	return f.roster.takeNewest(f.snapshots)
}
