package fsm

import (
	"bytes"
	"slices"
	"sync"

	"laurel/fsm/database"
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

// Keys returns the ids of the contests of a competition, and the competition if it has a
// medal table; for "", of all competitions. Both lists are sorted.
func (v *View) Keys(competition string) (contests, tables []string, err error) {
	ids := func(bucket, prefix []byte, add func(id string)) error {
		c := v.tx.Bucket(bucket).Cursor()
		for k, sealed := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
			if _, err := database.Unseal(k, sealed); err != nil {
				return err
			}
			add(string(k))
		}
		return nil
	}
	within := []byte(nil)
	if competition != "" {
		within = []byte(competition + "/")
	}
	if err := ids(database.Contests, within, func(id string) { contests = append(contests, id) }); err != nil {
		return nil, nil, err
	}
	if competition == "" {
		err = ids(database.Medals, nil, func(id string) { tables = append(tables, id) })
	} else if v.tx.Bucket(database.Medals).Get([]byte(competition)) != nil {
		tables = []string{competition}
	}
	return contests, tables, err
}
