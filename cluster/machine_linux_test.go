package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// failFile makes every later write and sync of the open file at path fail: its descriptors become those
// of a pipe, which has no disk.
func failFile(t *testing.T, path string) {
	t.Helper()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	found := false
	for _, entry := range list {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if name, _ := os.Readlink(filepath.Join("/proc/self/fd", entry.Name())); name != path {
			continue
		}
		found = true
		if err := unix.Dup3(pipe[1], fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("%s is not open", path)
	}
}

func TestADatabaseThatCannotBeSyncedAtTheEndIsAStorageErrorAndIsRebuilt(t *testing.T) {
	g := newGroup(t, 1)
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/a", 1, 10))
	g.agree(10)
	if err := n.member().machine.Commit(); err != nil {
		t.Fatal(err)
	}
	failFile(t, filepath.Join(n.opts.Dir, "state.db"))
	err := n.current.Swap(nil).Close()
	var storage *StorageError
	if !errors.As(err, &storage) || storage.Dir != n.opts.Dir {
		t.Errorf("closing told %v; want a storage error", err)
	}
	if _, err := os.Stat(filepath.Join(n.opts.Dir, "state.db.mark")); err == nil {
		t.Error("the database is marked as closed")
	}
	n.start()
	g.agree(10)
	mustPost(t, n, alerts("bard/a", 11, 1))
	g.agree(11)
}
