package cluster

import (
	"errors"
	"sync"

	"github.com/hashicorp/raft"
)

// history is Raft's log as it goes on behind the newest snapshot. Two things that Raft asks of a log can only be told by one that knows of snapshots
// (hashicorp/raft v1.8.0):
//
//   - Before a follower takes entries in, it looks up the one before them (appendEntries). Where its log begins behind a snapshot, and the acks of the first
//     entries were lost, that is the snapshot's last. Were it unknown, the master would send the snapshot again. The follower would drop those entries, which
//     may be committed by its own ack, and would ask for the snapshot again and again, for the next entry would still lack the one before it.
//   - Taking a snapshot from the master empties the log, but Raft goes on counting the entries that were in it (installSnapshot). What the master then sends in
//     their place it compares with them. They are no more, so they are of no term, and Raft replaces them. (hashicorp/raft#697 is this for logs with gaps.)
type history struct {
	raft.LogStore
	contradicted func(error) // ends the member and does not return

	mu      sync.RWMutex
	behind  raft.Log // the last entry of the newest snapshot, without what it said; its index is 0 if there is no snapshot
	emptied uint64   // the last entry that was there when the log was emptied; 0 since others were stored
	newest  raft.Log // the last entry of the newest snapshot that is stored, which may not be restored yet
	// progress returns the index of the last entry applied, and applied is the highest of them: restoring
	// a snapshot sets the state machine back.
	progress func() uint64
	applied  uint64
}

// goOn lets the log go on behind a snapshot. An older one than that which it knows changes nothing.
func (h *history) goOn(index, term uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if index > h.behind.Index {
		h.behind.Index, h.behind.Term = index, term
	}
}

// stored notes that a snapshot is on the disk.
func (h *history) stored(index, term uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if index > h.newest.Index {
		h.newest.Index, h.newest.Term = index, term
	}
}

// noteApplied notes how far the state machine has come, before it is set back.
func (h *history) noteApplied() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.progress != nil {
		h.applied = max(h.applied, h.progress())
	}
}

// begins returns the index of the first entry that the log has or would have next: it goes on
// behind the newest snapshot if it is empty.
func (h *history) begins() uint64 {
	first, err := h.LogStore.FirstIndex()
	if err == nil && first > 0 {
		return first
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.behind.Index + 1
}

// GetLog reads an entry. Of the last one of the newest snapshot, and of what Raft counts although it is gone, there are index and term alone.
func (h *history) GetLog(index uint64, to *raft.Log) error {
	err := h.LogStore.GetLog(index, to)
	if !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	switch {
	case index <= 1: // Raft sends the first entry to whoever has nothing without looking up one before it
		return err
	case index == h.behind.Index:
		*to = h.behind
	case index > h.behind.Index && index <= h.emptied:
		*to = raft.Log{Index: index}
	default:
		return err
	}
	return nil
}

// StoreLog appends one entry.
func (h *history) StoreLog(e *raft.Log) error { return h.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries.
func (h *history) StoreLogs(e []*raft.Log) error {
	err := h.LogStore.StoreLogs(e)
	if err == nil {
		h.mu.Lock()
		h.emptied = 0
		h.mu.Unlock()
	}
	return err
}

// DeleteRange removes entries, as far as they are there. It ends the member if one of them was applied and is in no snapshot.
func (h *history) DeleteRange(from, to uint64) error {
	last, err := h.LastIndex()
	if err != nil || last < from || last == 0 {
		return err
	}
	if err := h.mayRemove(from, to, last); err != nil {
		h.contradicted(err)
	}
	if err := h.LogStore.DeleteRange(from, to); err != nil {
		return err
	}
	if now, err := h.LastIndex(); err != nil || now > 0 {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.emptied = last
	return nil
}

func (h *history) mayRemove(from, to, last uint64) error {
	first, err := h.FirstIndex()
	if err != nil {
		return err
	}
	h.noteApplied()
	h.mu.RLock()
	r := truncation{from: from, to: to, first: first, last: last, applied: h.applied}
	r.snapshot.index, r.snapshot.term = h.newest.Index, h.newest.Term
	h.mu.RUnlock()
	var e raft.Log
	r.inLog = r.snapshot.index >= first && h.LogStore.GetLog(r.snapshot.index, &e) == nil && e.Term == r.snapshot.term
	return r.check()
}

// IsMonotonic says whether the log can have no gaps. Raft looks for it behind the interface.
func (h *history) IsMonotonic() bool {
	log, ok := h.LogStore.(raft.MonotonicLogStore)
	return ok && log.IsMonotonic()
}
