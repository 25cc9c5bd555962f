package timeline

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

func openDatabase(t *testing.T) *bolt.DB {
	t.Helper()
	db, err := database.Open(filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// signatureOf returns a signature that has most bytes in common with those of other
// revisions.
func signatureOf(revision uint64) []byte {
	return append(bytes.Repeat([]byte{7}, 100), byte(revision>>8), byte(revision))
}

// post appends a post of n signed events, beginning with a revision.
func post(t *testing.T, w *Writer, contestID string, revision uint64, n int) {
	t.Helper()
	for i := range uint64(n) {
		w.Append(&entry.Event{
			Event: score.Event{
				ID: fmt.Sprint("e", revision+i), Source: "bard/a", Type: score.TypeAlert,
				Time: time.Unix(0, 0).UTC(), ContestID: contestID, Key: "k", Signature: signatureOf(revision + i),
			},
			JSON:     []byte(`{"text":"rain"}`),
			Revision: revision + i,
		})
	}
}

// write writes in a transaction with a cache, or without what it would have kept.
func write(t *testing.T, db *bolt.DB, cache *Cache, f func(w *Writer, tx *database.Tx)) {
	t.Helper()
	if cache == nil {
		cache = NewCache()
	}
	err := db.Update(func(boltTx *bolt.Tx) error {
		tx := database.NewTx(boltTx)
		w := NewWriter(tx, cache)
		f(w, tx)
		w.Flush()
		return tx.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// revisions returns the revisions of rows.
func revisions(t *testing.T, rows iter.Seq2[Row, error]) string {
	t.Helper()
	var got []string
	for r, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(r.Revision))
	}
	return strings.Join(got, " ")
}

// dump returns all records of the two buckets.
func dump(t *testing.T, db *bolt.DB) (records []string) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) error {
		for _, bucket := range [][]byte{database.Timeline, database.Signatures} {
			if err := tx.Bucket(bucket).ForEach(func(k, v []byte) error {
				records = append(records, fmt.Sprintf("%s %x %x", bucket, k, v))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestEachEventHasItsSignatureWhereverItIsStored(t *testing.T) {
	db := openDatabase(t)
	const many = 1000
	write(t, db, nil, func(w *Writer, _ *database.Tx) {
		post(t, w, "G/1", 1, 1)
		post(t, w, "G/1", 2, many) // several runs
		post(t, w, "G/2", many+2, 3)
		w.Append(&entry.Event{Event: score.Event{ID: "unsigned", Source: "s", ContestID: "G/3"}, Revision: many + 5})
		post(t, w, "G/4", many+6, 1) // another run
	})
	err := db.View(func(tx *bolt.Tx) error {
		signatures, seen := NewSignatureReader(tx.Bucket(database.Signatures)), 0
		timeline := tx.Bucket(database.Timeline)
		for _, rows := range []iter.Seq2[Row, error]{
			Contest(timeline, "G/1", 0),
			ContestBackward(timeline, "G/1"),
			Competition(timeline, "G"),
		} {
			for r, err := range rows {
				if err != nil {
					return err
				}
				e, err := r.Decode()
				if err != nil {
					return err
				}
				if e.ID == "unsigned" {
					continue
				}
				signature, err := signatures.Signature(&e)
				if !bytes.Equal(signature, signatureOf(e.Revision)) || err != nil {
					t.Errorf("event %d has the signature %x (%v)", e.Revision, signature, err)
				}
				seen++
			}
		}
		if want := 3*(1+many) + 4; seen != want {
			t.Errorf("the scans returned %d events; want %d", seen, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestScansReturnTheEventsOfOneContestInOrder(t *testing.T) {
	db := openDatabase(t)
	write(t, db, nil, func(w *Writer, _ *database.Tx) {
		post(t, w, "G/1", 1, 3)
		post(t, w, "G/10", 4, 1)
		post(t, w, "G", 5, 1)
		post(t, w, "G/1", 6, 1)
		w.Append(&entry.Event{Event: score.Event{
			ID: "v", Source: "bard/a", Type: score.TypeAlert, Time: time.Unix(0, 0), ContestID: "G/1",
		}, VoidedBy: 9, Revision: 7})
	})
	err := db.View(func(tx *bolt.Tx) error {
		timeline := tx.Bucket(database.Timeline)
		want := func(want string, rows iter.Seq2[Row, error]) {
			t.Helper()
			if got := revisions(t, rows); got != want {
				t.Errorf("got %s; want %s", got, want)
			}
		}
		want("1 2 3 6 7", Contest(timeline, "G/1", 0))
		want("3 6 7", Contest(timeline, "G/1", 2))
		want("", Contest(timeline, "G/1", math.MaxUint64))
		want("7 6 3 2 1", ContestBackward(timeline, "G/1"))
		want("4", ContestBackward(timeline, "G/10"))
		want("", ContestBackward(timeline, "G/2"))
		want("", Contest(timeline, "F", 0))
		want("", Contest(timeline, "H", 0))
		want("5 1 2 3 6 4", Competition(timeline, "G"))
		e, err := Load(timeline, "G/1", 6)
		if err != nil || e.ID != "e6" || e.Revision != 6 {
			t.Errorf("loaded %+v, %v", e, err)
		}
		for _, r := range []uint64{0, 4, 8} {
			if e, err := Load(timeline, "G/1", r); err == nil {
				t.Errorf("loaded %+v", e)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Many events take many blocks; each scan finds exactly those that it asks for, and Load
// each event.
func TestScansFindEveryEventInItsBlock(t *testing.T) {
	db := openDatabase(t)
	const n = 200
	write(t, db, nil, func(w *Writer, _ *database.Tx) {
		for i := range uint64(n) {
			post(t, w, fmt.Sprint("G/", i%2), i+1, 1)
		}
	})
	err := db.View(func(tx *bolt.Tx) error {
		timeline := tx.Bucket(database.Timeline)
		if keys := timeline.Stats().KeyN; keys > n/5 || keys < 4 {
			t.Errorf("%d events are in %d records", n, keys)
		}
		for after := range uint64(n + 1) {
			var want []string
			for r := uint64(1); r <= n; r += 2 {
				if r > after {
					want = append(want, fmt.Sprint(r))
				}
			}
			if got := revisions(t, Contest(timeline, "G/0", after)); got != strings.Join(want, " ") {
				t.Fatalf("after %d: %s", after, got)
			}
		}
		for r := range uint64(n) {
			if e, err := Load(timeline, fmt.Sprint("G/", r%2), r+1); err != nil || e.ID != fmt.Sprint("e", r+1) {
				t.Fatalf("event %d is %+v, %v", r+1, e, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The events of one log, written in transactions of any size, with or without what the
// cache has kept, with posts that were undone between them, and with events that were
// replaced, are stored in equal records.
func TestRecordsDoNotDependOnTransactions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			contest string
			size    int
			voided  uint64 // the number of an event that is replaced; 0 if none
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				fmt.Sprint("G/", rapid.IntRange(1, 3).Draw(t, "contest")),
				rapid.SampledFrom([]int{1, 100, 100, 1000, 3000}).Draw(t, "size"),
				rapid.Uint64Range(0, 40).Draw(t, "voided"),
			}
		}), 1, 60).Draw(rt, "steps")
		events := map[uint64]*entry.Event{}
		apply := func(w *Writer, revision uint64, s step) {
			e := &entry.Event{
				Event: score.Event{ID: fmt.Sprint("e", revision), Source: "s", Type: score.TypeAlert,
					Time: time.Unix(0, 0).UTC(), ContestID: s.contest, Key: "k", Signature: signatureOf(revision)},
				JSON: bytes.Repeat([]byte("x"), s.size), Revision: revision,
			}
			if s.size == 1 {
				e.Key, e.Signature = "", nil
			}
			events[revision] = e
			w.Append(e)
			if voided := events[s.voided]; voided != nil && s.voided < revision {
				changed := *voided
				changed.VoidedBy = revision
				if s.size == 100 {
					changed.VoidedBy = 0
				}
				w.Replace(&changed)
			}
		}
		run := func(each func(db *bolt.DB, cache *Cache)) []string {
			clear(events)
			db := openDatabase(t)
			defer db.Close()
			each(db, NewCache())
			return dump(t, db)
		}
		want := run(func(db *bolt.DB, cache *Cache) {
			write(t, db, cache, func(w *Writer, _ *database.Tx) {
				for i, s := range steps {
					apply(w, uint64(i+1), s)
				}
			})
		})
		got := run(func(db *bolt.DB, cache *Cache) {
			for i := 0; i < len(steps); {
				n := rapid.IntRange(1, len(steps)-i).Draw(rt, "events of the transaction")
				if rapid.Bool().Draw(rt, "without the cache") {
					cache = NewCache()
				}
				write(t, db, cache, func(w *Writer, tx *database.Tx) {
					for range n {
						if rapid.IntRange(0, 3).Draw(rt, "undo") == 0 {
							before := maps.Clone(events)
							tx.BeginUndo()
							for at, s := range steps[i:] {
								apply(w, uint64(i+at+1), s)
							}
							tx.Undo()
							tx.EndUndo()
							events = before
						}
						if rapid.IntRange(0, 3).Draw(rt, "read") == 0 {
							revisions(t, Contest(w.Bucket("G/1"), "G/1", 0))
						}
						if rapid.Bool().Draw(rt, "recording") {
							tx.BeginUndo()
						}
						apply(w, uint64(i+1), steps[i])
						tx.EndUndo()
						i++
					}
				})
			}
		})
		if !slices.Equal(got, want) {
			rt.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestAnUndoneAppendLeavesNothing(t *testing.T) {
	db := openDatabase(t)
	write(t, db, nil, func(w *Writer, tx *database.Tx) {
		tx.BeginUndo()
		post(t, w, "G/1", 1, 300)
		revisions(t, Contest(w.Bucket("G/1"), "G/1", 0))
		tx.Undo()
		tx.EndUndo()
		if got := revisions(t, Contest(w.Bucket("G/1"), "G/1", 0)); got != "" {
			t.Errorf("the timeline has %s", got)
		}
	})
	if records := dump(t, db); len(records) > 0 {
		t.Errorf("the database has %s", records)
	}
}

func TestADamagedBlockIsAnError(t *testing.T) {
	db := openDatabase(t)
	write(t, db, nil, func(w *Writer, _ *database.Tx) { post(t, w, "G/1", 1, 30) })
	key := database.NumberedKey(1, "G/1")
	for name, spoil := range map[string]func(value []byte) []byte{
		"checksum": func(value []byte) []byte { value[0] ^= 1; return value },
		"empty":    func([]byte) []byte { return database.Seal(key, nil) },
		"cut":      func(value []byte) []byte { return database.Seal(key, value[:len(value)/2]) },
	} {
		tx, err := db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		bucket := tx.Bucket(database.Timeline)
		if err := bucket.Put(key, spoil(bytes.Clone(bucket.Get(key)))); err != nil {
			t.Fatal(err)
		}
		for _, rows := range []iter.Seq2[Row, error]{
			Contest(bucket, "G/1", 0), ContestBackward(bucket, "G/1"), Competition(bucket, "G"),
		} {
			var last error
			for _, err := range rows {
				last = err
			}
			if !errors.Is(last, database.ErrDamaged) {
				t.Errorf("%s: a scan ended with %v", name, last)
			}
		}
		if _, err := Load(bucket, "G/1", 20); !errors.Is(err, database.ErrDamaged) {
			t.Errorf("%s: Load returned %v", name, err)
		}
		tx.Rollback()
	}
}
