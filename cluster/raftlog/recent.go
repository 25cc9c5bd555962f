package raftlog

import (
	"sync"

	"github.com/hashicorp/raft"
)

// Bounds of the entries in memory.
const (
	// recentEntries is the number of entries kept in memory for followers that are
	// slightly behind.
	recentEntries = 128
	// recentBytes bounds the bytes of those entries.
	recentBytes = 32 << 20
)

// logStore is a log that can have no gaps.
type logStore interface {
	raft.LogStore
	raft.MonotonicLogStore
}

// recentLog keeps the newest entries of a log in memory, at most recentEntries and at
// most maxBytes. raft.LogCache bounds only their number.
type recentLog struct {
	logStore
	maxBytes int

	mu     sync.RWMutex
	ring   [recentEntries]*raft.Log // the entry with index i is at i modulo the length
	oldest uint64                   // index of the oldest entry in the ring
	next   uint64                   // index after the newest entry in the ring
	bytes  int
}

// entryBytes returns the number of bytes of an entry.
func entryBytes(e *raft.Log) int { return len(e.Data) + len(e.Extensions) }

// GetLog reads an entry.
func (r *recentLog) GetLog(index uint64, to *raft.Log) error {
	r.mu.RLock()
	held := r.oldest <= index && index < r.next
	if held {
		*to = *r.ring[index%recentEntries]
	}
	r.mu.RUnlock()
	if held {
		return nil
	}
	return r.logStore.GetLog(index, to)
}

// StoreLogs appends entries.
func (r *recentLog) StoreLogs(entries []*raft.Log) error {
	if err := r.logStore.StoreLogs(entries); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		r.add(e)
	}
	return nil
}

// add adds an entry, and drops the oldest ones for which there is no room.
func (r *recentLog) add(e *raft.Log) {
	if e.Index != r.next {
		r.clear()
		r.oldest, r.next = e.Index, e.Index
	}
	size := entryBytes(e)
	for r.oldest < r.next && (r.next-r.oldest == recentEntries || r.bytes+size > r.maxBytes) {
		slot := &r.ring[r.oldest%recentEntries]
		r.bytes -= entryBytes(*slot)
		*slot = nil
		r.oldest++
	}
	r.next++
	if size > r.maxBytes {
		r.oldest = r.next
		return
	}
	r.ring[e.Index%recentEntries] = e
	r.bytes += size
}

func (r *recentLog) clear() {
	clear(r.ring[:])
	r.oldest, r.next, r.bytes = 0, 0, 0
}

// DeleteRange removes entries.
func (r *recentLog) DeleteRange(from, to uint64) error {
	r.mu.Lock()
	r.clear()
	r.mu.Unlock()
	return r.logStore.DeleteRange(from, to)
}
