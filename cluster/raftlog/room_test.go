package raftlog

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"laurel/fsm"
)

func TestLittleRoomOnTheDiskIsWarnedOfOnce(t *testing.T) {
	dir := t.TempDir()
	s := smallStore(t, dir)
	const database = 4000
	if err := os.WriteFile(filepath.Join(dir, fsm.File), make([]byte, database), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := s.diskNeed(), s.Log.Room()+database; got != want || s.Log.Room() == 0 {
		t.Errorf("the need is %d bytes; want %d", got, want)
	}
	var log bytes.Buffer
	free := int64(0)
	w := &diskWatch{
		free: func(string) (int64, error) { return free, nil },
		need: s.diskNeed,
		log:  slog.New(slog.NewTextHandler(&log, nil)),
	}
	for _, c := range []struct {
		free  int64
		lines int
	}{{1 << 40, 0}, {s.diskNeed() - 1, 1}, {1000, 1}, {1 << 40, 1}, {1000, 2}} {
		free = c.free
		w.check()
		if got := strings.Count(log.String(), "level=WARN"); got != c.lines {
			t.Errorf("with %d bytes free there are %d warnings; want %d", c.free, got, c.lines)
		}
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
