package database

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// A Tx holds its changes back, but what is read through it, and what the file has after
// commits, undos and the deaths of its process, is what a plain map has.
func TestHeldBackChangesMatchAPlainMapUnderKillsAndUndos(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "state.db"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rapid.Check(t, func(t *rapid.T) {
		h := newHeldBack(t, db)
		defer func() { h.tx.Rollback() }()
		t.Repeat(map[string]func(*rapid.T){
			"change":        h.change,
			"post":          func(t *rapid.T) { h.post(t, false) },
			"post and undo": func(t *rapid.T) { h.post(t, true) },
			"commit":        h.commit,
			"kill":          h.kill,
		})
		h.kill(t)
	})
}

// plain is the content of a database: values by bucket and key.
type plain map[[2]string]string

// heldBack is a transaction and the plain maps that it is compared with.
type heldBack struct {
	db        *bolt.DB
	tx        *Tx
	now       plain
	committed plain
	memory    map[string]int // that Undo reverts too
}

// newHeldBack empties the database.
func newHeldBack(t *rapid.T, db *bolt.DB) *heldBack {
	err := db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &heldBack{db: db, now: plain{}, committed: plain{}, memory: map[string]int{}}
	h.open(t)
	return h
}

func (h *heldBack) open(t *rapid.T) {
	tx, err := h.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	h.tx = NewTx(tx)
}

func (h *heldBack) bucket(t *rapid.T) []byte {
	return rapid.SampledFrom([][]byte{Meta, Timeline, Index}).Draw(t, "bucket")
}

func (h *heldBack) key(t *rapid.T) []byte {
	return fmt.Appendf(nil, "k%d", rapid.IntRange(1, 12).Draw(t, "key"))
}

// change changes or reads something.
func (h *heldBack) change(t *rapid.T) {
	bucket, key := h.bucket(t), h.key(t)
	at := [2]string{string(bucket), string(key)}
	switch rapid.SampledFrom([]string{"put", "put", "delete", "get", "scan"}).Draw(t, "what") {
	case "put":
		value := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(t, "byte"))},
			rapid.SampledFrom([]int{0, 1, 30, 3000}).Draw(t, "size"))
		h.tx.Put(bucket, key, value)
		h.now[at] = string(value)
		clear(value) // it was copied
		clear(key)
		Set(h.tx, h.memory, at[0], len(h.now))
	case "delete":
		h.tx.Delete(bucket, key)
		delete(h.now, at)
	case "get":
		want, exists := h.now[at]
		if v := h.tx.Get(bucket, key); string(v) != want || (v != nil) != exists {
			t.Fatalf("%s %s is %q; want %q, %t", bucket, key, v, want, exists)
		}
	case "scan":
		wantBucket(t, h.tx, bucket, h.now)
	}
}

// wantBucket checks that a bucket has what a plain map has of it.
func wantBucket(t *rapid.T, tx Reader, name []byte, want plain) {
	n := 0
	c := tx.Bucket(name).Cursor()
	for k, sealed := c.First(); k != nil; k, sealed = c.Next() {
		v, err := Unseal(k, sealed)
		if w, exists := want[[2]string{string(name), string(k)}]; err != nil || !exists || w != string(v) {
			t.Fatalf("%s %s is %q, %v; want %q, %t", name, k, v, err, w, exists)
		}
		n++
	}
	for k := range want {
		if k[0] == string(name) {
			n--
		}
	}
	if n != 0 {
		t.Fatalf("%s has %d keys too many", name, n)
	}
}

// post records a few changes, and may undo them.
func (h *heldBack) post(t *rapid.T, undo bool) {
	before, memory := maps.Clone(h.now), maps.Clone(h.memory)
	h.tx.BeginUndo()
	for range rapid.IntRange(1, 6).Draw(t, "changes") {
		h.change(t)
	}
	if undo {
		h.tx.Undo()
		h.now = before
	}
	h.tx.EndUndo()
	if undo && !maps.Equal(h.memory, memory) {
		t.Fatalf("the values in memory are %v; want %v", h.memory, memory)
	}
	wantBucket(t, h.tx, Timeline, h.now) // the others stay in memory
}

func (h *heldBack) commit(t *rapid.T) {
	if err := h.tx.Commit(); err != nil {
		t.Fatal(err)
	}
	h.committed = maps.Clone(h.now)
	h.open(t)
}

// kill drops the open transaction: the file has what was committed last.
func (h *heldBack) kill(t *rapid.T) {
	if err := h.tx.Err(); err != nil {
		t.Fatal(err)
	}
	if err := h.tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	err := h.db.View(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			wantBucket(t, tx, name, h.committed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.now = maps.Clone(h.committed)
	h.open(t)
}
