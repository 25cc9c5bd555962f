package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"laurel/cluster/disk"
	"laurel/cluster/internal/durable"
)

// openVotes opens the database of Raft's term and vote. Its lock is that of the whole
// directory.
func (s *Store) openVotes() (err error) {
	path := filepath.Join(s.dir, voteFile)
	if err := makeVoteFile(path); err != nil {
		return openFailure(s.dir, fmt.Errorf("make %s in %s: %w", voteFile, s.dir, err))
	}
	if err := checkVoteFile(path); err != nil {
		return contradiction(s.dir, "%s: %w", voteFile, err)
	}
	// New commits a transaction, which also syncs what a killed process may have left to
	// the kernel.
	s.votes, err = raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		},
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("the data directory %s is in use by another frontend", s.dir)
	case err != nil:
		return openFailure(s.dir, fmt.Errorf("open %s in %s: %w", voteFile, s.dir, err))
	}
	_ = disk.Allocate(path, listBytes) // without room for it the vote can most often be written all the same
	return nil
}

// storedNumber returns a number of Raft's, 0 if it is not stored.
func storedNumber(store raft.StableStore, key string) (uint64, error) {
	n, err := store.GetUint64([]byte(key))
	if err != nil && err.Error() == raftboltdb.ErrKeyNotFound.Error() { // hashicorp/raft compares the text, too
		return 0, nil
	}
	return n, err
}

// makeVoteFile makes an empty database for Raft's term and vote if there is none. If
// bbolt made it in its final place, a crash could leave a file that bbolt does not open
// again. So it is made under another name and renamed when it is on the disk. Linking,
// unlike renaming, does not replace a file that another frontend has made meanwhile.
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
	return durable.SyncDir(filepath.Dir(path))
}

// The layout of bbolt's first two pages (format 2), in the byte order of the machine:
// after the header of a page come a magic number, the page size, the number of pages, the
// transaction, a checksum and other fields.
const (
	boltHeader   = 16
	boltMagic    = 0xED0CDAED
	boltPageSize = boltHeader + 8
	boltPages    = boltHeader + 40
	boltMeta     = boltHeader + 64
)

// checkVoteFile returns an error if the file is shorter than its pages. bbolt maps the
// file to memory, and reading a part that is missing would crash the process.
func checkVoteFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for at := range 2 {
		meta := b[min(at*os.Getpagesize(), len(b)):]
		if len(meta) < boltMeta || binary.NativeEndian.Uint32(meta[boltHeader:]) != boltMagic {
			continue // bbolt reports what is wrong
		}
		pages := binary.NativeEndian.Uint64(meta[boltPages:])
		size := uint64(binary.NativeEndian.Uint32(meta[boltPageSize:]))
		if size > 0 && pages > uint64(len(b))/size {
			return fmt.Errorf("it has %d bytes, but its header counts %d pages of %d bytes", len(b), pages, size)
		}
	}
	return nil
}
