package timeline

import (
	"bytes"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

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
	w.EndPost()
}

func write(t *testing.T, db *bolt.DB, f func(w *Writer, tx *database.Tx)) {
	t.Helper()
	err := db.Update(func(boltTx *bolt.Tx) error {
		tx := database.NewTx(boltTx)
		f(NewWriter(tx), tx)
		return tx.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachEventHasItsSignatureWhereverItIsStored(t *testing.T) {
	db := openDatabase(t)
	write(t, db, func(w *Writer, _ *database.Tx) {
		post(t, w, "G/1", 1, 1)
		post(t, w, "G/1", 2, maxRun+10) // two runs
		post(t, w, "G/2", maxRun+12, 3)
	})
	err := db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket(database.Signatures).Stats().KeyN; n != 4 {
			t.Errorf("there are %d runs; want 4", n)
		}
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
				signature, err := signatures.Signature(&e)
				if !bytes.Equal(signature, signatureOf(e.Revision)) || err != nil {
					t.Errorf("event %d has the signature %x (%v)", e.Revision, signature, err)
				}
				seen++
			}
		}
		if want := 3*(1+maxRun+10) + 3; seen != want {
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
	write(t, db, func(w *Writer, _ *database.Tx) {
		post(t, w, "G/1", 1, 3)
		post(t, w, "G/10", 4, 1)
		post(t, w, "G", 5, 1)
		post(t, w, "G/1", 6, 1)
		w.Put(&entry.Event{Event: score.Event{
			ID: "v", Source: "bard/a", Type: score.TypeAlert, Time: time.Unix(0, 0), ContestID: "G/1",
		}, VoidedBy: 9, Revision: 7})
	})
	err := db.View(func(tx *bolt.Tx) error {
		timeline := tx.Bucket(database.Timeline)
		want := func(want string, rows iter.Seq2[Row, error]) {
			t.Helper()
			var got []string
			for r, err := range rows {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(r.Revision))
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("got %s; want %s", s, want)
			}
		}
		want("1 2 3 6 7", Contest(timeline, "G/1", 0))
		want("3 6 7", Contest(timeline, "G/1", 2))
		want("", Contest(timeline, "G/1", math.MaxUint64))
		want("7 6 3 2 1", ContestBackward(timeline, "G/1"))
		want("4", ContestBackward(timeline, "G/10"))
		want("5 1 2 3 6 4", Competition(timeline, "G"))
		e, err := Load(timeline, "G/1", 6)
		if err != nil || e.ID != "e6" || e.Revision != 6 {
			t.Errorf("loaded %+v, %v", e, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnUndoneAppendLeavesNothing(t *testing.T) {
	db := openDatabase(t)
	write(t, db, func(w *Writer, tx *database.Tx) {
		tx.BeginUndo()
		post(t, w, "G/1", 1, 3)
		w.Append(&entry.Event{Event: score.Event{ID: "x", Signature: signatureOf(4)}, Revision: 4})
		tx.Undo()
		w.UndoPost()
		tx.EndUndo()
		post(t, w, "G/1", 1, 2)
	})
	err := db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket(database.Timeline).Stats().KeyN; n != 2 {
			t.Errorf("the timeline has %d events; want 2", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
