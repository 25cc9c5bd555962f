package raftlog

import (
	"errors"
	"testing"
)

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
		newest, err := f.store.newestSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		if drop, err := f.store.superseded(newest); err != nil || drop != c.drop {
			t.Errorf("%s: it is dropped: %t, %v; want %t", c.what, drop, err, c.drop)
		}
	}
}

// A member that has voted may be in another group, which it must not leave for a second
// one.
func TestMemberThatHasVotedIsNotBootstrapped(t *testing.T) {
	for name, store := range map[string]func(s *Store) error{
		"it voted":        func(s *Store) error { return s.Stable.SetUint64([]byte(voteTermKey), 1) },
		"it is in term 2": func(s *Store) error { return s.Stable.SetUint64([]byte(termKey), 2) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			bootstrap := func(o *Options) { o.Bootstrap, o.Join = true, false }
			s := openStore(t, dir, bootstrap)
			if err := errors.Join(s.Stable.SetUint64([]byte(termKey), 1), store(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			if s = openStore(t, dir, bootstrap); !s.Existing {
				t.Error("it would be bootstrapped")
			}
		})
	}
}
