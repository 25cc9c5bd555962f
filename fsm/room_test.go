package fsm

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// allocations are the calls of a KeepRoom.
type allocations struct {
	sizes []int64
	err   error // of allocate, as long as there is nothing to retry with
	given int
}

func (a *allocations) allocate(_ string, size int64) error {
	if a.err != nil && a.given == 0 {
		return a.err
	}
	a.sizes = append(a.sizes, size)
	return nil
}

func (a *allocations) retry(f func() error) error {
	err := f()
	if errors.Is(err, syscall.ENOSPC) {
		a.given++
		err = f()
	}
	return err
}

// grow applies contests until the database has grown by bytes.
func grow(t *testing.T, m *Machine, bytes int64) {
	t.Helper()
	text := make([]byte, 1000)
	for i := range text {
		text[i] = 'x'
	}
	begun := databaseSize(t, m)
	for n := 0; databaseSize(t, m) < begun+bytes; n++ {
		for i := range 500 {
			mustApply(t, m, `{"type":"contest.define","contest_id":"C/%d-%d","data":{"kind":"head_to_head","sport":"x","title":"%s",
				"competitors":[{"code":"A","name":"A"},{"code":"B","name":"B"}]}}`, n, i, fmt.Sprint(string(text[:200]), n))
		}
		if err := m.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func databaseSize(t *testing.T, m *Machine) int64 {
	t.Helper()
	info, err := os.Stat(m.path())
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestTheDatabaseHasRoomForItsNextTransaction(t *testing.T) {
	m, a := newMachine(t), &allocations{}
	m.KeepRoom(a.allocate, a.retry)
	grow(t, m, aheadBytes)
	if n := len(a.sizes); n < 2 || n > 4 {
		t.Errorf("room was allocated %d times while the database grew by %d bytes; want once for each half of it", n, int64(aheadBytes))
	}
	if last, size := a.sizes[len(a.sizes)-1], databaseSize(t, m); last < size+aheadBytes/4 {
		t.Errorf("there is room up to %d, and the database has %d bytes", last, size)
	}
}

func TestADatabaseWithoutRoomAsksForIt(t *testing.T) {
	m, a := newMachine(t), &allocations{err: syscall.ENOSPC}
	m.KeepRoom(a.allocate, a.retry)
	grow(t, m, 1)
	if a.given != 1 || len(a.sizes) != 1 {
		t.Errorf("room was given %d times and allocated %d times; want once", a.given, len(a.sizes))
	}
}

func TestWhereNothingIsAllocatedTheDatabaseIsWrittenAsItIs(t *testing.T) {
	m := newMachine(t)
	calls := 0
	m.KeepRoom(func(string, int64) error { calls++; return errors.ErrUnsupported }, func(f func() error) error { return f() })
	grow(t, m, 1<<20)
	if calls != 1 {
		t.Errorf("it was tried %d times; want once", calls)
	}
}
