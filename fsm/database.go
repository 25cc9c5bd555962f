package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The database is written without waiting for the disk. A crash of the process leaves it whole, because what was written is the
// kernel's. A crash of the machine may leave anything. A mark beside the file tells the two apart:
//
//	opening BOOT     it is being opened; if that is what is found, opening it crashed
//	open BOOT        it is in use, since the machine's boot BOOT
//	clean CHECKSUM   it was closed and is on the disk, with this checksum
//
// It is trusted if it was closed with the checksum it has, or if it was in use in this same boot of the machine and all its records are
// sound. Otherwise it is thrown away: snapshot and log have everything.

// bootIDPath has a random id of each boot, on Linux. Without one a file that was not closed is never trusted.
const bootIDPath = "/proc/sys/kernel/random/boot_id"

func bootID() string {
	b, err := os.ReadFile(bootIDPath)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func markPath(path string) string { return path + ".mark" }

func writeMark(path, text string) error {
	err := os.WriteFile(markPath(path), []byte(text+"\n"), 0o600)
	if err != nil {
		return fmt.Errorf("write the mark of the database: %w", err)
	}
	return nil
}

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
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return replaceDatabase(path, log, "")
	}
	if because := distrust(path); because != "" {
		return replaceDatabase(path, log, because)
	}
	return openTrusted(path)
}

// openTrusted opens a file that is there. Until it is open its mark tells not to trust it.
func openTrusted(path string) (*bolt.DB, error) {
	if err := writeMark(path, "opening "+bootID()); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0o600, options())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := bringUpToDate(db); err != nil {
		db.Close()
		return nil, fmt.Errorf("bring %s up to date: %w", path, err)
	}
	if err := writeMark(path, "open "+bootID()); err != nil {
		db.Close()
		return nil, err
	}
	unload(db)
	return db, nil
}

// laterBuckets are those that a database of the first version does not have, by the version that added them.
var laterBuckets = [][][]byte{{accessBucket, auditBucket}, {indexBucket, signatureBucket}}

// bucketsOf are the buckets of a database in the order of their names; of the later ones it has the first so many.
func bucketsOf(later int) [][]byte {
	list := append(slices.Clone(buckets), indexBucket)
	slices.SortFunc(list, bytes.Compare)
	missing := slices.Concat(laterBuckets[later:]...)
	return slices.DeleteFunc(list, func(name []byte) bool {
		return slices.ContainsFunc(missing, func(m []byte) bool { return bytes.Equal(name, m) })
	})
}

// knownBuckets tells whether a version there has been has made a database with these buckets.
func knownBuckets(found [][]byte) bool {
	for later := range len(laterBuckets) + 1 {
		if slices.EqualFunc(found, bucketsOf(later), bytes.Equal) {
			return true
		}
	}
	return false
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
	for _, name := range bucketsOf(len(laterBuckets)) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// distrust tells why the file at path cannot be used; "" if it can.
func distrust(path string) string {
	mark, err := os.ReadFile(markPath(path))
	if err != nil {
		return "it has no mark that tells how it was left"
	}
	state, value, _ := strings.Cut(strings.TrimSpace(string(mark)), " ")
	switch state {
	case "clean":
		sum, err := checksum(path)
		if err != nil {
			return fmt.Sprintf("it cannot be read: %v", err)
		}
		if sum != value {
			return "it is not as it was when it was closed"
		}
	case "open":
		if value == "" || value != bootID() {
			return "the machine was started anew while it was in use, and it is written without waiting for the disk"
		}
		if err := checkPages(path); err != nil {
			return fmt.Sprintf("it is damaged: %v", err)
		}
	default:
		return "opening it failed the last time"
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
		log.Warn("the database is thrown away and built anew from snapshot and log", "file", path, "because", because)
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

// placeDatabase puts a file that was just made, and that is open, in the place of the one at path.
func placeDatabase(building, path string) error {
	if err := writeMark(path, "opening "+bootID()); err != nil {
		return err
	}
	if err := os.Rename(building, path); err != nil {
		return fmt.Errorf("put another database in the place of %s: %w", path, err)
	}
	return writeMark(path, "open "+bootID())
}

func closeDatabase(path string, db *bolt.DB) error {
	if err := db.Sync(); err != nil {
		db.Close()
		return fmt.Errorf("write %s to the disk: %w", path, err)
	}
	if err := db.Close(); err != nil {
		return err
	}
	sum, err := checksum(path)
	if err != nil {
		return err
	}
	return writeMark(path, "clean "+sum)
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
