// Package database is the bbolt file in which the state machine keeps its state.
//
// It opens, verifies, replaces and closes the file (this file explains when a file is
// trusted), defines its buckets and the checksummed form of their records (records.go),
// and writes and reads snapshots of it. It does not know what the records mean.
package database

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The database can be rebuilt from the newest snapshot and the log, so nothing waits for
// it to reach the disk: it is written without fsync. After a power failure, or if the
// disk fails to write the kernel's pages back later, the file may contain anything. It is
// therefore trusted only after Close has synced it. A marker file beside the database
// records that:
//
//	clean VERSION CHECKSUM
//
// where VERSION is that of the records' format.
//
// The marker exists only while the database is closed. Open removes it durably before the
// first write. Close syncs the database and then writes the marker with a checksum of the
// whole file. A file that was replaced or lost a page after Close has a different
// checksum. A file that is not trusted is deleted and rebuilt.

const cleanMark = "clean"

func markerPath(path string) string { return path + ".mark" }

// writeMarker durably writes the marker of the file at path.
func writeMarker(path string, version byte, checksum string) error {
	f, err := os.OpenFile(markerPath(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, cleanMark, version, checksum)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// removeMarker durably records that the file at path is in use.
func removeMarker(path string) error {
	err := os.Remove(markerPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // an earlier removal may not be durable yet
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return &DiskError{path, fmt.Errorf("remove its marker: %w", err)}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// DiskError reports that the database could not be written. The file is no longer
// trusted, and the next Open creates a new one.
type DiskError struct {
	Path string
	Err  error
}

func (e *DiskError) Error() string { return fmt.Sprintf("write the database %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *DiskError) Unwrap() error { return e.Err }

// mapSize is 16 GiB, or half a GiB where addresses have 32 bits.
const mapSize = 1 << (29 + 5*(^uint(0)>>63))

// open opens the file at path, and creates it and its buckets if it does not have them.
func open(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        time.Second, // for bbolt's file lock; without it a second process would wait for ever
		NoSync:         true,
		NoGrowSync:     true,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		// Growing the memory map waits for all readers, and a snapshot may read for a
		// long time. A large map takes address space, not memory.
		InitialMmapSize: mapSize,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("create the buckets of %s: %w", path, err)
	}
	return db, nil
}

// Open opens the file at path. If there is none or it cannot be trusted, Open creates a
// new, empty one and logs why. It leaves a file in a later format than it reads as it is, and
// returns a *access.FormatError.
func Open(path string, log *slog.Logger) (*bolt.DB, error) {
	if err := removeUnfinished(path); err != nil {
		return nil, err
	}
	reason := ""
	_, missing := os.Stat(path)
	if missing == nil {
		var err error
		if reason, err = distrust(path); err != nil {
			return nil, err
		}
	}
	if err := removeMarker(path); err != nil {
		return nil, err
	}
	if missing != nil || reason != "" {
		return Replace(path, log, reason)
	}
	return open(path)
}

// distrust returns the reason why the file at path cannot be used; "" if it can.
func distrust(path string) (reason string, err error) {
	marker, err := os.ReadFile(markerPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "it was not closed cleanly", nil
	}
	if err != nil {
		return fmt.Sprintf("its marker cannot be read: %v", err), nil
	}
	words := strings.Fields(string(marker))
	if len(words) != 3 || words[0] != cleanMark {
		return "its marker is invalid", nil
	}
	version, err := strconv.ParseUint(words[1], 10, 8)
	if err != nil || version < formatVersion {
		return "it has the format of another version of laurel", nil
	}
	if err := checkVersion("the database "+path, byte(version)); err != nil {
		return "", err
	}
	sum, err := checksum(path)
	if err != nil {
		return fmt.Sprintf("it cannot be read: %v", err), nil
	}
	if sum != words[2] {
		return "it has changed since it was closed", nil
	}
	return "", nil
}

func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%08x", h.Sum32()), nil
}

// Replace creates a new, empty file at path. It logs the reason for deleting the old one;
// "" means that there was none.
func Replace(path string, log *slog.Logger, reason string) (*bolt.DB, error) {
	if reason != "" {
		log.Warn("deleting the database; it will be rebuilt from snapshot and log", "file", path, "reason", reason)
		if err := os.Remove(path); err != nil { // first: a full disk may have no room for both
			return nil, err
		}
	}
	building := path + ".new"
	db, err := create(building)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(building, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func create(path string) (*bolt.DB, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return open(path)
}

// Close syncs the database and closes it, for which it waits for the readers. Then check, which
// may be nil, may refuse the file, for what a reader has found in it meanwhile: Close returns its
// error, and the file has no marker. If the disk fails, it has none either, and the error is
// a *DiskError.
func Close(path string, db *bolt.DB, check func() error) error {
	var version byte
	err := db.View(func(tx *bolt.Tx) (err error) {
		version, err = VersionOf(tx)
		return err
	})
	if err := errors.Join(err, db.Sync(), db.Close()); err != nil {
		return &DiskError{path, err}
	}
	if check != nil {
		if err := check(); err != nil {
			return err
		}
	}
	sum, err := checksum(path)
	if err == nil {
		err = writeMarker(path, version, sum)
	}
	if err != nil {
		// If the marker survived this, it would still be true: the file was synced.
		err = errors.Join(fmt.Errorf("write its marker: %w", err), os.RemoveAll(markerPath(path)))
		return &DiskError{path, err}
	}
	return nil
}

// Drop closes a database and deletes its file.
func Drop(path string, db *bolt.DB) error { return errors.Join(db.Close(), os.Remove(path)) }

const unfinishedSuffix = ".restore-"

// UnfinishedPath returns the path of the nth file that is restored for the database.
func UnfinishedPath(path string, n uint64) string { return fmt.Sprint(path, unfinishedSuffix, n) }

// removeUnfinished removes the files that an earlier process was restoring.
func removeUnfinished(path string) error {
	dir := filepath.Dir(path)
	list, err := os.ReadDir(dir)
	for _, entry := range list {
		if strings.HasPrefix(entry.Name(), filepath.Base(path)+unfinishedSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}
