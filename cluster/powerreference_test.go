package cluster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/score"
)

// powerReference is the log that was committed in the end, and the state after each
// entry. The disks are compared with it.
type powerReference struct {
	log    map[uint64]powerEntry
	states map[uint64][sha256.Size]byte
	events map[string]uint64 // the log entry that applied an event
	acked  []powerMark
}

func newPowerReference(t *testing.T, r *powerRecording) (*powerReference, error) {
	ref := &powerReference{
		log:    map[uint64]powerEntry{},
		states: map[uint64][sha256.Size]byte{},
		events: map[string]uint64{},
	}
	logs := map[string]map[uint64]powerEntry{}
	for _, m := range r.marks {
		switch m.Kind {
		case markStoring:
			if logs[m.Member] == nil {
				logs[m.Member] = map[uint64]powerEntry{}
			}
			for _, e := range m.Entries {
				logs[m.Member][e.Index] = e
			}
		case markAcked:
			ref.acked = append(ref.acked, m)
		}
	}
	last := uint64(0)
	for _, l := range logs {
		for i := range l {
			last = max(last, i)
		}
	}
	for i := uint64(1); i <= last; i++ {
		best := -1
		for _, l := range logs {
			e, ok := l[i]
			if !ok {
				continue
			}
			votes := 0
			for _, other := range logs {
				if o, ok := other[i]; ok && o.same(e) {
					votes++
				}
			}
			if votes > best || votes == best && e.Term > ref.log[i].Term {
				best, ref.log[i] = votes, e
			}
		}
		if best < 0 {
			return nil, fmt.Errorf("no member has stored entry %d", i)
		}
	}
	dir := t.TempDir()
	m, err := fsm.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if ref.states[0], err = stateSum(m); err != nil {
		return nil, err
	}
	machine := fsm.NewRaft(m, func(error) {})
	for i := uint64(1); i <= last; i++ {
		outcome, err := applyTo(machine, ref.log[i])
		if err != nil {
			return nil, err
		}
		for _, results := range outcome {
			for _, e := range results {
				if e.Status == score.Applied {
					ref.events[e.ID] = i
				}
			}
		}
		if ref.states[i], err = stateSum(m); err != nil {
			return nil, err
		}
	}
	for _, a := range ref.acked {
		if ref.events[a.ID] == 0 {
			return nil, fmt.Errorf("the event %s was acked at revision %d and is not in the log", a.ID, a.From)
		}
	}
	return ref, nil
}

// applyTo applies an entry if it is of a type that Raft applies.
func applyTo(machine *fsm.Raft, e powerEntry) (fsm.Outcome, error) {
	if e.Type != raft.LogCommand && e.Type != raft.LogConfiguration {
		return nil, nil
	}
	switch o := machine.Apply(&raft.Log{Index: e.Index, Term: e.Term, Type: e.Type, Data: e.Data}).(type) {
	case error:
		return nil, fmt.Errorf("apply entry %d: %w", e.Index, o)
	case fsm.Outcome:
		return o, nil
	}
	return nil, nil
}

func stateSum(m *fsm.Machine) (sum [sha256.Size]byte, err error) {
	s, err := m.Snapshot()
	if err != nil {
		return sum, err
	}
	defer s.Release()
	h := sha256.New()
	err = s.Write(h)
	h.Sum(sum[:0])
	return sum, err
}

// check opens the disks after one cut.
func (ref *powerReference) check(r *powerRecording, n int, temp string) error {
	defer os.RemoveAll(temp)
	random := rand.New(rand.NewPCG(uint64(n), 0))
	cut := &powerCut{rand: random, fixed: -1}
	switch random.IntN(10) {
	case 0, 1:
		cut.fixed = lossAll
	case 2:
		cut.fixed = lossNone
	}
	switch opened := r.openTimes(); {
	case n < len(opened): // a member has just opened its log
		cut.at, cut.fixed = opened[n]+1, lossAll
	case n%4 == 0: // during an fsync, of each kind of file equally often
		kind := r.syncs[r.kinds[random.IntN(len(r.kinds))]]
		syncs := kind[random.IntN(len(kind))]
		cut.at = syncs[random.IntN(2)*random.IntN(len(syncs))] + 1 // the first fsync of a file in half of the cases
	case n%8 == 1: // while the members start
		cut.at = r.begins[random.IntN(len(r.begins))] + random.IntN(500)
	case n%4 == 2: // at any time
		cut.at = 1 + random.IntN(r.disk.last)
	default: // just after a member relies on something
		cut.at = r.marks[random.IntN(len(r.marks))].at + 1
	}
	if err := cut.write(r.disk.root, temp); err != nil {
		return err
	}
	covered := map[string]uint64{}
	var errs []error
	for _, id := range []string{"f1", "f2", "f3"} {
		has, err := ref.open(newPowerPromise(r.marks, cut.at, id), id, filepath.Join(temp, id))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		}
		covered[id] = has
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("at %d, %s: %w", cut.at, stageAt(r.marks, cut.at), err)
	}
	for _, a := range ref.acked {
		disks := 0
		for _, has := range covered {
			if ref.events[a.ID] <= has {
				disks++
			}
		}
		if a.at < cut.at && disks < 2 {
			return fmt.Errorf("at %d: the acked event %s is on %d disks", cut.at, a.ID, disks)
		}
	}
	return nil
}

func stageAt(marks []powerMark, at int) (stage string) {
	for _, m := range marks {
		if m.Kind == markStage && m.at < at {
			stage = m.ID
		}
	}
	return stage
}

// open opens the disk of a member and returns the last entry that its state and log have.
func (ref *powerReference) open(p *powerPromise, id, dir string) (has uint64, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		has, err = ref.openDir(p, id, dir, func(failed error) {
			err = fmt.Errorf("it ended with: %w", failed)
			runtime.Goexit()
		})
	}()
	<-done
	return has, err
}

func (ref *powerReference) openDir(p *powerPromise, id, dir string, fatal func(error)) (has uint64, err error) {
	bounds := raftlog.DefaultBounds
	bounds.Segment = powerSegment
	s, err := raftlog.Open(raftlog.Options{
		Dir:       dir,
		ID:        id,
		Bootstrap: id == "f1",
		Join:      true,
		Bounds:    bounds,
		Logger:    slog.New(slog.DiscardHandler),
		Fatal:     fatal,
	})
	if err != nil {
		return 0, fmt.Errorf("it does not open: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := p.checkValues(s.Stable); err != nil {
		return 0, err
	}
	m, err := s.OpenMachine()
	if err != nil {
		return 0, fmt.Errorf("its state does not open: %w", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	applied := m.Applied()
	if sum, err := stateSum(m); err != nil || sum != ref.states[applied] {
		return 0, errors.Join(err, fmt.Errorf("its state after entry %d differs from the log", applied))
	}
	list, err := s.Snapshots.List()
	if err != nil {
		return 0, err
	}
	has = applied
	if len(list) > 0 {
		has = max(has, list[0].Index)
	}
	entries, err := logEntries(s.Log)
	if err != nil {
		return 0, fmt.Errorf("its log cannot be read: %w", err)
	}
	if len(entries) > 0 && entries[0].Index > has+1 {
		return 0, fmt.Errorf("its log begins with entry %d, its state ends with %d", entries[0].Index, has)
	}
	if err := p.checkLog(entries, has); err != nil {
		return 0, err
	}
	// The committed entries of its log lead to the reference's state.
	machine := fsm.NewRaft(m, fatal)
	for _, e := range entries {
		if e.Index <= has {
			continue
		}
		if !e.same(ref.log[e.Index]) {
			break
		}
		if _, err := applyTo(machine, e); err != nil {
			return 0, err
		}
		has = e.Index
	}
	if sum, err := stateSum(m); err != nil || sum != ref.states[m.Applied()] {
		return 0, errors.Join(err, fmt.Errorf("its state after entry %d of its own log differs", m.Applied()))
	}
	return has, nil
}
