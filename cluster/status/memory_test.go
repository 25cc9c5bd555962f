package status

import (
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
)

// Raft removes the log for a snapshot of the master before the snapshot is restored.
func TestEntryInASnapshotOfTheMasterIsNotForgotten(t *testing.T) {
	store, err := raftlog.Open(raftlog.Options{
		Dir: t.TempDir(), ID: "f1", Bootstrap: true, Logger: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Error(err) }, StallTimeout: time.Minute, // the disk may be busy
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := &Source{Store: store}
	var entries []*raft.Log
	for index := uint64(1); index <= 30; index++ {
		entries = append(entries, &raft.Log{Index: index, Term: 2})
	}
	if err := store.Log.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
	holds := func(when string, h Held, want bool) {
		t.Helper()
		if got := s.holds(h); got != want {
			t.Errorf("%s it holds entry %d of term %d: %t", when, h.Index, h.Term, got)
		}
	}
	holds("before the snapshot", Held{16, 2}, true)
	holds("before the snapshot", Held{16, 3}, false)
	holds("before the snapshot", Held{31, 2}, false)
	store.Log.SnapshotStored(82, 3)
	if err := store.Log.DeleteRange(1, 30); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"with an empty log", "after the snapshot"} {
		holds(when, Held{16, 2}, true)
		holds(when, Held{82, 3}, true)
		holds(when, Held{83, 3}, false)
		store.Log.ContinueAfter(82, 3)
	}
}
