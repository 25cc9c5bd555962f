package fsm

import (
	"slices"
	"sync"
)

// maxHistory is the number of changes that are remembered: some minutes of a busy day, so
// that a watcher that was away for a moment need not begin again.
const maxHistory = 65_536

// changedRecord is a contest, or the medal table of a competition, that has changed.
type changedRecord struct {
	id    string
	table bool
}

// changeHistory remembers which records have changed lately. Its methods are safe for
// concurrent use.
type changeHistory struct {
	mu      sync.Mutex
	from    uint64 // all changes after this revision are remembered
	changes []pastChange
}

// pastChange is a change at a revision or shortly before it.
type pastChange struct {
	revision uint64
	record   changedRecord
}

// reset forgets everything. The state is now at the revision.
func (h *changeHistory) reset(revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from, h.changes = revision, nil
}

// add adds what has changed up to a revision since the last call.
func (h *changeHistory) add(revision uint64, records []changedRecord) {
	if len(records) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.changes) >= 2*maxHistory {
		h.from = h.changes[len(h.changes)-maxHistory-1].revision
		h.changes = append(h.changes[:0], h.changes[len(h.changes)-maxHistory:]...)
	}
	for _, r := range records {
		h.changes = append(h.changes, pastChange{revision, r})
	}
}

// ChangedSince returns the ids of the contests and the competitions of the medal tables
// that have changed since a revision, deleted ones too, and perhaps some others. known is
// false if that is too long ago.
func (m *Machine) ChangedSince(revision uint64) (contests, tables []string, known bool) {
	h := &m.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision < h.from {
		return nil, nil, false
	}
	i, _ := slices.BinarySearchFunc(h.changes, revision+1, func(c pastChange, r uint64) int {
		if c.revision < r {
			return -1
		}
		return 1
	})
	done := map[changedRecord]bool{}
	for _, c := range h.changes[i:] {
		switch {
		case done[c.record]:
		case c.record.table:
			tables = append(tables, c.record.id)
		default:
			contests = append(contests, c.record.id)
		}
		done[c.record] = true
	}
	return contests, tables, true
}
