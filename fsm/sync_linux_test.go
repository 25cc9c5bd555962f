package fsm

import (
	"errors"
	"os"
	"testing"

	"laurel/fsm/database"
	"laurel/internal/testgroup/filefault"
)

func TestADatabaseThatCouldNotBeSyncedIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	populate(t, dir, nil)
	m := openMachine(t, dir)
	mustApply(t, m, `{"source":"bard/n","type":"alert","contest_id":"G/1","data":{"text":"n"}}`)
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(m.path())
	if err != nil {
		t.Fatal(err)
	}
	filefault.Fail(t, m.path())
	err = m.Close()
	var disk *database.DiskError
	if !errors.As(err, &disk) || disk.Path != m.path() {
		t.Errorf("Close returned %v; want a DiskError", err)
	}
	if now, err := os.ReadFile(m.path()); err != nil || string(now) != string(whole) {
		t.Fatalf("the file, which looks intact, should not have changed: %v", err)
	}
	if _, err := os.Stat(m.path() + ".mark"); err == nil {
		t.Error("the database has a marker")
	}
	wantDeleted(t, dir, "was not closed cleanly")
}

func TestADatabaseThatCannotBeWrittenStopsTheMachine(t *testing.T) {
	r, m, fatal := newRaft(t)
	filefault.Fail(t, m.path()) // before the entry, which is committed after commitDelay anyway
	r.Apply(command(1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))))
	var disk *database.DiskError
	if err := m.Commit(); !errors.As(err, &disk) {
		t.Errorf("Commit returned %v; want a DiskError", err)
	}
	if len(*fatal) != 1 || !errors.As((*fatal)[0], &disk) {
		t.Errorf("fatal was called with %v", *fatal)
	}
	if err := m.Close(); !errors.As(err, &disk) {
		t.Errorf("Close returned %v; want a DiskError", err)
	}
	wantDeleted(t, m.dir, "was not closed cleanly")
}
