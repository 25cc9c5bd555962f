package database

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"
)

// The buckets of the state. A key of several parts joins them with a zero byte, which no
// part contains. Numbers in keys are 8 bytes, big-endian, so that keys sort by them.
// Every value ends with a checksum (Seal).
var (
	Meta       = []byte("meta")       // "head", "access", "sections", "answers", "sworn", "format"
	Contests   = []byte("contests")   // contest_id -> fold.Contest
	Timeline   = []byte("timeline")   // contest_id, revision of the first -> block of events (package timeline)
	Sources    = []byte("sources")    // source -> score.Bard
	Seqs       = []byte("seqs")       // source, number of the block of seqs -> revision, digest and id of each (package fsm)
	Medals     = []byte("medals")     // competition -> medal.Table
	Awards     = []byte("awards")     // competition, award_id -> award
	Marks      = []byte("marks")      // contest_id, competitor -> all its marks (package ranked)
	Splits     = []byte("splits")     // contest_id, split -> number of marks, and the best (package ranked)
	Entrants   = []byte("entrants")   // contest_id, kind, code or position on the start list -> score.Entrant or nothing
	Index      = []byte("index")      // kind, value, contest_id -> nothing (package index)
	Audit      = []byte("audit")      // number -> access.AuditEntry
	Signatures = []byte("signatures") // revision of the first event -> run of signatures

	// In a sworn group only; see package rounds.
	Rounds  = []byte("rounds")  // number -> nodes of the edge before it, and the text of the witness.Round
	Answers = []byte("answers") // key of an answer -> SHA-256 of its body at the last seal
	Changed = []byte("changed") // key of an answer that has changed since -> nothing
)

// buckets are all buckets. Their places are their numbers in snapshots. The first plainBuckets
// are those of every group.
var buckets = [][]byte{
	Audit, Awards, Contests, Entrants, Index, Marks, Medals, Meta, Seqs, Signatures, Sources, Splits, Timeline,
	Rounds, Answers, Changed,
}

const plainBuckets = 13

var (
	// SwornKey, in Meta, marks the state of a sworn group; see SwornVersion.
	SwornKey = []byte("sworn")
	// FormatKey, in Meta, has the format of the group, unless that is the first one.
	FormatKey = []byte("format")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged reports a record whose checksum or content is wrong.
var ErrDamaged = errors.New("a record of the database is damaged")

// Seal appends a checksum of key and value to value.
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

// Reader is a *bolt.Tx or a *Tx.
type Reader interface {
	Bucket(name []byte) *bolt.Bucket
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

// GetJSON decodes the value of a key and reports whether there is one.
func GetJSON(bucket *bolt.Bucket, key []byte, into any) (ok bool, err error) {
	value, err := Get(bucket, key)
	if value == nil || err != nil {
		return false, err
	}
	return true, json.Unmarshal(value, into)
}

// Key returns the key of the parts.
func Key(parts ...string) []byte {
	k := Prefix(parts...)
	return k[:len(k)-1]
}

// Prefix returns the beginning of all keys that have the parts and at least one more.
func Prefix(parts ...string) []byte {
	n := len(parts) + 8
	for _, p := range parts {
		n += len(p)
	}
	k := make([]byte, 0, n)
	for _, p := range parts {
		k = append(append(k, p...), 0)
	}
	return k
}

// NumberedKey returns the key of the parts followed by a number.
func NumberedKey(n uint64, parts ...string) []byte {
	return binary.BigEndian.AppendUint64(Prefix(parts...), n)
}
