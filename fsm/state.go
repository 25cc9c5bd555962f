package fsm

import (
	"crypto/sha256"
	"slices"
)

// State identifies the state after an entry of the log.
type State struct {
	Applied  uint64 // the index of the entry
	Revision uint64 // of the last event applied
	// Digest is that of all applied events: entry.RunningHash.
	Digest [sha256.Size]byte
}

// State returns the present state.
func (m *Machine) State() State {
	h := m.head.Load()
	return State{h.Applied, h.Revision, h.digest}
}

// StateAt returns the state after the entry of an index. It knows those of the last
// maxRecent entries that were applied since the start, or since a snapshot was installed.
func (m *Machine) StateAt(index uint64) (s State, known bool) {
	m.applying.Lock()
	defer m.applying.Unlock()
	if index > m.Applied() {
		return s, false
	}
	p, known := m.recent.at(index)
	if !known {
		return s, false
	}
	return State{index, p.revision, p.digest}, true
}

// restart continues with the head of a database. m.applying must be held.
func (m *Machine) restart(h *head) {
	m.rounds.Reset(h.rounds)
	h.rounds = nil
	m.expected.Lose()
	m.head.Store(h)
	m.past.Reset(h.Revision)
	m.recent = recent{}
	m.recent.add(point{h.Applied, h.Revision, h.digest})
}

// maxRecent is the number of entries whose states are remembered: some seconds at the
// highest rate, so that those that other members report can be compared.
const maxRecent = 8192

// point is the state after the entry of an index.
type point struct {
	index, revision uint64
	digest          [sha256.Size]byte
}

// recent holds the points of the newest entries, in order. Entries that are no commands
// have none.
type recent struct{ points []point }

func (r *recent) add(p point) {
	if len(r.points) >= 2*maxRecent {
		r.points = append(r.points[:0], r.points[maxRecent:]...)
	}
	r.points = append(r.points, p)
}

// at returns the newest point up to an index.
func (r *recent) at(index uint64) (p point, ok bool) {
	i, _ := slices.BinarySearchFunc(r.points, index+1, func(p point, index uint64) int {
		if p.index < index {
			return -1
		}
		return 1
	})
	if i == 0 {
		return p, false
	}
	return r.points[i-1], true
}
