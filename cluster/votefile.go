package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// makeVoteFile makes an empty database for Raft's term and vote if there is none. A database that
// bbolt makes in its place can be left by a crash in a form that bbolt does not open again. So it
// is made under another name and gets its own when it is on the disk. Linking, unlike renaming,
// does not replace a file that another frontend has made meanwhile.
func makeVoteFile(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(f.Name(), path); err != nil { // the file system has no links
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}
