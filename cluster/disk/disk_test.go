package disk

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a Watch of a disk whose free room the test sets.
type watched struct {
	*Watch
	free   int64
	scarce int
	log    bytes.Buffer
}

func watch(t *testing.T, needs Needs) *watched {
	w := &watched{}
	w.Watch = &Watch{
		Dir: t.TempDir(), Needs: func() Needs { return needs },
		Free:   func(string) (int64, error) { return w.free, nil },
		Scarce: func() { w.scarce++ },
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	w.Reserve = NewReserve(w.Dir)
	w.Reserve.unsupported = true
	return w
}

// look measures the room when free bytes are free.
func (w *watched) look(free int64) *State {
	time.Sleep(maxAge)
	w.free = free
	return w.Look()
}

func TestRoomForPostsEndsWhereASnapshotWouldNotFitAndComesBackWithSomeToSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		needs := Needs{Snapshot: 100 << 20, Most: 1 << 30}
		w := watch(t, needs)
		limit := int64(slack + 100<<20)
		for i, step := range []struct {
			free   int64
			room   bool
			scarce int
		}{
			{1 << 40, true, 0},
			{limit, true, 0},
			{limit - 1, false, 1},
			{limit, false, 1}, // no flapping at the limit
			{limit + limit/4 - 1, false, 1},
			{limit + limit/4, true, 1},
			{limit, true, 1},
			{0, false, 2},
		} {
			got := w.look(step.free)
			if got.Room != step.room || got.Free != step.free || w.scarce != step.scarce {
				t.Errorf("step %d, with %d bytes free: %+v, and Scarce was called %d times; want room %t, %d times",
					i, step.free, *got, w.scarce, step.room, step.scarce)
			}
		}
		for line, want := range map[string]int{
			"has too little room for posts": 2, "has room for posts again": 1, "may become full": 1,
		} {
			if got := strings.Count(w.log.String(), line); got != want {
				t.Errorf("%q was logged %d times; want %d:\n%s", line, got, want, &w.log)
			}
		}
	})
}

func TestLittleRoomOnTheDiskIsWarnedOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1 << 30
		w := watch(t, Needs{Most: most})
		for _, c := range []struct {
			free  int64
			lines int
		}{{1 << 40, 0}, {most - 1, 1}, {most - 2, 1}, {1 << 40, 1}, {most - 1, 2}} {
			w.look(c.free)
			if got := strings.Count(w.log.String(), "level=WARN"); got != c.lines {
				t.Errorf("with %d bytes free there are %d warnings; want %d", c.free, got, c.lines)
			}
		}
	})
}

func TestADiskWhoseRoomIsNotKnownIsReportedAsUnknown(t *testing.T) {
	w := watch(t, Needs{})
	w.Free = func(string) (int64, error) { return 0, errors.ErrUnsupported }
	if got := w.Look(); got != nil {
		t.Errorf("the room is %+v; want none", *got)
	}
}

func TestTheReserveIsMadeOnlyOfRoomThatPostsDoNotNeed(t *testing.T) {
	w := watch(t, Needs{})
	w.Reserve.unsupported = false
	enough := w.Needs().again() + reserveBytes
	if w.look(enough - 1); w.Reserve.Size() != 0 {
		t.Errorf("with %d bytes free, %d were kept aside", w.free, w.Reserve.Size())
	}
	w.look(enough)
	skipWithoutFallocate(t, w.Reserve)
	info, err := os.Stat(filepath.Join(w.Dir, ReserveFile))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Blocks*512 < reserveBytes || info.Mode() != 0o600 {
		t.Errorf("the reserve has %d blocks and mode %v; want all of %d bytes, for the owner", s.Blocks, info.Mode(), reserveBytes)
	}
}

func TestTheReserveIsGivenInPartsAndFilledAgain(t *testing.T) {
	w := watch(t, Needs{})
	w.Reserve.unsupported = false
	w.look(1 << 40)
	skipWithoutFallocate(t, w.Reserve)
	full := &os.PathError{Op: "write", Err: syscall.ENOSPC}
	calls := 0
	err := w.Reserve.Retry(func() error {
		if calls++; calls <= 2 {
			return full
		}
		return nil
	})
	if err != nil || calls != 3 || w.Reserve.Size() != 0 {
		t.Errorf("after %d calls (%v) the reserve holds %d bytes; want success with the second part", calls, err, w.Reserve.Size())
	}
	calls = 0
	if err := w.Reserve.Retry(func() error { calls++; return full }); !IsFull(err) || calls != 1 {
		t.Errorf("without a reserve, %d calls end with %v", calls, err)
	}
	if w.look(1 << 40); w.Reserve.Size() != reserveBytes {
		t.Errorf("when there is room again, the reserve holds %d bytes; want %d", w.Reserve.Size(), reserveBytes)
	}
	other := errors.New("another error")
	if err := w.Reserve.Retry(func() error { return other }); err != other || w.Reserve.Size() != reserveBytes {
		t.Errorf("%v: another error took something of the reserve", err)
	}
}

func skipWithoutFallocate(t *testing.T, r *Reserve) {
	t.Helper()
	if r.unsupported {
		if os.Getenv("LAUREL_CI") == "full" {
			t.Fatal("LAUREL_CI=full: the file system of the temporary directory allocates no blocks in advance")
		}
		t.Skip("the file system allocates no blocks in advance")
	}
	if r.Size() != reserveBytes {
		t.Fatalf("the reserve holds %d bytes; want %d", r.Size(), reserveBytes)
	}
}
