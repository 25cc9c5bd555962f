// Package durable makes and syncs files and directories so that a loss of power does not
// take them away, and removes what a crash has left.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SyncFile syncs a file before its content is trusted. A killed process can leave data in
// a file that only the kernel has. A member that acts on such data lets others rely on
// it, so it must not be lost with the machine's power.
func SyncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync a file before it is read: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// ClearRange overwrites n bytes of a file with zeros.
func ClearRange(path string, at, n int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, n), int64(at))
	return errors.Join(err, f.Sync(), f.Close())
}

// SyncDir syncs the names of a directory's files.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RemoveLeft removes the files and directories of dir that match a pattern, which a crash
// has left there.
func RemoveLeft(dir, pattern string) error {
	names, err := fs.Glob(os.DirFS(dir), pattern)
	for _, name := range names {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	return err
}

// MakeDir makes a directory and its parents. The directory may exist and not be on the
// disk yet, so its parent is always synced, if it may be read.
func MakeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		if err := MakeDir(parent); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}
