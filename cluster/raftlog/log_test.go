package raftlog

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/internal/hclogger"
)

// follower is hashicorp/raft on a Store, and the transport of a master that the test
// plays. Its state machine is a stub.
type follower struct {
	t       *testing.T
	store   *Store
	raft    *raft.Raft
	master  *raft.InmemTransport
	address raft.ServerAddress
	members raft.Configuration
}

// testBounds are the usual bounds, but for smaller files of the log.
var testBounds = func() Bounds {
	b := DefaultBounds
	b.Segment = testSegmentSize
	return b
}()

// openStore opens the store of a new member.
func openStore(t *testing.T, dir string, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{
		Dir:    dir,
		ID:     "f2",
		Join:   true,
		Bounds: testBounds,
		Logger: noLog,
		Fatal:  func(err error) { t.Errorf("fatal error: %v", err) },

		StallTimeout: patience, // a busy machine has no broken disk
	}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newFollower returns a follower whose log has the entries after snapshot up to last, all
// of a term. If snapshot is not 0, a snapshot ends with that entry, of term 1.
func newFollower(t *testing.T, snapshot, last, term uint64) *follower {
	t.Helper()
	f := &follower{t: t, store: openStore(t, t.TempDir())}
	var over *raft.InmemTransport
	f.address, over = raft.NewInmemTransportWithTimeout("", patience)
	_, f.master = raft.NewInmemTransportWithTimeout("", patience)
	f.master.Connect(f.address, over)
	f.members = raft.Configuration{Servers: []raft.Server{
		{ID: f.store.ServerID(), Address: f.address},
		{ID: "f1", Address: f.master.LocalAddr()},
	}}
	if err := f.store.Stable.SetUint64([]byte(termKey), term); err != nil {
		t.Fatal(err)
	}
	if snapshot > 0 {
		f.storeSnapshot(snapshot, 1)
	}
	for i := snapshot + 1; i <= last; i++ {
		if err := f.store.Log.StoreLog(f.entry(i, term)); err != nil {
			t.Fatal(err)
		}
	}
	c := raft.DefaultConfig()
	c.LocalID, c.NoSnapshotRestoreOnStart, c.Logger = f.store.ServerID(), true, hclogger.New(noLog, nil)
	c.HeartbeatTimeout, c.ElectionTimeout = time.Minute, time.Minute // no election during the test
	var err error
	f.raft, err = raft.NewRaft(c, stubMachine{}, f.store.Log, f.store.Stable, f.store.Snapshots, over)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.raft.Shutdown().Error() })
	return f
}

func (f *follower) entry(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogNoop}
}

// storeSnapshot stores a snapshot that ends with an entry.
func (f *follower) storeSnapshot(index, term uint64) {
	f.t.Helper()
	sink, err := f.store.Snapshots.Create(raft.SnapshotVersionMax, index, term, f.members, 1, f.master)
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// appends sends entries after the entry prev as the master of a term, and reports whether
// the follower appended them.
func (f *follower) appends(term, prev, prevTerm uint64, entries ...*raft.Log) bool {
	f.t.Helper()
	var response raft.AppendEntriesResponse
	request := &raft.AppendEntriesRequest{
		RPCHeader:         f.header(),
		Term:              term,
		PrevLogEntry:      prev,
		PrevLogTerm:       prevTerm,
		Entries:           entries,
		LeaderCommitIndex: prev,
	}
	if err := f.master.AppendEntries(f.store.ServerID(), f.address, request, &response); err != nil {
		f.t.Fatal(err)
	}
	return response.Success
}

func (f *follower) header() raft.RPCHeader {
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax,
		ID:              []byte("f1"),
		Addr:            f.master.EncodePeer("f1", f.master.LocalAddr()),
	}
}

// checkLog checks the first and the last index of the log, and the term of the last
// entry.
func (f *follower) checkLog(first, last, term uint64) {
	f.t.Helper()
	gotFirst, err := f.store.wal.FirstIndex()
	gotLast, err2 := f.store.wal.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		f.t.Fatal(err)
	}
	var e raft.Log
	if err := f.store.Log.GetLog(gotLast, &e); err != nil || gotFirst != first || gotLast != last || e.Term != term {
		f.t.Errorf("the log has entries %d to %d of term %d, %v; want %d to %d of term %d",
			gotFirst, gotLast, e.Term, err, first, last, term)
	}
}

// stubMachine is a state machine without state.
type stubMachine struct{}

func (stubMachine) Apply(*raft.Log) any                 { return nil }
func (stubMachine) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (stubMachine) Restore(r io.ReadCloser) error       { return r.Close() }

func TestFollowerWhoseLogBeginsAfterASnapshotNeedsNoOther(t *testing.T) {
	f := newFollower(t, 5, 8, 1)
	if !f.appends(1, 5, 1, f.entry(6, 1), f.entry(7, 1), f.entry(8, 1), f.entry(9, 1)) {
		t.Error("it wants the snapshot again, although only its acks of the entries after it were lost")
	}
	f.checkLog(6, 9, 1)
	if f.appends(1, 5, 2) {
		t.Error("it appended entries after an entry of another term")
	}
	if f.appends(1, 4, 1) {
		t.Error("it appended entries after an entry that it does not know")
	}
}

func TestFollowerThatInstallsASnapshotOfLessThanItsLogContinuesAfterIt(t *testing.T) {
	f := newFollower(t, 0, 8, 1)
	var response raft.InstallSnapshotResponse
	request := &raft.InstallSnapshotRequest{
		RPCHeader:          f.header(),
		SnapshotVersion:    raft.SnapshotVersionMax,
		Term:               2,
		LastLogIndex:       5,
		LastLogTerm:        2,
		Configuration:      raft.EncodeConfiguration(f.members),
		ConfigurationIndex: 1,
	}
	err := f.master.InstallSnapshot(f.store.ServerID(), f.address, request, &response, bytes.NewReader(nil))
	if err != nil || !response.Success {
		t.Fatalf("install the snapshot: %v, %+v", err, response)
	}
	if !f.appends(2, 5, 2, f.entry(6, 2), f.entry(7, 2)) {
		t.Error("it compares the master's entries with entries that it dropped")
	}
	f.checkLog(6, 7, 2)
	if !f.appends(2, 7, 2, f.entry(8, 2), f.entry(9, 2)) {
		t.Error("it does not append the next entries")
	}
	f.checkLog(6, 9, 2)
}

func TestLogKnowsItsSnapshotAfterARestart(t *testing.T) {
	f := newFollower(t, 5, 8, 1)
	f.store.Log.ContinueAfter(3, 1) // an older one, stored late
	for range 2 {
		var e raft.Log
		if err := f.store.Log.GetLog(5, &e); err != nil || e.Index != 5 || e.Term != 1 {
			t.Errorf("entry 5 is %+v, %v; want term 1", e, err)
		}
		for _, i := range []uint64{0, 1, 3, 4, 9} {
			if err := f.store.Log.GetLog(i, &e); err != raft.ErrLogNotFound {
				t.Errorf("entry %d, which does not exist, gives %v", i, err)
			}
		}
		f.store.Log = &Log{recentLog: f.store.Log.recentLog}
		if err := f.store.continueAfterNewest(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLogThatIsEmptiedTwiceStillCountsItsEntries(t *testing.T) {
	f := newFollower(t, 5, 8, 1)
	for range 2 {
		if err := f.store.Log.DeleteRange(6, 8); err != nil {
			t.Fatal(err)
		}
	}
	var e raft.Log
	if err := f.store.Log.GetLog(7, &e); err != nil || e.Index != 7 || e.Term != 0 {
		t.Errorf("entry 7, which Raft still counts, is %+v, %v; want term 0", e, err)
	}
}

// A snapshot of the master is stored before it is restored. Until then the log does not
// continue after it.
func TestLogContinuesAfterASnapshotOnlyWhenItsStateIsThere(t *testing.T) {
	f := newFollower(t, 0, 0, 1)
	f.store.Log.SnapshotStored(5, 1)
	var e raft.Log
	if err := f.store.Log.GetLog(5, &e); err != raft.ErrLogNotFound {
		t.Errorf("entry 5 is %+v, %v, and the state of the snapshot is not there", e, err)
	}
	f.store.Log.ContinueAfter(5, 1)
	if err := f.store.Log.GetLog(5, &e); err != nil || e.Term != 1 {
		t.Errorf("entry 5 is %+v, %v; want term 1", e, err)
	}
}

func TestAppliedEntryIsRemovedOnlyIfASnapshotHasIt(t *testing.T) {
	for _, c := range []struct {
		what       string
		from, to   uint64
		applied    uint64
		snapshot   uint64
		inLog, bad bool
	}{
		{what: "the end, of which another master has other entries", from: 15, to: 20, applied: 14},
		{what: "the end, applied", from: 15, to: 20, applied: 15, bad: true},
		{what: "the end, applied, with a snapshot of it", from: 15, to: 20, applied: 17, snapshot: 17, bad: true},
		{what: "the beginning, with a snapshot", from: 10, to: 14, applied: 20, snapshot: 14},
		{what: "the beginning, without a snapshot", from: 10, to: 14, applied: 20, bad: true},
		{what: "the beginning, with a snapshot of less", from: 10, to: 14, applied: 20, snapshot: 13, bad: true},
		{what: "the beginning, not applied", from: 10, to: 14, applied: 9},
		{what: "all, for a snapshot of the master", from: 10, to: 20, applied: 12, snapshot: 30},
		{what: "all, for a snapshot of another history", from: 10, to: 20, applied: 12, snapshot: 15},
		{what: "all, for a snapshot of less than is applied", from: 10, to: 20, applied: 20, snapshot: 15, bad: true},
		{
			what: "all, for a snapshot whose last entry the log has",
			from: 10, to: 20, applied: 15, snapshot: 15, inLog: true, bad: true,
		},
		{
			what: "all, for a snapshot that ends where the log does",
			from: 10, to: 20, applied: 20, snapshot: 20, inLog: true,
		},
		{what: "all, of which nothing was applied, for another master's entries", from: 10, to: 20, applied: 9},
		{what: "the middle", from: 12, to: 14, bad: true},
	} {
		tr := truncation{
			from: c.from, to: c.to, first: 10, last: 20, applied: c.applied, snapshot: c.snapshot, inLog: c.inLog,
		}
		if err := tr.check(); (err != nil) != c.bad {
			t.Errorf("%s: %v; want an error: %v", c.what, err, c.bad)
		}
	}
}
