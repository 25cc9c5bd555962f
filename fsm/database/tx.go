package database

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"
)

// Tx writes sealed records in a bbolt transaction. Between BeginUndo and EndUndo it
// records every change, so that Undo can revert them. It is not safe for concurrent use.
type Tx struct {
	*bolt.Tx
	buckets map[string]*bolt.Bucket

	// Values must live until the transaction ends. They are cut from large blocks, so
	// that the garbage collector has few objects to handle.
	block     []byte // the rest of the current block
	blockSize int

	recording bool
	undoLog   []func() error
}

// NewTx returns a Tx that writes to tx.
func NewTx(tx *bolt.Tx) *Tx { return &Tx{Tx: tx, buckets: map[string]*bolt.Bucket{}} }

// Bucket returns a bucket. It is opened on first use, because bbolt writes every open
// bucket at the commit.
func (t *Tx) Bucket(name []byte) *bolt.Bucket {
	bucket, ok := t.buckets[string(name)]
	if !ok {
		bucket = t.Tx.Bucket(name)
		for _, appended := range [][]byte{Timeline, Seqs, Signatures} {
			if bytes.Equal(name, appended) {
				// Keys are appended, per contest, per source or overall. Full pages make
				// the bucket half as large.
				bucket.FillPercent = 0.9
			}
		}
		t.buckets[string(name)] = bucket
	}
	return bucket
}

// Get returns the value of a key; nil if there is none. It must not be changed.
func (t *Tx) Get(bucket, key []byte) ([]byte, error) { return Get(t.Bucket(bucket), key) }

// Put seals and writes a copy of value.
func (t *Tx) Put(bucket, key, value []byte) error {
	t.recordValue(bucket, key)
	return t.Bucket(bucket).Put(key, Seal(key, append(t.alloc(len(value)+4), value...)))
}

// PutJSON writes v as JSON.
func (t *Tx) PutJSON(bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.Put(bucket, key, data)
}

// Delete deletes a key.
func (t *Tx) Delete(bucket, key []byte) error {
	t.recordValue(bucket, key)
	return t.Bucket(bucket).Delete(key)
}

// alloc returns an empty slice with the capacity n.
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

// recordValue records the value of a key before it changes.
func (t *Tx) recordValue(bucket, key []byte) {
	if !t.recording {
		return
	}
	old := bytes.Clone(t.Bucket(bucket).Get(key))
	t.OnUndo(func() error {
		if old == nil {
			return t.Bucket(bucket).Delete(key)
		}
		return t.Bucket(bucket).Put(key, old)
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
func (t *Tx) OnUndo(revert func() error) {
	if t.recording {
		t.undoLog = append(t.undoLog, revert)
	}
}

// Undo reverts all changes since BeginUndo, the last one first.
func (t *Tx) Undo() error {
	for _, revert := range slices.Backward(t.undoLog) {
		if err := revert(); err != nil {
			return err
		}
	}
	return nil
}
