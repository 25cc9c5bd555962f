package cluster

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// follower is hashicorp/raft on a member's storage, and the transport of a master that the test plays. Its state machine is of no interest here.
type follower struct {
	t       *testing.T
	storage *storage
	raft    *raft.Raft
	master  *raft.InmemTransport
	address raft.ServerAddress
	members raft.Configuration
}

// newFollower is a follower that has entries up to an index, the last of a term, behind a snapshot that ended with an entry of term 1. None: no snapshot.
func newFollower(t *testing.T, snapshot, last, term uint64) *follower {
	t.Helper()
	f := &follower{t: t}
	o := Options{ID: "f2", Dir: t.TempDir(), Join: []string{"http://127.0.0.1:1"}, TimeScale: 1, Logger: testLog(t)}
	fatal := func(err error) { t.Errorf("the disk: %v", err) }
	var err error
	if f.storage, err = openStorage(o, o.Logger, newMetrics(nil), fatal); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.storage.Close() })
	var over *raft.InmemTransport
	f.address, over = raft.NewInmemTransport("")
	_, f.master = raft.NewInmemTransport("")
	f.master.Connect(f.address, over)
	f.members = raft.Configuration{Servers: []raft.Server{{ID: f.storage.serverID, Address: f.address}, {ID: "f1", Address: f.master.LocalAddr()}}}
	if err := f.storage.stable.SetUint64([]byte(termKey), term); err != nil {
		t.Fatal(err)
	}
	if snapshot > 0 {
		f.store(snapshot)
	}
	for i := snapshot + 1; i <= last; i++ {
		if err := f.storage.history.StoreLog(f.entry(i, term)); err != nil {
			t.Fatal(err)
		}
	}
	c := raft.DefaultConfig()
	c.LocalID, c.NoSnapshotRestoreOnStart, c.Logger = f.storage.serverID, true, raftLogger(o.Logger)
	c.HeartbeatTimeout, c.ElectionTimeout = time.Minute, time.Minute // it elects nobody
	if f.raft, err = raft.NewRaft(c, nothing{}, f.storage.history, f.storage.stable, f.storage.snapshots, over); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.raft.Shutdown().Error() })
	return f
}

func (f *follower) entry(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogNoop}
}

// store puts a snapshot that ends with an entry of term 1 into the storage.
func (f *follower) store(index uint64) {
	f.t.Helper()
	sink, err := f.storage.snapshots.Create(raft.SnapshotVersionMax, index, 1, f.members, 1, f.master)
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// takes has the master of a term send entries behind one of another term, and tells whether the follower took them.
func (f *follower) takes(term, behind, ofTerm uint64, entries ...*raft.Log) bool {
	f.t.Helper()
	var answer raft.AppendEntriesResponse
	said := &raft.AppendEntriesRequest{RPCHeader: f.header(), Term: term, PrevLogEntry: behind, PrevLogTerm: ofTerm, Entries: entries, LeaderCommitIndex: behind}
	if err := f.master.AppendEntries(f.storage.serverID, f.address, said, &answer); err != nil {
		f.t.Fatal(err)
	}
	return answer.Success
}

func (f *follower) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("f1"), Addr: f.master.EncodePeer("f1", f.master.LocalAddr())}
}

// has is what the log has: its first index, its last, and the term of that.
func (f *follower) has(first, last, term uint64) {
	f.t.Helper()
	begins, err := f.storage.log.FirstIndex()
	if err != nil {
		f.t.Fatal(err)
	}
	ends, err := f.storage.log.LastIndex()
	if err != nil {
		f.t.Fatal(err)
	}
	var entry raft.Log
	if err := f.storage.history.GetLog(ends, &entry); err != nil || begins != first || ends != last || entry.Term != term {
		f.t.Errorf("the log has %d to %d of term %d, %v; want %d to %d of term %d", begins, ends, entry.Term, err, first, last, term)
	}
}

// nothing is a state machine that keeps nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }

func TestAFollowerWhoseLogBeginsBehindASnapshotNeedsNoOtherOne(t *testing.T) {
	f := newFollower(t, 5, 8, 1)
	if !f.takes(1, 5, 1, f.entry(6, 1), f.entry(7, 1), f.entry(8, 1), f.entry(9, 1)) {
		t.Error("it wants the snapshot again, although its acks of what is behind it were all that was lost")
	}
	f.has(6, 9, 1)
	if f.takes(1, 5, 2) {
		t.Error("it took entries behind one of another term")
	}
	if f.takes(1, 4, 1) {
		t.Error("it took entries behind one that it does not know")
	}
}

func TestAFollowerThatTakesASnapshotInThePlaceOfMoreThanItHoldsGoesOnBehindIt(t *testing.T) {
	f := newFollower(t, 0, 8, 1)
	var answer raft.InstallSnapshotResponse
	said := &raft.InstallSnapshotRequest{RPCHeader: f.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: 2, LastLogIndex: 5, LastLogTerm: 2,
		Configuration: raft.EncodeConfiguration(f.members), ConfigurationIndex: 1}
	if err := f.master.InstallSnapshot(f.storage.serverID, f.address, said, &answer, bytes.NewReader(nil)); err != nil || !answer.Success {
		t.Fatalf("the snapshot: %v, %+v", err, answer)
	}
	if !f.takes(2, 5, 2, f.entry(6, 2), f.entry(7, 2)) {
		t.Error("it compares what the master sends with entries that it dropped")
	}
	f.has(6, 7, 2)
	if !f.takes(2, 7, 2, f.entry(8, 2), f.entry(9, 2)) {
		t.Error("it does not go on")
	}
	f.has(6, 9, 2)
}

func TestWhatTheLogIsToldOfSnapshotsOutlivesARestart(t *testing.T) {
	f := newFollower(t, 5, 8, 1)
	f.storage.history.goOn(3, 1) // an older one, stored late
	for range 2 {
		var entry raft.Log
		if err := f.storage.history.GetLog(5, &entry); err != nil || entry.Index != 5 || entry.Term != 1 {
			t.Errorf("entry 5 is %+v, %v; want its term, 1", entry, err)
		}
		for _, i := range []uint64{0, 1, 3, 4, 9} {
			if err := f.storage.history.GetLog(i, &entry); err != raft.ErrLogNotFound {
				t.Errorf("entry %d, which is not there, gives %v", i, err)
			}
		}
		f.storage.history = &history{LogStore: f.storage.history.LogStore}
		if err := f.storage.goOnBehind(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALogThatIsEmptiedAgainStillCountsWhatWasInIt(t *testing.T) {
	f := newFollower(t, 5, 8, 1)
	h := f.storage.history
	for range 2 {
		if err := h.DeleteRange(6, 8); err != nil {
			t.Fatal(err)
		}
	}
	var e raft.Log
	if err := h.GetLog(7, &e); err != nil || e.Index != 7 || e.Term != 0 {
		t.Errorf("entry 7, which Raft still counts, is %+v, %v; want no term", e, err)
	}
}

// A snapshot of the master is stored before it is restored. Until then the log does not go on behind it.
func TestALogGoesOnBehindASnapshotOnlyWhenItsStateIsThere(t *testing.T) {
	f := newFollower(t, 0, 0, 1)
	store := f.storage.snapshots
	sink, err := store.files.Create(raft.SnapshotVersionMax, 5, 1, f.members, 1, f.master)
	if err != nil {
		t.Fatal(err)
	}
	got := &received{meta: raft.SnapshotMeta{ID: sink.ID(), Index: 5, Term: 1}, sink: sink}
	store.hand(got)
	mine, err := store.Create(raft.SnapshotVersionMax, 5, 1, f.members, 1, f.master)
	if err == nil {
		err = mine.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	var e raft.Log
	if err := f.storage.history.GetLog(5, &e); err != raft.ErrLogNotFound {
		t.Errorf("entry 5 is %+v, %v, and the state of the snapshot is not there", e, err)
	}
	f.storage.history.goOn(5, 1)
	if err := f.storage.history.GetLog(5, &e); err != nil || e.Term != 1 {
		t.Errorf("entry 5 is %+v, %v; the log goes on behind it", e, err)
	}
	if _, err := mine.Write([]byte{1}); err == nil {
		t.Error("a snapshot that was received could be written to")
	}
}
