package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The database is a copy of what snapshot and log have, so nothing waits for it: it is written without a
// sync. A crash of the machine may leave anything in it, and so may a disk that fails to take what the
// kernel writes back later. So a file is trusted only after Close has seen it synced. A mark beside
// it says so:
//
//	clean CHECKSUM
//
// The mark exists only while the database is closed. Opening removes it, and makes that durable,
// before the first write; so a mark never stands beside a file that was written after it. Close syncs
// the file, then writes the mark, with the checksum of the whole file: a crash between the two leaves a
// sound file that is not trusted, and a file that was replaced, or lost a page since, has another
// checksum. Whatever is not trusted is thrown away and rebuilt from snapshot and log.

func markPath(path string) string { return path + ".mark" }

// writeMark makes it durable that the file at path was closed and has the checksum.
func writeMark(path, checksum string) (err error) {
	f, err := os.OpenFile(markPath(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("clean " + checksum + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// removeMark makes it durable that the file at path is in use.
func removeMark(path string) error {
	err := os.Remove(markPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // but an earlier removal may not be durable yet
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return &DiskError{path, fmt.Errorf("remove its mark: %w", err)}
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

// DiskError reports that the database could not be written. The state is not lost, for snapshot and log
// have it: the file is not trusted any more, and the next Open begins anew.
type DiskError struct {
	Path string
	Err  error
}

func (e *DiskError) Error() string { return fmt.Sprintf("write the database %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *DiskError) Unwrap() error { return e.Err }

// mapSize is 16 GiB, and half a GiB where addresses have 32 bits.
const mapSize = 1 << (29 + 5*(^uint(0)>>63))

func options() *bolt.Options {
	return &bolt.Options{
		Timeout:        time.Second, // bbolt's own lock; without a timeout a second process would wait for ever
		NoSync:         true,
		NoGrowSync:     true,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		// Growing the map waits for all readers, and a snapshot may read for long. So the map is large from the start; it takes
		// addresses, not memory.
		InitialMmapSize: mapSize,
	}
}

// openDatabase opens the file at path, or makes a new one if there is none or it cannot be trusted.
func openDatabase(path string, log *slog.Logger) (*bolt.DB, error) {
	because := ""
	_, missing := os.Stat(path)
	if missing == nil {
		because = distrust(path)
	}
	if err := removeMark(path); err != nil {
		return nil, err
	}
	if missing != nil || because != "" {
		return replaceDatabase(path, log, because)
	}
	return openTrusted(path)
}

// openTrusted opens a file that is there.
func openTrusted(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, options())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := bringUpToDate(db); err != nil {
		db.Close()
		return nil, fmt.Errorf("bring %s up to date: %w", path, err)
	}
	unload(db)
	return db, nil
}

// bringUpToDate makes a database of an older version one of this. An older version that is put in the place of this one for a while does not
// keep up the index.
func bringUpToDate(db *bolt.DB) error {
	missing, current := false, false
	err := db.View(func(tx *bolt.Tx) (err error) {
		for _, name := range buckets {
			missing = missing || tx.Bucket(name) == nil
		}
		current, err = indexIsCurrent(tx)
		return err
	})
	if err == nil && missing {
		err = db.Update(createMissing)
	}
	if err == nil && !current {
		err = buildIndex(db)
	}
	return err
}

func createMissing(tx *bolt.Tx) error {
	for _, name := range append(slices.Clone(buckets), indexBucket) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// distrust returns why the file at path cannot be used, "" if it can.
func distrust(path string) string {
	mark, err := os.ReadFile(markPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "it was not closed, so what it has may not be what was written"
	}
	if err != nil {
		return fmt.Sprintf("its mark cannot be read: %v", err)
	}
	want, clean := strings.CutPrefix(strings.TrimSpace(string(mark)), "clean ")
	if !clean {
		return "its mark does not say that it was closed"
	}
	sum, err := checksum(path)
	if err != nil {
		return fmt.Sprintf("it cannot be read: %v", err)
	}
	if sum != want {
		return "it is not as it was when it was closed"
	}
	return ""
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

// replaceDatabase makes a new file at path. Because tells why the old one goes; "" if there was none.
func replaceDatabase(path string, log *slog.Logger, because string) (*bolt.DB, error) {
	if because != "" {
		log.Warn("the database is thrown away and rebuilt from snapshot and log", "file", path, "because", because)
	}
	building := path + ".new"
	db, err := createDatabase(building)
	if err != nil {
		return nil, err
	}
	if err := placeDatabase(building, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// createDatabase makes an empty file with all buckets.
func createDatabase(path string) (*bolt.DB, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := bolt.Open(path, 0o600, options())
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	if err := db.Update(createMissing); err != nil {
		db.Close()
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return db, nil
}

// placeDatabase puts a file that was just made, and that is open, in the place of the one at path, which
// has no mark.
func placeDatabase(building, path string) error {
	if err := os.Rename(building, path); err != nil {
		return fmt.Errorf("put another database in the place of %s: %w", path, err)
	}
	return nil
}

// closeDatabase brings the database to the disk and closes it. Where the disk fails it has no mark, and
// the error is a *DiskError.
func closeDatabase(path string, db *bolt.DB) error {
	err := db.Sync()
	if err = errors.Join(err, db.Close()); err != nil {
		return &DiskError{path, err}
	}
	sum, err := checksum(path)
	if err == nil {
		err = writeMark(path, sum)
	}
	if err != nil {
		// Were the mark to survive this, it would still be true: the file was synced.
		return &DiskError{path, errors.Join(fmt.Errorf("mark it as closed: %w", err), os.RemoveAll(markPath(path)))}
	}
	return nil
}

// counter is a number of the meta bucket, 0 if it is not there yet.
func counter(tx *bolt.Tx, k []byte) (uint64, error) {
	v, err := get(tx.Bucket(metaBucket), k)
	if v == nil || err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, errSeal
	}
	return binary.BigEndian.Uint64(v), nil
}
