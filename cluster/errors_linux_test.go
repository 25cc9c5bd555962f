package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"laurel/internal/testgroup/filefault"
)

func TestDatabaseThatCannotBeSyncedOnCloseIsAStorageErrorAndIsRebuilt(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/a", 1, 10))
	g.agree(10)
	if err := n.member().machine.Commit(); err != nil {
		t.Fatal(err)
	}
	filefault.Fail(t, filepath.Join(n.opts.Dir, "state.db"))
	err := n.current.Swap(nil).Close()
	var storage *StorageError
	if !errors.As(err, &storage) || storage.Dir != n.opts.Dir {
		t.Errorf("closing returned %v; want a storage error", err)
	}
	if _, err := os.Stat(filepath.Join(n.opts.Dir, "state.db.mark")); err == nil {
		t.Error("the database is marked as closed")
	}
	n.start()
	g.agree(10)
	mustPost(t, n, alerts("bard/a", 11, 1))
	g.agree(11)
}
