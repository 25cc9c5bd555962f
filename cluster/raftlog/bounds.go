package raftlog

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

// The bounds of the log on disk.
const (
	// snapshotBytes is how much log may follow the newest snapshot until another is taken.
	snapshotBytes = 256 << 20
	// trailingEntries and trailingBytes bound the log that is kept behind a snapshot, for
	// members that are slightly behind. Others need the snapshot.
	trailingEntries = 8192
	trailingBytes   = 64 << 20
	// maxLogBytes bounds the log. At the bound, posts wait until a snapshot has made room.
	// The log of a follower may have maxUnapplied more.
	maxLogBytes = 512 << 20
	// maxUnapplied bounds the entries that are stored and not applied, which Raft may hold
	// in memory. Beyond it, entries wait.
	maxUnapplied = 64 << 20
)

// Bounds are the bounds of the log, in bytes but for TrailingEntries.
type Bounds struct {
	Segment         int // of one file of the log
	Recent          int // of the newest entries, in memory
	Snapshot        int64
	TrailingEntries uint64
	Trailing        int64
	Log             int64
	Unapplied       int64
}

// DefaultBounds are the bounds of a log outside of tests.
var DefaultBounds = Bounds{
	Segment:         defaultSegmentSize,
	Recent:          recentBytes,
	Snapshot:        snapshotBytes,
	TrailingEntries: trailingEntries,
	Trailing:        trailingBytes,
	Log:             maxLogBytes,
	Unapplied:       maxUnapplied,
}

// segmentSizes are the segments of the log, which raft-wal stores as a list. They count
// the bytes of the log on disk. It is safe for concurrent use.
type segmentSizes struct {
	list  atomic.Pointer[[]types.SegmentInfo]
	grown chan struct{} // has a value after a segment was added
}

// set notes the list of segments.
func (s *segmentSizes) set(list []types.SegmentInfo) {
	s.list.Store(&list)
	select {
	case s.grown <- struct{}{}:
	default:
	}
}

func (s *segmentSizes) segments() []types.SegmentInfo {
	if list := s.list.Load(); list != nil {
		return *list
	}
	return nil
}

// sizeOf returns the size of a segment's file. A file has its full size from the start,
// and the last write, which fills it, may go beyond. The table of the segment's entries
// follows that write.
func sizeOf(i types.SegmentInfo) int64 {
	size := int64(i.SizeLimit)
	if i.IndexStart > 0 && i.MaxIndex >= i.BaseIndex {
		const entryOfTable = 4
		size = max(size, int64(i.IndexStart+entryOfTable*(i.MaxIndex-i.BaseIndex+1))+3*frameHeaderBytes)
	}
	return size
}

// after returns the bytes of the segments that have, or will have, entries after index.
func (s *segmentSizes) after(index uint64) (total int64) {
	for _, i := range s.segments() {
		if i.SealTime.IsZero() || i.MaxIndex > index {
			total += sizeOf(i)
		}
	}
	return total
}

// start returns the index at which the newest segments of at most limit bytes begin. The
// segment that is being written is always among them.
func (s *segmentSizes) start(limit int64) (index uint64) {
	list := s.segments()
	for n := len(list) - 1; n >= 0; n-- {
		if limit -= sizeOf(list[n]); limit < 0 && n < len(list)-1 {
			break
		}
		index = list[n].MinIndex
	}
	return index
}

// stored is an entry that is stored, and may not be applied yet.
type stored struct {
	index uint64
	bytes int64
}

// Bytes returns the size of the log on disk.
func (l *Log) Bytes() int64 { return l.sizes.after(0) }

// Entries returns the number of entries of the log.
func (l *Log) Entries() uint64 {
	first, last, err := bounds(l)
	if err != nil || first == 0 {
		return 0
	}
	return last - first + 1
}

// Grown returns a channel that has a value after the log has grown by a file.
func (l *Log) Grown() <-chan struct{} { return l.sizes.grown }

// NeedsSnapshot reports whether the log after the newest snapshot is so large that another
// snapshot is due. The limit of each snapshot is chosen at random, so that the members,
// whose logs are the same, do not all write snapshots at the same time.
func (l *Log) NeedsSnapshot() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit == 0 {
		most := l.bounds.Snapshot
		l.limit = most - rand.Int64N(most/4+1)
	}
	return l.sizes.after(l.newest.Index) >= l.limit || l.Bytes() >= l.bounds.Log
}

// Full reports whether the log of a master has no room for further entries until a
// snapshot is taken, or until entries that it has are applied.
func (l *Log) Full() bool {
	return l.Bytes() >= l.bounds.Log || l.Unapplied() >= l.bounds.Unapplied
}

// FollowerFull reports whether the log of a follower has no room for further entries.
// passed is the index of the last entry that Raft has passed on to its state machine.
//
// A follower waits only for room that it makes without its master. Otherwise both could
// wait for each other, and after a change of the master no entry would ever be committed:
//   - Entries that are not committed do not count as unapplied. Only later messages commit
//     them.
//   - A snapshot makes room only if it contains more than the newest one. After a restart
//     none can be taken before Raft has passed on what the log had.
//   - The log may be larger than a master's by what a full master may have in flight.
func (l *Log) FollowerFull(passed uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Bytes() >= l.bounds.follower() && passed > l.newest.Index && passed >= l.opened {
		return true
	}
	if l.countUnapplied() < l.bounds.Unapplied {
		return false
	}
	total := int64(0)
	for n := 0; n < len(l.unapplied) && l.unapplied[n].index <= passed; n++ {
		total += l.unapplied[n].bytes
	}
	return total >= l.bounds.Unapplied
}

// follower returns the bound of the log of a follower.
func (b *Bounds) follower() int64 { return b.Log + b.Unapplied }

// Room returns by how many bytes the log may grow.
func (l *Log) Room() int64 { return max(0, l.bounds.follower()-l.Bytes()) }

// Unapplied returns the bytes of the entries that were stored since the start and are not
// applied.
func (l *Log) Unapplied() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.countUnapplied()
}

// countUnapplied is Unapplied for a caller that holds mu.
func (l *Log) countUnapplied() int64 {
	if l.appliedIndex == nil {
		return 0
	}
	applied, n := l.appliedIndex(), 0
	for ; n < len(l.unapplied) && l.unapplied[n].index <= applied; n++ {
		l.unappliedBytes -= l.unapplied[n].bytes
	}
	l.unapplied = l.unapplied[n:]
	return l.unappliedBytes
}

// noteStored counts entries that were stored. Entries without data, which Raft makes, do
// not count: the state machine never applies them.
func (l *Log) noteStored(entries []*raft.Log) {
	s := stored{}
	for _, e := range entries {
		if size := entryBytes(e); size > 0 {
			s.index = e.Index
			s.bytes += int64(size)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emptied = 0
	l.countUnapplied()
	if s.bytes > 0 {
		l.unapplied = append(l.unapplied, s)
		l.unappliedBytes += s.bytes
	}
}

// noteRemoved forgets entries that were removed from index on.
func (l *Log) noteRemoved(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.unapplied) - 1; n >= 0 && l.unapplied[n].index >= index; n-- {
		l.unappliedBytes -= l.unapplied[n].bytes
		l.unapplied = l.unapplied[:n]
	}
}

// Compact removes entries of the snapshot that the log continues after, but for those at
// the end of the log that TrailingEntries and Trailing allow, and those that the member needs
// to go back. hashicorp/raft counts what it keeps in entries only, so it removes nothing
// itself.
func (l *Log) Compact() error {
	l.removing.Lock()
	defer l.removing.Unlock()
	first, last, err := bounds(l)
	if err != nil || first == 0 {
		return err
	}
	l.mu.Lock()
	to := min(l.base.Index, last-1)
	l.mu.Unlock()
	begin := max(last-min(last, l.bounds.TrailingEntries)+1, l.sizes.start(l.bounds.Trailing))
	if to, err = l.hold(first, min(to, begin-1)); err != nil || to < first {
		return err
	}
	return l.remove(first, to)
}

// hold returns the last entry that is removed: to, or an earlier one so that the member can
// go back. For that the log is kept up to three quarters of its bound, which holds whatever
// happens: a corrupt master that does not seal could fill the disks otherwise.
func (l *Log) hold(first, to uint64) (uint64, error) {
	after, needed, err := l.keeps()
	held := err == nil && needed && first <= after+1 && after < to
	if held && l.Bytes() >= l.bounds.Log/4*3 {
		held = false
		l.logger.Warn("the log no longer reaches back to the last round that this frontend has cosigned, because it "+
			"is too large; rounds are not certified any more: find out why. If this frontend has to go back, it takes "+
			"everything from the others", "log_bytes", l.Bytes(), "from", to+1)
	}
	l.holding.Store(held)
	if held {
		to = after
	}
	return to, err
}
