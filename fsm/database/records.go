package database

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"
)

// The buckets of the state. A key of several parts joins them with a zero byte, which no
// part contains. Numbers in keys are 8 bytes, big-endian, so that keys sort by them.
// Every value ends with a checksum (Seal).
var (
	Meta       = []byte("meta")       // "head", "access", "sections"
	Contests   = []byte("contests")   // contest_id -> fold.Contest
	Timeline   = []byte("timeline")   // contest_id, revision -> event
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
)

// buckets are all buckets, sorted by name.
var buckets = [][]byte{
	Audit, Awards, Contests, Entrants, Index, Marks, Medals, Meta, Seqs, Signatures, Sources, Splits, Timeline,
}

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

// Counter returns a number of 8 bytes; 0 if it is not set.
func Counter(bucket *bolt.Bucket, key []byte) (uint64, error) {
	v, err := Get(bucket, key)
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

// Tx reads and writes sealed records in a bbolt transaction. Its methods keep the first
// error. What they return after an error is meaningless, so Err must be checked before
// the results are used. Between BeginUndo and EndUndo a Tx records every change, so that
// Undo can revert them. It is not safe for concurrent use.
type Tx struct {
	*bolt.Tx
	buckets map[string]*bolt.Bucket
	cursors map[string]*bolt.Cursor // for Get; a Bucket.Get would allocate one each time
	err     error

	// Values live until the transaction ends. They are cut from large blocks, so that the
	// garbage collector has few objects to handle.
	block     []byte // the rest of the current block
	blockSize int

	recording bool
	undoLog   []func()
}

// NewTx returns a Tx that writes to tx.
func NewTx(tx *bolt.Tx) *Tx {
	return &Tx{Tx: tx, buckets: map[string]*bolt.Bucket{}, cursors: map[string]*bolt.Cursor{}}
}

// Bucket returns a bucket. It is opened on first use, because bbolt writes every open
// bucket at the commit.
func (t *Tx) Bucket(name []byte) *bolt.Bucket {
	bucket, ok := t.buckets[string(name)]
	if !ok {
		bucket = t.Tx.Bucket(name)
		switch string(name) {
		case string(Timeline), string(Seqs), string(Signatures):
			// Keys are appended, per contest, per source or overall. Full pages make the
			// bucket half as large.
			bucket.FillPercent = 0.9
		}
		t.buckets[string(name)] = bucket
	}
	return bucket
}

// Err returns the first error.
func (t *Tx) Err() error { return t.err }

// Fail keeps an error, which may be nil.
func (t *Tx) Fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// Get returns the value of a key; nil if there is none.
func (t *Tx) Get(bucket, key []byte) []byte {
	c := t.cursors[string(bucket)]
	if c == nil {
		c = t.Bucket(bucket).Cursor()
		t.cursors[string(bucket)] = c
	}
	k, sealed := c.Seek(key)
	if !bytes.Equal(k, key) {
		return nil
	}
	v, err := Unseal(key, sealed)
	t.Fail(err)
	return v
}

// GetJSON decodes the value of a key and reports whether there is one.
func (t *Tx) GetJSON(bucket, key []byte, into any) bool {
	v := t.Get(bucket, key)
	if v == nil {
		return false
	}
	t.Fail(json.Unmarshal(v, into))
	return t.err == nil
}

// Put seals and writes a copy of value.
func (t *Tx) Put(bucket, key, value []byte) {
	t.recordValue(bucket, key)
	t.Fail(t.Bucket(bucket).Put(key, Seal(key, append(t.alloc(len(value)+4), value...))))
}

// PutJSON writes a value as JSON.
func (t *Tx) PutJSON(bucket, key []byte, v any) {
	data, err := json.Marshal(v, json.Deterministic(true))
	t.Fail(err)
	t.Put(bucket, key, data)
}

// Delete deletes a key.
func (t *Tx) Delete(bucket, key []byte) {
	t.recordValue(bucket, key)
	t.Fail(t.Bucket(bucket).Delete(key))
}

func (t *Tx) alloc(n int) []byte {
	const smallest, largest = 4 << 10, 128 << 10
	if len(t.block) < n {
		t.blockSize = min(max(smallest, 2*t.blockSize), largest)
		t.block = make([]byte, max(n, t.blockSize))
	}
	r := t.block[:0:n]
	t.block = t.block[n:]
	return r
}

func (t *Tx) recordValue(bucket, key []byte) {
	if !t.recording {
		return
	}
	old := bytes.Clone(t.Bucket(bucket).Get(key))
	t.OnUndo(func() {
		if old == nil {
			t.Fail(t.Bucket(bucket).Delete(key))
		} else {
			t.Fail(t.Bucket(bucket).Put(key, old))
		}
	})
}

// BeginUndo starts to record changes.
func (t *Tx) BeginUndo() { t.recording, t.undoLog = true, nil }

// EndUndo stops recording and drops what was recorded.
func (t *Tx) EndUndo() { t.recording, t.undoLog = false, nil }

// Recording reports whether changes are recorded.
func (t *Tx) Recording() bool { return t.recording }

// OnUndo adds a function that Undo calls to revert a change in memory. It does nothing
// unless changes are recorded.
func (t *Tx) OnUndo(revert func()) {
	if t.recording {
		t.undoLog = append(t.undoLog, revert)
	}
}

// Set sets a value in memory. Undo reverts it.
func Set[K comparable, V any](t *Tx, m map[K]V, key K, value V) {
	if t.recording {
		old, existed := m[key]
		t.OnUndo(func() {
			if existed {
				m[key] = old
			} else {
				delete(m, key)
			}
		})
	}
	m[key] = value
}

// Undo reverts all changes since BeginUndo, the last one first.
func (t *Tx) Undo() {
	for _, revert := range slices.Backward(t.undoLog) {
		revert()
	}
}
