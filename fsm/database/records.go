package database

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// The buckets of the state. A key of several parts joins them with a zero byte, which no
// part contains. Numbers in keys are 8 bytes, big-endian, so that keys sort by them.
// Every value ends with a checksum (Seal).
var (
	Meta       = []byte("meta")       // see the keys below
	Contests   = []byte("contests")   // contest_id -> score.Contest
	Timeline   = []byte("timeline")   // contest_id, revision -> event
	Sources    = []byte("sources")    // source -> last seq and id
	Seqs       = []byte("seqs")       // source, seq -> revision, digest, id
	Medals     = []byte("medals")     // competition -> medal.Table
	Awards     = []byte("awards")     // competition, award_id -> award
	Marks      = []byte("marks")      // contest_id, split, competitor -> score.Mark
	Boards     = []byte("boards")     // contest_id, split, position in the order -> nothing
	Splits     = []byte("splits")     // contest_id, split -> number of marks
	Access     = []byte("access")     // kind, id -> access control
	Audit      = []byte("audit")      // number -> access.AuditEntry
	Signatures = []byte("signatures") // revision of the first event -> run of signatures
)

// Index is the bucket of the index of contests. It is derived from the state and not part
// of snapshots.
var Index = []byte("index")

// The keys of the Meta bucket.
var (
	AppliedKey   = []byte("applied")  // the index of the last log entry applied
	RevisionKey  = []byte("revision") // the number of events applied
	StoreKey     = []byte("store")    // the name of the store
	CacheModeKey = []byte("mode")     // the cache mode; push if there is none
)

// stateBuckets lists the buckets of the state, which are the buckets of a snapshot,
// sorted by name.
var stateBuckets = [][]byte{
	Access, Audit, Awards, Boards, Contests, Marks, Medals, Meta, Seqs, Signatures, Sources, Splits, Timeline,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged reports a record whose checksum or content is wrong.
var ErrDamaged = errors.New("a record of the database is damaged")

// Seal appends a checksum of key and value to value, so that a damaged record is
// detected.
func Seal(key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, recordSum(key, value))
}

// Unseal checks and removes the checksum of a sealed value.
func Unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - 4
	if n < 0 || binary.BigEndian.Uint32(sealed[n:]) != recordSum(key, sealed[:n]) {
		return nil, ErrDamaged
	}
	return sealed[:n], nil
}

func recordSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// Get returns the value of a key; nil if there is none. The value is valid until the
// transaction ends and must not be changed.
func Get(bucket *bolt.Bucket, key []byte) ([]byte, error) {
	sealed := bucket.Get(key)
	if sealed == nil {
		return nil, nil
	}
	return Unseal(key, sealed)
}

// Counter returns a number of the Meta bucket; 0 if it is not set.
func Counter(tx *bolt.Tx, key []byte) (uint64, error) {
	v, err := Get(tx.Bucket(Meta), key)
	if v == nil || err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, ErrDamaged
	}
	return binary.BigEndian.Uint64(v), nil
}

// Key returns the key of the parts.
func Key(parts ...string) []byte {
	n := len(parts) + 8
	for _, p := range parts {
		n += len(p)
	}
	k := make([]byte, 0, n)
	for i, p := range parts {
		if i > 0 {
			k = append(k, 0)
		}
		k = append(k, p...)
	}
	return k
}

// Prefix returns the beginning of all keys that have the parts and at least one more.
func Prefix(parts ...string) []byte { return append(Key(parts...), 0) }

// NumberedKey returns the key of the parts followed by a number.
func NumberedKey(n uint64, parts ...string) []byte {
	return binary.BigEndian.AppendUint64(Prefix(parts...), n)
}
