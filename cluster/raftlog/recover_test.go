package raftlog

import "testing"

// Raft drops the log when it has installed a snapshot of the master. A crash can come
// before that.
func TestLogReplacedByASnapshotIsDroppedAtTheStart(t *testing.T) {
	for _, c := range []struct {
		what        string
		index, term uint64
		drop        bool
	}{
		{"the log ends before it", 100, 9, true},
		{"the log has another entry there", 4, 9, true},
		{"the log has it", 4, 2, false},
	} {
		f := newFollower(t, 0, 8, 2)
		f.storeSnapshot(c.index, c.term)
		list, err := f.store.snapshots.List()
		if err != nil {
			t.Fatal(err)
		}
		if drop, err := f.store.superseded(list); err != nil || drop != c.drop {
			t.Errorf("%s: it is dropped: %t, %v; want %t", c.what, drop, err, c.drop)
		}
	}
}
