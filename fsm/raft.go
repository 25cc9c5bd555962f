package fsm

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// Raft is the machine as hashicorp/raft wants it. Its methods are called by one goroutine of raft, but for Persist.
//
// Applying cannot fail and go on: the next entry would be applied to a state that the other frontends do not have. So the first error is
// given to Fatal, once, and from then on nothing is applied. The process must end.
type Raft struct {
	Machine *Machine
	Fatal   func(error)
	failed  error
}

// Outcome is what raft's future answers: the results of each post of the entry, in order. Skipped entries have none.
type Outcome [][]score.Result

func (r *Raft) fail(err error) {
	if r.failed == nil {
		r.failed = err
		r.Fatal(err)
	}
}

// Apply applies one entry.
func (r *Raft) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies many entries in one transaction. Each answer is an Outcome or an error.
func (r *Raft) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	var entries []Entry
	var at []int
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			entries = append(entries, Entry{Index: l.Index, Data: l.Data})
			at = append(at, i)
		}
	}
	if r.failed == nil {
		outcomes, err := r.Machine.Apply(entries, logs[len(logs)-1].Index)
		if err == nil {
			for i, o := range outcomes {
				answers[at[i]] = Outcome(o)
			}
			return answers
		}
		r.fail(err)
	}
	for i := range answers {
		answers[i] = r.failed
	}
	return answers
}

// Snapshot takes hold of the state; raft then calls Persist while entries go on being applied.
func (r *Raft) Snapshot() (raft.FSMSnapshot, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	s, err := r.Machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return persister{s}, nil
}

type persister struct{ *Snapshot }

// Persist writes the snapshot to raft's snapshot store.
func (p persister) Persist(sink raft.SnapshotSink) error {
	if _, err := p.WriteTo(sink); err != nil {
		sink.Cancel()
		return fmt.Errorf("write the snapshot %s: %w", sink.ID(), err)
	}
	return sink.Close()
}

// Release lets go of the state.
func (p persister) Release() { p.Close() }

// Restore puts a snapshot that the master sent in the place of the state.
func (r *Raft) Restore(in io.ReadCloser) error {
	defer in.Close()
	return r.Machine.Restore(in)
}
