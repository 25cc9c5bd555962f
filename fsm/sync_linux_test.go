package fsm

import (
	"errors"
	"os"
	"testing"

	"laurel/fsm/database"
	"laurel/internal/filefault"
)

func TestADatabaseThatCouldNotBeSyncedIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	lived(t, dir, nil)
	m := open(t, dir)
	applied(t, m, `{"source":"bard/n","type":"alert","contest_id":"G/1","data":{"text":"n"}}`)
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
		t.Errorf("closing told %v; want an error of the disk", err)
	}
	if now, err := os.ReadFile(m.path()); err != nil || string(now) != string(whole) {
		t.Fatalf("the file, which looks whole, should be as it was: %v", err)
	}
	if _, err := os.Stat(m.path() + ".mark"); err == nil {
		t.Error("the database has a mark")
	}
	wantThrownAway(t, dir, "was not closed cleanly")
}

func TestADatabaseThatCannotBeWrittenSaysSo(t *testing.T) {
	r, m, fatal := newRaft(t)
	r.Apply(command(1, entryOf(t, one(decode(t, alert, 1, 1, "one")))))
	filefault.Fail(t, m.path())
	var disk *database.DiskError
	if err := m.Commit(); !errors.As(err, &disk) {
		t.Errorf("committing told %v", err)
	}
	if len(*fatal) != 1 || !errors.As((*fatal)[0], &disk) {
		t.Errorf("fatal was called with %v", *fatal)
	}
	if err := m.Close(); !errors.As(err, &disk) {
		t.Errorf("closing told %v", err)
	}
	wantThrownAway(t, m.dir, "was not closed cleanly")
}
