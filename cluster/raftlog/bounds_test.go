package raftlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// small are bounds for logs of a few MiB.
var small = Bounds{
	Segment:         testSegmentSize,
	Recent:          512 << 10,
	Snapshot:        1 << 20,
	TrailingEntries: 1000,
	Trailing:        700 << 10,
	Log:             3 << 20,
	Unapplied:       128 << 10,
}

func smallStore(t *testing.T, dir string) *Store {
	t.Helper()
	return openStore(t, dir, func(o *Options) { o.Bounds = small })
}

// sized returns an entry.
func sized(index uint64, size int) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Data: bytes.Repeat([]byte{byte(index)}, size)}
}

func mustStore(t *testing.T, l *Log, entries ...*raft.Log) {
	t.Helper()
	if err := l.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
}

// diskBytes returns the size of the files of the log.
func diskBytes(t *testing.T, dir string) (total int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, logDir, "*.wal"))
	for _, f := range files {
		info, err2 := os.Stat(f)
		if errors.Is(err2, os.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, err2); err == nil {
			total += info.Size()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatal(what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestBytesOfTheLogAreThoseOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := smallStore(t, dir)
	if err := s.Stable.SetUint64([]byte(termKey), 1); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		eventually(t, when+": the count differs from the files", func() bool {
			// The table of a file is aligned, which the count rounds up.
			diff := s.Log.Bytes() - diskBytes(t, dir)
			return 0 <= diff && diff < 1024
		})
	}
	check("empty")
	for i := uint64(1); i <= 40; i++ {
		size := 32 << 10
		if i%10 == 0 {
			size = 2 * testSegmentSize
		}
		mustStore(t, s.Log, sized(i, size))
	}
	check("full of entries")
	if err := s.Log.DeleteRange(35, 40); err != nil {
		t.Fatal(err)
	}
	check("after its end was removed")
	if err := s.Log.DeleteRange(1, 20); err != nil {
		t.Fatal(err)
	}
	check("after its beginning was removed")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = smallStore(t, dir)
	check("after a restart")
}

func TestSnapshotIsDueAfterBytesOfLogAndLeavesFewBehind(t *testing.T) {
	dir := t.TempDir()
	s := smallStore(t, dir)
	l, last := s.Log, uint64(0)
	for round := range 3 {
		from := last
		for !l.NeedsSnapshot() {
			last++
			mustStore(t, l, sized(last, 32<<10))
			if last-from > uint64(small.Snapshot/(32<<10)) {
				t.Fatalf("round %d: no snapshot is due after %d entries of 32 KiB", round, last-from)
			}
		}
		if grown := int64(last-from) * (32 << 10); grown < small.Snapshot/2-testSegmentSize {
			t.Errorf("round %d: a snapshot is due after %d bytes", round, grown)
		}
		l.SnapshotStored(last-2, 1)
		l.ContinueAfter(last-2, 1)
		if err := l.Compact(); err != nil {
			t.Fatal(err)
		}
		most := small.Trailing + testSegmentSize
		eventually(t, "the log behind a snapshot is too large", func() bool { return diskBytes(t, dir) <= most })
		if l.NeedsSnapshot() {
			t.Errorf("round %d: a snapshot is due right after one", round)
		}
		if first, err := l.FirstIndex(); err != nil || first > last-2 {
			t.Errorf("round %d: the log begins at entry %d, %v, and ends at %d: a follower that is slightly behind "+
				"needs the snapshot", round, first, err, last)
		}
	}
}

func TestEntriesAfterTheSnapshotAreNeverRemoved(t *testing.T) {
	s := smallStore(t, t.TempDir())
	for i := uint64(1); i <= 60; i++ {
		mustStore(t, s.Log, sized(i, 64<<10))
	}
	s.Log.SnapshotStored(40, 1) // of the master, and not restored yet
	if err := s.Log.Compact(); err != nil {
		t.Fatal(err)
	}
	if first, err := s.Log.FirstIndex(); err != nil || first != 1 {
		t.Errorf("the log begins at entry %d, %v, before a snapshot is restored", first, err)
	}
	s.Log.ContinueAfter(20, 1)
	if err := s.Log.Compact(); err != nil {
		t.Fatal(err)
	}
	if first, err := s.Log.FirstIndex(); err != nil || first != 21 {
		t.Errorf("the log begins at entry %d, %v; the snapshot ends at 20", first, err)
	}
	s.Log.SnapshotStored(60, 1)
	s.Log.ContinueAfter(60, 1)
	if err := s.Log.Compact(); err != nil {
		t.Fatal(err)
	}
	if last, err := s.Log.LastIndex(); err != nil || last != 60 {
		t.Errorf("the log ends at entry %d, %v; want 60", last, err)
	}
}

func TestLogIsFullAtItsBoundUntilItIsCompacted(t *testing.T) {
	s := smallStore(t, t.TempDir())
	last := uint64(0)
	for !s.Log.Full() {
		last++
		mustStore(t, s.Log, sized(last, 64<<10))
		if int64(last)*(64<<10) > small.Log {
			t.Fatalf("%d entries of 64 KiB do not fill it", last)
		}
	}
	if got := s.Log.Bytes(); got < small.Log || got > small.Log+testSegmentSize {
		t.Errorf("it is full at %d bytes; want %d", got, small.Log)
	}
	if s.Log.Room() > small.Unapplied || !s.Log.NeedsSnapshot() {
		t.Error("it is full, and has room for more than a follower, or needs no snapshot")
	}
	s.Log.SnapshotStored(last, 1)
	s.Log.ContinueAfter(last, 1)
	if err := s.Log.Compact(); err != nil || s.Log.Full() {
		t.Errorf("it is full behind a snapshot: %v", err)
	}
}

func TestEntriesThatAreNotAppliedFillTheLog(t *testing.T) {
	s := smallStore(t, t.TempDir())
	applied := uint64(0)
	s.Log.appliedIndex = func() uint64 { return applied }
	mustStore(t, s.Log, sized(1, 64<<10), sized(2, 32<<10))
	if s.Log.Full() {
		t.Error("it is full with 96 KiB")
	}
	mustStore(t, s.Log, sized(3, 32<<10))
	if !s.Log.Full() {
		t.Error("it is not full with 128 KiB that are not applied")
	}
	if err := s.Log.DeleteRange(3, 3); err != nil || s.Log.Full() {
		t.Errorf("it is full with an entry that was removed: %v", err)
	}
	mustStore(t, s.Log, sized(3, 64<<10))
	if applied = 2; s.Log.Full() || s.Log.Unapplied() != 64<<10 {
		t.Errorf("it has %d bytes that are not applied; want 65536", s.Log.Unapplied())
	}
	if applied = 3; s.Log.Unapplied() != 0 {
		t.Errorf("it has %d bytes that are not applied; want none", s.Log.Unapplied())
	}
}

func TestEntriesWithoutDataDoNotFillTheLog(t *testing.T) {
	s := smallStore(t, t.TempDir())
	applied := uint64(0)
	s.Log.appliedIndex = func() uint64 { return applied }
	mustStore(t, s.Log, sized(1, int(small.Unapplied)), &raft.Log{Index: 2, Term: 2, Type: raft.LogNoop})
	mustStore(t, s.Log, &raft.Log{Index: 3, Term: 3, Type: raft.LogNoop})
	if !s.Log.Full() {
		t.Error("it is not full")
	}
	if applied = 1; s.Log.Full() || s.Log.Unapplied() != 0 { // the state machine applies no others
		t.Errorf("it has %d bytes that are not applied; want none", s.Log.Unapplied())
	}
}

// A follower that waits for its master, which waits for the follower, would wait forever.
func TestFollowerWaitsOnlyForRoomThatItMakesItself(t *testing.T) {
	dir := t.TempDir()
	s := smallStore(t, dir)
	if err := s.Stable.SetUint64([]byte(termKey), 1); err != nil {
		t.Fatal(err)
	}
	applied, last := uint64(0), uint64(0)
	s.Log.appliedIndex = func() uint64 { return applied }
	check := func(what string, passed uint64, want bool) {
		t.Helper()
		if got := s.Log.FollowerFull(passed); got != want {
			t.Errorf("%s: full is %t; want %t", what, got, want)
		}
	}
	for range 3 {
		last++
		mustStore(t, s.Log, sized(last, 64<<10))
	}
	check("192 KiB that are not committed", 0, false)
	check("128 KiB that are committed and not applied", 2, true)
	applied = 1
	check("64 KiB that are committed and not applied", 2, false)
	for !s.Log.Full() || s.Log.Bytes() < small.Log {
		last++
		mustStore(t, s.Log, sized(last, 64<<10))
		applied = last
	}
	check("what a master whose log is full has in flight", last, false)
	for s.Log.Room() > 0 {
		last++
		mustStore(t, s.Log, sized(last, 64<<10))
		applied = last
	}
	check("a snapshot makes room", last, true)
	s.Log.SnapshotStored(last-1, 1)
	check("the newest snapshot has all that is committed", last-1, false)
	check("another snapshot makes room", last, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = smallStore(t, dir)
	s.Log.opened = last // as OpenMachine sets it
	check("nothing is known to be committed after a restart", 0, false)
	check("a part is known to be committed after a restart", last-1, false)
	check("all is known to be committed after a restart", last, true)
}

// interruptedStore calls between once, after looks looks for the end of the log.
type interruptedStore struct {
	Backend
	looks   int
	between func()
}

func (s *interruptedStore) LastIndex() (uint64, error) {
	last, err := s.Backend.LastIndex()
	if s.looks--; s.looks == 0 {
		s.between()
	}
	return last, err
}

func TestCompactionAndASnapshotOfTheMasterDoNotMix(t *testing.T) {
	cut := &interruptedStore{}
	b := small
	b.TrailingEntries = 1
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Bounds = b
		o.Wrap = func(b Backend) Backend { cut.Backend = b; return cut }
	})
	for i := uint64(1); i <= 60; i++ {
		mustStore(t, s.Log, sized(i, 64<<10))
	}
	s.Log.SnapshotStored(40, 1)
	s.Log.ContinueAfter(40, 1)
	emptied := make(chan error, 1)
	cut.between = func() {
		s.Log.SnapshotStored(100, 1)
		go func() { emptied <- s.Log.DeleteRange(1, 60) }() // as Raft installs a snapshot
		select {
		case err := <-emptied:
			emptied <- err
		case <-time.After(50 * time.Millisecond): // it waits
		}
	}
	cut.looks = 2 // the second is that of the removal
	t.Cleanup(s.Release)
	compacted := make(chan error, 1)
	go func() { compacted <- s.Log.Compact() }()
	for _, done := range []chan error{compacted, emptied} {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("entries are not removed")
		}
	}
	var e raft.Log
	if err := s.Log.GetLog(60, &e); err != nil || e.Term != 0 {
		t.Errorf("entry 60, which Raft still counts, is %+v, %v; want term 0", e, err)
	}
}

func TestRecentEntriesAreBoundedInBytes(t *testing.T) {
	s := smallStore(t, t.TempDir())
	r := s.Log.recentLog
	check := func() {
		t.Helper()
		held, total := 0, 0
		for _, e := range r.ring {
			if e != nil {
				held, total = held+1, total+entryBytes(e)
			}
		}
		if total != r.bytes || total > small.Recent || held != int(r.next-r.oldest) {
			t.Fatalf("%d entries of %d bytes are held; counted are %d of %d", held, total, r.next-r.oldest, r.bytes)
		}
	}
	index := uint64(0)
	for _, size := range []int{1, 100 << 10, 400 << 10, 600 << 10, 10, 512 << 10} {
		for range min(recentEntries/3, 1+(2<<20)/size) {
			index++
			mustStore(t, s.Log, sized(index, size))
			check()
		}
		for i := max(1, int(index)-5); i <= int(index); i++ {
			var e raft.Log
			if err := s.Log.GetLog(uint64(i), &e); err != nil || e.Index != uint64(i) || e.Data[0] != byte(i) {
				t.Fatalf("entry %d is read as %d: %v", i, e.Index, err)
			}
		}
	}
	for range 2 * recentEntries {
		index++
		mustStore(t, s.Log, sized(index, 1))
		check()
	}
	if n := r.next - r.oldest; n != recentEntries {
		t.Errorf("%d small entries are held; want %d", n, recentEntries)
	}
	if err := s.Log.DeleteRange(index-3, index); err != nil {
		t.Fatal(err)
	}
	check()
	mustStore(t, s.Log, &raft.Log{Index: index - 3, Term: 2})
	var e raft.Log
	if err := s.Log.GetLog(index-3, &e); err != nil || e.Term != 2 {
		t.Errorf("an entry in the place of another is read with term %d, %v", e.Term, err)
	}
	check()
}
