package fsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// Raft adapts a Machine to raft.BatchingFSM. Raft calls its methods from one goroutine.
type Raft struct {
	machine *Machine
	// passed is the index of the last entry that Raft has passed on. After a restart the
	// machine may be ahead of it.
	passed uint64
}

// NewRaft returns the adapter of m. If applying an entry fails, the error is passed to
// fatal, once, and nothing is applied afterwards, because the state would differ from
// that of the other frontends. fatal must not block, and the process must end.
func NewRaft(m *Machine, fatal func(error)) *Raft {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.onFail = fatal
	return &Raft{machine: m}
}

// Outcome is the response of a Raft future: the results of each post of the entry, in
// order. It is nil for an entry that was skipped because it had been applied before. Nobody
// may change the results: entry.Own has them as well, and posts of one entry may share them.
type Outcome [][]score.Result

// Apply applies one entry.
func (r *Raft) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries. Each response is an Outcome or an error.
func (r *Raft) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	entries := make([]Entry, 0, len(logs))
	positions := make([]int, 0, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			entries = append(entries, Entry{Index: l.Index, Data: l.Data})
			positions = append(positions, i)
		}
	}
	r.passed = logs[len(logs)-1].Index
	outcomes, err := r.machine.Apply(entries, r.passed)
	if err != nil {
		for i := range responses {
			responses[i] = err
		}
		return responses
	}
	for i, o := range outcomes {
		responses[positions[i]] = Outcome(o)
	}
	return responses
}

// errAhead is returned instead of a snapshot that would include entries after the index
// that Raft assigns to it.
var errAhead = errors.New("the state is ahead of the entries that raft has passed on since the start; retry later")

// Snapshot returns a *Snapshot.
func (r *Raft) Snapshot() (raft.FSMSnapshot, error) {
	if r.machine.Applied() > r.passed {
		return nil, errAhead
	}
	return r.machine.Snapshot()
}

var errStale = errors.New("the state was replaced while its snapshot was written")

// Persist writes the snapshot to Raft's snapshot store. It fails if a later snapshot of
// the master has been installed in the meantime, because Raft would take this one for the
// newest (hashicorp/raft#248).
func (s *Snapshot) Persist(sink raft.SnapshotSink) error {
	err := s.Write(sink)
	if err == nil && s.isStale() {
		err = errStale
	}
	if err != nil {
		sink.Cancel()
		return fmt.Errorf("write the snapshot %s: %w", sink.ID(), err)
	}
	return sink.Close()
}

// Restore replaces the state by a snapshot of the master. If the snapshot's reader has a
// method Prepared() *Prepared that does not return nil, the prepared state is installed
// and nothing is read.
func (r *Raft) Restore(in io.ReadCloser) error {
	defer in.Close()
	defer func() { r.passed = r.machine.Applied() }()
	// Raft wraps the reader of the snapshot store in readers of its own.
	for source := in; ; {
		if s, ok := source.(interface{ Prepared() *Prepared }); ok {
			if p := s.Prepared(); p != nil {
				return r.machine.Install(p)
			}
		}
		wrapper, ok := source.(raft.ReadCloserWrapper)
		if !ok {
			return r.machine.Restore(in)
		}
		source = wrapper.WrappedReadCloser()
	}
}
