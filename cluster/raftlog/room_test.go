package raftlog

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"laurel/fsm"
)

func TestTheNeedForRoomHasLogSnapshotAndDatabase(t *testing.T) {
	dir := t.TempDir()
	s := smallStore(t, dir)
	const database = 4000
	if err := os.WriteFile(filepath.Join(dir, fsm.File), make([]byte, database), 0o600); err != nil {
		t.Fatal(err)
	}
	got := s.DiskNeeds()
	if want := s.Log.Room() + 2*database; got.Most != want || got.Snapshot != database || s.Log.Room() == 0 {
		t.Errorf("before the first snapshot the needs are %+v; want %d, with %d for a snapshot", got, want, database)
	}
}

func TestSnapshotsThatFailAreRetriedAfterLongerAndLongerPauses(t *testing.T) {
	taken, helps := 0, 8
	var pauses []time.Duration
	needed := func() bool { return taken < helps }
	take := func() { taken++ }
	pause := func(d time.Duration) bool {
		pauses = append(pauses, d)
		return len(pauses) < 10
	}
	if !snapshotsWhile(needed, take, pause) || taken != helps || len(pauses) != helps-1 {
		t.Errorf("%d snapshots were taken with the pauses %v; want %d", taken, pauses, helps)
	}
	for i, d := range pauses {
		if want := min(snapshotRetry<<i, maxSnapshotRetry); d != want {
			t.Errorf("pause %d is %v; want %v", i, d, want)
		}
	}
	taken, pauses = 0, nil
	if helps = 100; snapshotsWhile(needed, take, pause) || taken != 10 {
		t.Errorf("%d snapshots were taken, although the member was closed after 10", taken)
	}
}
