package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// The layout of bbolt's first two pages (format 2), in the byte order of the machine: behind a
// page's header stand a magic number, ..., the number of pages, the transaction, a checksum.
const (
	boltHeader   = 16
	boltMagic    = 0xED0CDAED
	boltPageSize = boltHeader + 8
	boltPages    = boltHeader + 40
	boltMeta     = boltHeader + 64
)

// checkVoteFile returns an error if the file is shorter than its pages. bbolt maps the file to
// memory, and what is not there ends the process when it is read.
func checkVoteFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for at := range int64(2) {
		var b [boltMeta]byte
		if _, err := f.ReadAt(b[:], at*int64(os.Getpagesize())); err != nil || binary.NativeEndian.Uint32(b[boltHeader:]) != boltMagic {
			continue // bbolt says what is wrong
		}
		pages, size := binary.NativeEndian.Uint64(b[boltPages:]), uint64(binary.NativeEndian.Uint32(b[boltPageSize:]))
		if size > 0 && pages > uint64(info.Size())/size {
			return fmt.Errorf("it has %d bytes, and says that it has %d pages of %d", info.Size(), pages, size)
		}
	}
	return nil
}
