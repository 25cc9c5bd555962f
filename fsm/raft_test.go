package fsm

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
)

// newRaft returns a machine with its adapter, and the errors that were passed to fatal.
func newRaft(t *testing.T) (*Raft, *Machine, *[]error) {
	t.Helper()
	m := newMachine(t)
	var fatal []error
	return NewRaft(m, func(err error) { fatal = append(fatal, err) }), m, &fatal
}

func command(index uint64, data []byte) *raft.Log {
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: data}
}

func TestRaftGetsAnOutcomeForEachCommand(t *testing.T) {
	r, m, fatal := newRaft(t)
	gap := singlePost(decodeEvent(t, alert, 3, 3, "gap"))
	second := encodeEntry(t, singlePost(decodeEvent(t, alert, 2, 2, "two")))
	answers := r.ApplyBatch([]*raft.Log{
		command(3, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")), gap)),
		{Index: 4, Type: raft.LogConfiguration},
		command(5, second),
		{Index: 6, Type: raft.LogConfiguration},
	})
	first, ok := answers[0].(Outcome)
	if !ok || len(first) != 2 || first[0][0].Status != score.Applied || first[1][0].Problem == nil ||
		answers[1] != nil {
		t.Fatalf("got %+v", answers)
	}
	if second, ok := answers[2].(Outcome); !ok || second[0][0].Revision != 2 || answers[3] != nil {
		t.Fatalf("got %+v", answers)
	}
	if m.Applied() != 6 {
		t.Errorf("applied is %d; want it to include the configuration", m.Applied())
	}
	if again, ok := r.Apply(command(5, second)).(Outcome); !ok || again != nil || m.Revision() != 2 {
		t.Errorf("an entry that was applied before must have no outcome; got %+v", again)
	}
	if len(*fatal) > 0 {
		t.Errorf("got %v", *fatal)
	}
}

func TestAnEntryThatCannotBeDecodedStopsTheMachineOnce(t *testing.T) {
	good := encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))
	unknown := protowire.AppendVarint(protowire.AppendTag(bytes.Clone(good), 9, protowire.VarintType), 1)
	for name, bad := range map[string][]byte{
		"empty":         nil,
		"garbage":       []byte("\x03garbage"),
		"newer version": append([]byte{5}, good[1:]...),
		"truncated":     good[:len(good)-1],
		"unknown field": unknown,
	} {
		t.Run(name, func(t *testing.T) {
			r, m, fatal := newRaft(t)
			r.Apply(command(1, good))
			before := stateOf(t, m)
			next := encodeEntry(t, singlePost(decodeEvent(t, alert, 2, 2, "two")))
			answers := r.ApplyBatch([]*raft.Log{command(2, next), command(3, bad)})
			for range 2 {
				answers = append(answers, r.Apply(command(4, next)))
			}
			for i, a := range answers {
				if _, ok := a.(error); !ok {
					t.Errorf("answer %d is %+v, want an error", i, a)
				}
			}
			var entryErr *EntryError
			var formatErr *access.FormatError
			named := len(*fatal) == 1 && (errors.As((*fatal)[0], &entryErr) && entryErr.Index == 3 ||
				errors.As((*fatal)[0], &formatErr) && strings.HasSuffix(formatErr.What, " 3") && formatErr.Format == 3)
			if !named || (formatErr != nil) != (name == "newer version") {
				t.Errorf("fatal was called %d times: %v; want it to name the entry 3", len(*fatal), *fatal)
			}
			if s, err := r.Snapshot(); err == nil {
				s.Release()
				t.Error("a stopped machine returned a snapshot")
			}
			if m.Applied() != 1 || m.Revision() != 1 {
				t.Errorf("applied is %d, revision %d", m.Applied(), m.Revision())
			}
			dir := m.dir
			if err := m.Close(); err == nil {
				t.Error("Close should return the error that stopped the machine")
			}
			// A newer version of the program gets the same state from the entries before.
			again := openMachine(t, dir)
			defer again.Close()
			if _, err := again.Apply([]Entry{{1, good}}, 1); err != nil {
				t.Fatal(err)
			}
			if stateOf(t, again) != before || again.Applied() != 1 {
				t.Error("the state is not the one before the entry")
			}
		})
	}
}

func TestADatabaseThatFailsStopsTheMachineOnce(t *testing.T) {
	r, m, fatal := newRaft(t)
	r.Apply(command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))))
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, ok := r.Apply(command(2, encodeEntry(t, singlePost(decodeEvent(t, alert, 2, 2, "two"))))).(error); !ok {
			t.Error("an entry was applied to a closed database")
		}
	}
	if err := m.View(func(*view.View) error { return nil }); err == nil {
		t.Error("a closed database was viewed")
	}
	if len(*fatal) != 1 || m.Applied() != 1 {
		t.Errorf("applied is %d, fatal was called with %v", m.Applied(), *fatal)
	}
}

// sink is a raft.SnapshotSink with limited space.
type sink struct {
	bytes.Buffer
	limit             int
	closed, cancelled bool
}

func (s *sink) Write(b []byte) (int, error) {
	if s.Len()+len(b) > s.limit {
		return 0, errors.New("no space left")
	}
	return s.Buffer.Write(b)
}
func (s *sink) ID() string    { return "1-2-3" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }

func TestRaftPersistsAndRestoresTheState(t *testing.T) {
	r, m, _ := newRaft(t)
	r.Apply(command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))))
	s, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	r.Apply(command(2, encodeEntry(t, singlePost(decodeEvent(t, alert, 2, 2, "two")))))
	store := &sink{limit: 1 << 20}
	if err := s.Persist(store); err != nil || !store.closed || store.cancelled {
		t.Fatalf("persist: %v, %+v", err, store)
	}
	if err := r.Restore(io.NopCloser(&store.Buffer)); err != nil {
		t.Fatal(err)
	}
	if m.Applied() != 1 || m.Revision() != 1 {
		t.Errorf("applied is %d, revision %d", m.Applied(), m.Revision())
	}
}

// Raft takes a snapshot, then asks its main goroutine for the configuration. That
// goroutine may be waiting for Restore. If Restore waited for the release of the
// snapshot, all three would wait for ever.
func TestRestoreDoesNotWaitForASnapshotAndMakesItStale(t *testing.T) {
	r, m, _ := newRaft(t)
	r.Apply(command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))))
	later := snapshotOf(t, m)
	r.Apply(command(2, encodeEntry(t, singlePost(decodeEvent(t, alert, 2, 2, "two")))))
	had := snapshotOf(t, m)
	held, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	restored := make(chan error, 1)
	go func() { restored <- r.Restore(io.NopCloser(bytes.NewReader(later))) }()
	select {
	case err := <-restored:
		if err != nil || m.Revision() != 1 {
			t.Errorf("revision %d, %v; want the restored state", m.Revision(), err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Restore waits for the release of the snapshot")
	}
	store := &sink{limit: 1 << 20}
	if err := held.Persist(store); !errors.Is(err, errStale) || store.closed || !store.cancelled {
		t.Errorf("persist: %v, %+v; want the sink cancelled", err, store)
	}
	if !bytes.Equal(store.Bytes(), had) {
		t.Error("the snapshot is not of the state at which it was taken")
	}
}

func TestASnapshotThatRaftCannotStoreIsCancelled(t *testing.T) {
	r, _, fatal := newRaft(t)
	r.Apply(command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))))
	s, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	store := &sink{limit: 20}
	if err := s.Persist(store); err == nil || store.closed || !store.cancelled {
		t.Errorf("persist: %v, %+v", err, store)
	}
	if len(*fatal) > 0 {
		t.Errorf("fatal was called: %v", *fatal)
	}
}

func TestADamagedRecordThatASnapshotMeetsStopsTheMachineWhichBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	m := openMachine(t, dir)
	var fatal []error
	r := NewRaft(m, func(err error) { fatal = append(fatal, err) })
	r.Apply(command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))))
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	damageSeqs(t, m)
	s, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	store := &sink{limit: 1 << 20}
	if err := s.Persist(store); !errors.Is(err, database.ErrDamaged) || !store.cancelled {
		t.Errorf("persist: %v, %+v", err, store)
	}
	s.Release()
	if len(fatal) != 1 || !errors.Is(fatal[0], database.ErrDamaged) {
		t.Errorf("fatal was called with %v", fatal)
	}
	m.Close()
	m = openMachine(t, dir)
	defer m.Close()
	if m.Applied() != 0 {
		t.Errorf("entry %d is applied in a database that was damaged", m.Applied())
	}
}

// damageSeqs damages a record that nothing reads but a repeated post and a snapshot.
func damageSeqs(t *testing.T, m *Machine) {
	t.Helper()
	err := m.db.Update(func(tx *bolt.Tx) error {
		key, _ := tx.Bucket(database.Seqs).Cursor().First()
		return tx.Bucket(database.Seqs).Put(key, []byte("damaged"))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A backup may be under way when a member is closed. Close waits for it, and must not keep it
// from saying what it has met.
func TestADamagedRecordThatASnapshotMeetsDuringCloseLeavesNoMarker(t *testing.T) {
	dir := t.TempDir()
	m := openMachine(t, dir)
	if _, err := m.Apply([]Entry{{1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))}}, 1); err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	damageSeqs(t, m)
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	const limit = time.Minute
	closed := make(chan error, 1)
	go func() { closed <- m.Close() }()
	for start := time.Now(); m.boards.Ask("G/1", &ranking.Query{}).Err != errClosed; runtime.Gosched() {
		if time.Since(start) > limit {
			t.Fatal("Close does not begin")
		}
	}
	written := make(chan error, 1)
	go func() {
		written <- s.Write(io.Discard)
		s.Release()
	}()
	for _, result := range []<-chan error{written, closed} {
		select {
		case err := <-result:
			if !errors.Is(err, database.ErrDamaged) {
				t.Errorf("got %v; want database.ErrDamaged", err)
			}
		case <-time.After(limit):
			t.Fatal("Close and a snapshot wait for each other")
		}
	}
	m = openMachine(t, dir)
	defer m.Close()
	if m.Applied() != 0 {
		t.Errorf("entry %d is applied in a database that was damaged", m.Applied())
	}
}

// Raft assigns to a snapshot the index of the last entry that it has passed on. After a
// restart the machine has applied later ones.
func TestNoSnapshotIsTakenWhileTheStateIsAheadOfRaft(t *testing.T) {
	_, m, _ := newRaft(t)
	entries := []*raft.Log{
		command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))),
		command(2, encodeEntry(t, singlePost(decodeEvent(t, alert, 2, 2, "two")))),
	}
	NewRaft(m, func(error) {}).ApplyBatch(entries)
	r := NewRaft(m, func(error) {}) // as after a restart
	r.ApplyBatch(entries[:1])
	if s, err := r.Snapshot(); err == nil {
		s.Release()
		t.Error("a snapshot at entry 1 was taken of a state that has entry 2")
	}
	r.ApplyBatch(entries[1:])
	s, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	s.Release()
}
