package database

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"
)

// Tx reads and writes sealed records in a bbolt transaction.
//
// Changes stay in memory. Get sees them; Flush, Commit, and for one bucket Bucket, write
// them to the transaction in the order of their keys, each key once.
//
// The methods keep the first error. What they return after an error is meaningless, so
// Err must be checked before the results are used. Between BeginUndo and EndUndo a Tx
// records every change, so that Undo can revert them. It is not safe for concurrent use.
type Tx struct {
	tx      *bolt.Tx
	buckets map[string]*bucket
	err     error

	// Values live until the transaction ends. They are cut from large blocks, so that the
	// garbage collector has few objects to handle.
	block     []byte // the rest of the current block
	blockSize int

	recording bool
	undoLog   []func()
	written   []*bucket // while changes were recorded
}

// bucket is a bucket and its changes.
type bucket struct {
	*bolt.Bucket
	cursor *bolt.Cursor // for Get; a Bucket.Get would allocate one each time
	// pending has the values of the keys that have changed, with room for their
	// checksums; nil for a key that is deleted.
	pending map[string][]byte
}

// NewTx returns a Tx that writes to tx.
func NewTx(tx *bolt.Tx) *Tx { return &Tx{tx: tx, buckets: make(map[string]*bucket, len(buckets))} }

// bucket returns a bucket. It is opened on first use, because bbolt writes every open
// bucket at the commit.
func (t *Tx) bucket(name []byte) *bucket {
	b := t.buckets[string(name)]
	if b != nil {
		return b
	}
	b = &bucket{Bucket: t.tx.Bucket(name), pending: map[string][]byte{}}
	b.cursor = b.Cursor()
	switch string(name) {
	case string(Timeline), string(Seqs), string(Signatures):
		// Keys are appended, per contest, per source or overall. Full pages make the
		// bucket half as large.
		b.FillPercent = 0.9
	}
	t.buckets[string(name)] = b
	return b
}

// Bucket returns a bucket with all changes so far, for reading. It writes them first, so
// Get should be used where it can.
func (t *Tx) Bucket(name []byte) *bolt.Bucket {
	b := t.bucket(name)
	t.write(b)
	return b.Bucket
}

// write writes the changes of a bucket to the transaction.
func (t *Tx) write(b *bucket) {
	if len(b.pending) == 0 {
		return
	}
	type change struct {
		key   string
		value []byte
	}
	sorted := make([]change, 0, len(b.pending))
	for key, value := range b.pending {
		sorted = append(sorted, change{key, value})
	}
	slices.SortFunc(sorted, func(x, y change) int { return strings.Compare(x.key, y.key) })
	var key []byte
	for _, c := range sorted {
		key = append(key[:0], c.key...)
		if t.recording {
			t.recordWritten(b, bytes.Clone(key))
		}
		if c.value != nil {
			t.Fail(b.Put(key, Seal(key, c.value)))
		} else {
			t.Fail(b.Delete(key))
		}
	}
	if t.recording {
		pending := b.pending
		t.OnUndo(func() { b.pending = pending })
		t.written = append(t.written, b)
	}
	b.pending = map[string][]byte{}
}

func (t *Tx) recordWritten(b *bucket, key []byte) {
	old := bytes.Clone(b.Get(key))
	t.OnUndo(func() {
		if old == nil {
			t.Fail(b.Delete(key))
		} else {
			t.Fail(b.Put(key, old))
		}
	})
}

// Flush writes all changes to the transaction, and returns the first error of the Tx.
func (t *Tx) Flush() error {
	for _, name := range buckets {
		if b := t.buckets[string(name)]; b != nil {
			t.write(b)
		}
	}
	return t.err
}

// Commit writes all changes and commits the transaction.
func (t *Tx) Commit() error {
	if err := t.Flush(); err != nil {
		return err
	}
	return t.tx.Commit()
}

// Rollback closes the transaction without its changes.
func (t *Tx) Rollback() error { return t.tx.Rollback() }

// Err returns the first error.
func (t *Tx) Err() error { return t.err }

// Fail keeps an error, which may be nil.
func (t *Tx) Fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// Get returns the value of a key; nil if there is none. The value is valid until the
// transaction ends and must not be changed.
func (t *Tx) Get(bucket, key []byte) []byte {
	b := t.bucket(bucket)
	if v, changed := b.pending[string(key)]; changed {
		return v
	}
	k, sealed := b.cursor.Seek(key)
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

// Put sets the value of a key to a copy of value.
func (t *Tx) Put(bucket, key, value []byte) {
	Set(t, t.bucket(bucket).pending, string(key), append(t.alloc(len(value)+4), value...))
}

// PutJSON sets the value of a key to v as JSON.
func (t *Tx) PutJSON(bucket, key []byte, v any) {
	data, err := json.Marshal(v, json.Deterministic(true))
	t.Fail(err)
	t.Put(bucket, key, data)
}

// Delete deletes a key.
func (t *Tx) Delete(bucket, key []byte) { Set(t, t.bucket(bucket).pending, string(key), nil) }

// alloc returns an empty slice with room for n bytes.
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

// BeginUndo starts to record changes.
func (t *Tx) BeginUndo() { t.recording, t.undoLog, t.written = true, nil, nil }

// EndUndo stops recording and drops what was recorded.
func (t *Tx) EndUndo() { t.recording, t.undoLog, t.written = false, nil, nil }

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

// Undo reverts all changes since BeginUndo, the last one first, and stops recording. What was
// held back before them, and had been written, is written again now, not each time that a
// post is undone.
func (t *Tx) Undo() {
	for _, revert := range slices.Backward(t.undoLog) {
		revert()
	}
	written := t.written
	t.EndUndo()
	for _, b := range written {
		t.write(b)
	}
}
