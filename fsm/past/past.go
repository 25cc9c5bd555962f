// Package past remembers which records of a store have changed lately.
package past

import (
	"slices"
	"sync"
)

// maxChanges is the number of changes that are remembered: some minutes of a busy day, so
// that a watcher that was away for a moment need not begin again.
const maxChanges = 65_536

// Record is a contest, or the medal table of a competition, that has changed.
type Record struct {
	ID    string
	Table bool
}

// Changes holds the latest changes. The zero value has none. Its methods are safe for
// concurrent use.
type Changes struct {
	mu      sync.Mutex
	from    uint64 // all changes after this revision are remembered
	changes []change
}

// change is a change at a revision or shortly before it.
type change struct {
	revision uint64
	record   Record
}

// Reset forgets everything. The state is now at the revision.
func (h *Changes) Reset(revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from, h.changes = revision, nil
}

// Add adds what has changed up to a revision since the last call.
func (h *Changes) Add(revision uint64, records []Record) {
	if len(records) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.changes) >= 2*maxChanges {
		h.from = h.changes[len(h.changes)-maxChanges-1].revision
		h.changes = append(h.changes[:0], h.changes[len(h.changes)-maxChanges:]...)
	}
	for _, r := range records {
		h.changes = append(h.changes, change{revision, r})
	}
}

// Since returns the ids of the contests and the competitions of the medal tables
// that have changed since a revision, deleted ones too, and perhaps some others. known is
// false if that is too long ago.
func (h *Changes) Since(revision uint64) (contests, tables []string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision < h.from {
		return nil, nil, false
	}
	i, _ := slices.BinarySearchFunc(h.changes, revision+1, func(c change, r uint64) int {
		if c.revision < r {
			return -1
		}
		return 1
	})
	done := map[Record]bool{}
	for _, c := range h.changes[i:] {
		switch {
		case done[c.record]:
		case c.record.Table:
			tables = append(tables, c.record.ID)
		default:
			contests = append(contests, c.record.ID)
		}
		done[c.record] = true
	}
	return contests, tables, true
}
