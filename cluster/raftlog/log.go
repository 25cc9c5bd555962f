package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Log is Raft's log as it continues after the newest snapshot. hashicorp/raft v1.8.0 asks
// two things of a log that only a log that knows of snapshots can answer:
//
//   - Before a follower appends entries, it looks up the entry before them
//     (appendEntries). Where its log begins after a snapshot, and the acks of the first
//     entries were lost, that is the last entry of the snapshot. If it were unknown, the
//     master would send the snapshot again. The follower would drop those entries, which
//     may be committed by its own ack, and would need the snapshot again and again,
//     because the next entry would still lack the one before it.
//   - Installing a snapshot from the master empties the log, but Raft still counts the
//     entries that were in it (installSnapshot), and compares the master's next entries
//     with them. Log returns them with term 0, so that Raft replaces them.
//     (hashicorp/raft#697 is the same for logs with gaps.)
//
// Log also refuses to remove entries that were applied and are in no snapshot.
type Log struct {
	*recentLog
	contradicted func(error) // ends the member and does not return
	bounds       Bounds
	sizes        *segmentSizes
	logger       *slog.Logger
	// keeps returns the entry after which Compact keeps the log so that the member can go
	// back; needed is false if there is none.
	keeps   func() (after uint64, needed bool, err error)
	holding atomic.Bool // the last Compact has kept entries because of it

	// removing is held while entries are removed. Raft's main goroutine may empty the log
	// for a snapshot of the master while Compact removes entries of an own one.
	removing sync.Mutex

	mu      sync.RWMutex
	base    raft.Log // index and term of the last entry of the newest snapshot; index 0 if there is none
	emptied uint64   // the last entry of the log when it was emptied; 0 once other entries were stored
	newest  raft.Log // the last entry of the newest stored snapshot, which may not be restored yet
	// appliedIndex returns the index of the last entry applied. applied is the highest
	// such index: restoring a snapshot sets the state machine back.
	appliedIndex func() uint64
	applied      uint64
	// unapplied are the stores since the start whose entries may not all be applied.
	unapplied      []stored
	unappliedBytes int64
	opened         uint64 // the last entry of the log when it was opened
	limit          int64  // of the log after the newest snapshot; 0 before it is chosen
}

// ContinueAfter lets the log continue after a snapshot. A snapshot older than the one it
// continues after already changes nothing.
func (l *Log) ContinueAfter(index, term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index > l.base.Index {
		l.base.Index, l.base.Term = index, term
	}
}

// SnapshotStored notes that a snapshot is on the disk.
func (l *Log) SnapshotStored(index, term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index > l.newest.Index {
		l.newest.Index, l.newest.Term = index, term
		l.limit = 0
	}
}

// InSnapshot reports whether the newest snapshot on the disk has an entry.
func (l *Log) InSnapshot(index uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return index <= l.newest.Index
}

// NoteApplied notes the last applied entry. It must be called before the state machine is
// set back.
func (l *Log) NoteApplied() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.appliedIndex != nil {
		l.applied = max(l.applied, l.appliedIndex())
	}
}

// Start returns the index of the first entry that the log has, or will have next if it is
// empty.
func (l *Log) Start() uint64 {
	first, err := l.recentLog.FirstIndex()
	if err == nil && first > 0 {
		return first
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.base.Index + 1
}

// GetLog reads an entry. For the last entry of the newest snapshot it returns index and
// term alone, and for an entry that Raft still counts although it is gone, the index
// alone.
func (l *Log) GetLog(index uint64, to *raft.Log) error {
	err := l.recentLog.GetLog(index, to)
	if !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case index <= 1: // Raft sends the first entry to a member with an empty log without looking up the one before it
		return err
	case index == l.base.Index:
		*to = l.base
	case index > l.base.Index && index <= l.emptied:
		*to = raft.Log{Index: index}
	default:
		return err
	}
	return nil
}

// StoreLog appends one entry.
func (l *Log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries.
func (l *Log) StoreLogs(e []*raft.Log) error {
	err := l.recentLog.StoreLogs(e)
	if err == nil && len(e) > 0 {
		l.noteStored(e)
	}
	return err
}

// DeleteRange removes those of the entries that exist. It ends the member if one of them
// was applied and is in no snapshot.
func (l *Log) DeleteRange(from, to uint64) error {
	l.removing.Lock()
	defer l.removing.Unlock()
	return l.remove(from, to)
}

// remove is DeleteRange for a caller that holds removing.
func (l *Log) remove(from, to uint64) error {
	last, err := l.LastIndex()
	if err != nil || last < from || last == 0 {
		return err
	}
	if err := l.checkTruncation(from, to, last); err != nil {
		l.contradicted(err)
	}
	if err := l.recentLog.DeleteRange(from, to); err != nil {
		return err
	}
	if to >= last {
		l.noteRemoved(from)
	}
	if now, err := l.LastIndex(); err != nil || now > 0 {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emptied = last
	return nil
}

func (l *Log) checkTruncation(from, to, last uint64) error {
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	l.NoteApplied()
	l.mu.RLock()
	newest := l.newest
	t := truncation{from: from, to: to, first: first, last: last, applied: l.applied, snapshot: newest.Index}
	l.mu.RUnlock()
	var e raft.Log
	t.inLog = newest.Index >= first && l.recentLog.GetLog(newest.Index, &e) == nil && e.Term == newest.Term
	return t.check()
}

// truncation is a range of entries that Raft asks its log to remove. Raft removes entries
// for three reasons: they are the end of the log, and the master has other entries in
// their place; they are in a snapshot of this member; a snapshot of the master replaces
// all of them. In no case may an entry be removed that was applied and is in no snapshot.
type truncation struct {
	from, to    uint64
	first, last uint64 // of the log
	applied     uint64 // index of the last entry ever applied here
	snapshot    uint64 // index of the last entry of the newest snapshot
	inLog       bool   // whether the log has that very entry
}

// check returns an error if the removal contradicts what this member has acknowledged.
func (t truncation) check() error {
	applied := min(t.to, t.applied)
	switch {
	case t.from > t.first && t.to < t.last:
		return fmt.Errorf("entries %d to %d are to be removed from the middle of the log, which has %d to %d",
			t.from, t.to, t.first, t.last)
	case t.from > t.first && applied >= t.from:
		return fmt.Errorf("entries %d to %d are to be removed from the end of the log, but those up to %d are applied",
			t.from, t.to, applied)
	case t.from <= t.first && applied >= t.from && t.snapshot < applied:
		return fmt.Errorf("entries %d to %d are to be removed from the log, but those up to %d are applied "+
			"and the newest snapshot ends at %d", t.from, t.to, applied, t.snapshot)
	case t.from <= t.first && t.to >= t.last && t.inLog && t.snapshot < t.last:
		return fmt.Errorf("entries %d to %d are to be removed for a snapshot that ends at entry %d, "+
			"but the log continues after that very entry", t.from, t.to, t.snapshot)
	}
	return nil
}
