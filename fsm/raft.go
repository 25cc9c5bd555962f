package fsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// Raft is the machine as hashicorp/raft wants it. Its methods are called by one goroutine of raft, but for Persist.
type Raft struct {
	machine *Machine
	// passed is the index of the last entry that raft has passed on. After a restart the machine is ahead of it for a while.
	passed uint64
}

// NewRaft makes m raft's. Applying cannot fail and go on: the next entry would be applied to a state that the other frontends do not have. So
// the first error is given to fatal, once and without waiting, and from then on nothing is applied. The process must end.
func NewRaft(m *Machine, fatal func(error)) *Raft {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.onFail = fatal
	return &Raft{machine: m}
}

// Outcome is what raft's future answers: the results of each post of the entry, in order. Skipped entries have none.
type Outcome [][]score.Result

// Apply applies one entry.
func (r *Raft) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies many entries. Each answer is an Outcome or an error.
func (r *Raft) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	entries := make([]Entry, 0, len(logs))
	at := make([]int, 0, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			entries = append(entries, Entry{Index: l.Index, Data: l.Data})
			at = append(at, i)
		}
	}
	r.passed = logs[len(logs)-1].Index
	outcomes, err := r.machine.Apply(entries, r.passed)
	if err != nil {
		for i := range answers {
			answers[i] = err
		}
		return answers
	}
	for i, o := range outcomes {
		answers[at[i]] = Outcome(o)
	}
	return answers
}

// errAhead is returned instead of a snapshot that would have entries behind the index that raft gives it.
var errAhead = errors.New("the state is ahead of what raft has applied since the start; a snapshot is taken later")

// Snapshot takes hold of the state; raft then calls Persist while entries go on being applied.
func (r *Raft) Snapshot() (raft.FSMSnapshot, error) {
	if r.machine.Applied() > r.passed {
		return nil, errAhead
	}
	s, err := r.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return persister{s}, nil
}

type persister struct{ *Snapshot }

// Persist writes the snapshot to raft's snapshot store, unless the master has sent a later one meanwhile: raft would take this for the newest
// (hashicorp/raft#248).
func (p persister) Persist(sink raft.SnapshotSink) error {
	_, err := p.WriteTo(sink)
	if err == nil && p.Past() {
		err = errPast
	}
	if err != nil {
		sink.Cancel()
		return fmt.Errorf("write the snapshot %s: %w", sink.ID(), err)
	}
	return sink.Close()
}

var errPast = errors.New("another state was put in the place of this one meanwhile")

// Release lets go of the state.
func (p persister) Release() { p.Close() }

// Restore puts a snapshot that the master sent in the place of the state. Where the snapshot's reader
// has a Prepared, which is a method Prepared() *Prepared that does not return nil, that is installed
// and nothing is read.
func (r *Raft) Restore(in io.ReadCloser) error {
	defer in.Close()
	var err error
	if p := preparedBehind(in); p != nil {
		err = r.machine.Install(p)
	} else {
		err = r.machine.Restore(in)
	}
	r.passed = r.machine.Applied()
	return err
}

// restorable is implemented by a snapshot's reader whose state was prepared already.
type restorable interface{ Prepared() *Prepared }

// preparedBehind returns what was prepared of the snapshot that in reads, nil if nothing was. Raft
// puts readers of its own around the one of the snapshot store.
func preparedBehind(in io.ReadCloser) *Prepared {
	for {
		if r, ok := in.(restorable); ok {
			return r.Prepared()
		}
		w, ok := in.(raft.ReadCloserWrapper)
		if !ok {
			return nil
		}
		in = w.WrappedReadCloser()
	}
}
