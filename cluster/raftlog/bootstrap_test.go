package raftlog

import (
	"errors"
	"testing"
)

// A member that has voted may be in another group, which it must not leave for a second
// one.
func TestMemberThatHasVotedIsNotBootstrapped(t *testing.T) {
	for name, store := range map[string]func(s *Store) error{
		"it voted":        func(s *Store) error { return s.Stable().SetUint64([]byte(voteTermKey), 1) },
		"it is in term 2": func(s *Store) error { return s.Stable().SetUint64([]byte(termKey), 2) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			bootstrap := func(o *Options) { o.Bootstrap, o.Join = true, false }
			s := openStore(t, dir, bootstrap)
			if err := errors.Join(s.Stable().SetUint64([]byte(termKey), 1), store(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			if s = openStore(t, dir, bootstrap); !s.Existing() {
				t.Error("it would be bootstrapped")
			}
		})
	}
}
