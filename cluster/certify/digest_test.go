package certify

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"testing"
	"time"

	"laurel/fsm"
	"laurel/witness"
)

// A snapshot that nobody takes would keep the database from reusing space, and from closing.
func TestASnapshotIsReleasedIfTheLastOneIsStillHashed(t *testing.T) {
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := &Certifier{kept: make(chan kept)}
	for range 2 {
		s, err := m.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		c.Digest(witness.Head{Size: 1}, s)
	}
	closeInTime(t, m)
}

func TestAStateIsHashedAsItIsAndNotWhenItsFrontendEnds(t *testing.T) {
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func() *fsm.Snapshot {
		s, err := m.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := snapshot()
	want := sha256.New()
	if err := s.Write(want); err != nil {
		t.Fatal(err)
	}
	if got, _, err := hashed(t.Context(), s); err != nil || got != witness.Hash(want.Sum(nil)) {
		t.Errorf("the digest is %x, %v; want %x", got, err, want.Sum(nil))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := hashed(ended, snapshot()); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	closeInTime(t, m)
}

// closeInTime closes a machine, which waits for its snapshots.
func closeInTime(t *testing.T, m *fsm.Machine) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- m.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("a snapshot was not released")
	}
}
