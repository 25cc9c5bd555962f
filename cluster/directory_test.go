package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// newStoppedNode returns a stopped node that was the only member of a group. With
// snapshots, its log begins after the first entries.
func newStoppedNode(t *testing.T, snapshots bool) *node {
	t.Helper()
	n := newNode(t, "f1", func(o *Options) {
		o.Bootstrap = true
		if snapshots {
			o.SnapshotEntries = 8
		}
	})
	n.start()
	seq := uint64(1)
	eventually(t, "the log is long enough", func() error {
		mustPost(t, n, alerts("bard/a", seq, 1))
		seq++
		first, err := n.member().storage.Log.FirstIndex()
		if snapshots && first < 5 {
			return fmt.Errorf("it begins at %d", first)
		}
		return err
	})
	n.stop()
	return n
}

func TestDirectoryThatLacksAPartContradictsTheGroup(t *testing.T) {
	t.Parallel()
	remove := func(names ...string) func(string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				found, bad := filepath.Glob(filepath.Join(dir, name))
				err = errors.Join(err, bad)
				if len(found) == 0 {
					err = errors.Join(err, fmt.Errorf("%s does not exist", name))
				}
				for _, path := range found {
					err = errors.Join(err, os.RemoveAll(path))
				}
			}
			return err
		}
	}
	cut := func(name string, size int64) func(string) error {
		return func(dir string) error {
			found, err := filepath.Glob(filepath.Join(dir, name))
			if err != nil || len(found) == 0 {
				return errors.Join(err, fmt.Errorf("%s does not exist", name))
			}
			return os.Truncate(found[len(found)-1], size)
		}
	}
	for _, c := range []struct {
		what      string
		snapshots bool
		spoil     func(dir string) error
	}{
		{"log and vote", false, remove(logDir, voteFile)},
		{"log, vote and state", false, remove(logDir, voteFile, "state.db*")},
		{"the segments of the log", false, remove(logDir + "/*.wal")},
		{"the identity", false, remove(identityFile)},
		{"the identity and the log", false, remove(identityFile, logDir)},
		{"the end of the vote", false, cut(voteFile, 8<<10)},
		{"the end of the log", false, cut(logDir+"/*.wal", 64)},
		{"the snapshots", true, remove(snapshotDir)},
		{"the snapshots, and the state", true, remove(snapshotDir, "state.db*")},
		{"the metadata of the snapshots", true, remove(snapshotDir + "/*/meta.json")},
		{"log and vote after a snapshot", true, remove(logDir, voteFile)},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			n := newStoppedNode(t, c.snapshots)
			if err := c.spoil(n.opts.Dir); err != nil {
				t.Fatal(err)
			}
			m, err := Start(n.again())
			if err == nil {
				m.Close()
			}
			var contradicts *ContradictionError
			if !errors.As(err, &contradicts) {
				t.Errorf("without %s Start returned %v", c.what, err)
			}
		})
	}
}
