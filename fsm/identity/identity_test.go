package identity

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

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

// write writes in a transaction with a cache.
func write(t *testing.T, db *bolt.DB, cache Cache, f func(w *Writer, tx *database.Tx)) {
	t.Helper()
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

// event returns the event of the source s with a seq, its id and its digest.
func event(seq uint64) (*entry.Event, score.Digest) {
	e := &entry.Event{Event: score.Event{Source: "s", Seq: seq, ID: fmt.Sprint("e", seq)}, Revision: 100 + seq}
	return e, score.Digest{byte(seq), byte(seq >> 8)}
}

// another is the digest of no event.
var another = score.Digest{1, 2, 3}

// post records the events of the source s with seqs from first to last.
func post(w *Writer, first, last uint64) {
	for seq := first; seq <= last; seq++ {
		e, digest := event(seq)
		w.Record(w.Source("s"), e, digest)
	}
}

func TestAnEventIsRecognizedByItsSeqOrByItsID(t *testing.T) {
	db := openDatabase(t)
	const last = window + 2*blockSeqs + 5
	cache := Cache{}
	write(t, db, cache, func(w *Writer, _ *database.Tx) { post(w, 1, last-3) })
	write(t, db, cache, func(w *Writer, _ *database.Tx) { post(w, last-2, last) })
	for how, cache := range map[string]Cache{"in memory": cache, "read again": {}} {
		write(t, db, cache, func(w *Writer, _ *database.Tx) {
			s := w.Source("s")
			for seq := uint64(1); seq <= last; seq++ {
				e, digest := event(seq)
				if first, p := w.Identify(s, e, digest); p != nil || *first != (First{100 + seq, seq, e.ID}) {
					t.Fatalf("%s: seq %d is %v, %v", how, seq, first, p)
				}
				if _, p := w.Identify(s, e, another); p == nil || p.Code != score.IDConflict || p.Field != "seq" {
					t.Fatalf("%s: another event with seq %d is %v", how, seq, p)
				}
				e.Seq = 0
				first, p := w.Identify(s, e, digest)
				if remembered := seq > last-window; p != nil || (first != nil) != remembered {
					t.Fatalf("%s: the id of seq %d of %d is %v, %v", how, seq, last, first, p)
				}
			}
			e, digest := event(last + 1)
			if first, p := w.Identify(s, e, digest); first != nil || p != nil {
				t.Errorf("%s: the next event is %v, %v", how, first, p)
			}
			e, digest = event(last + 2)
			if _, p := w.Identify(s, e, digest); p == nil || p.Code != score.SeqGap || p.ExpectedSeq != last+1 {
				t.Errorf("%s: a gap is %v", how, p)
			}
		})
	}
}

func TestAnUndoneEventIsNotRecognized(t *testing.T) {
	for kept := uint64(1); kept <= blockSeqs+1; kept++ {
		db, cache := openDatabase(t), Cache{}
		write(t, db, cache, func(w *Writer, tx *database.Tx) {
			post(w, 1, kept)
			tx.BeginUndo()
			post(w, kept+1, kept+2*blockSeqs)
			tx.Undo()
			tx.EndUndo()
			e, _ := event(kept + 1)
			w.Record(w.Source("s"), e, another)
		})
		for how, cache := range map[string]Cache{"in memory": cache, "read again": {}} {
			write(t, db, cache, func(w *Writer, _ *database.Tx) {
				s := w.Source("s")
				e, digest := event(kept)
				if first, p := w.Identify(s, e, digest); first == nil || p != nil {
					t.Errorf("%s: seq %d before the undone is %v, %v", how, kept, first, p)
				}
				e, digest = event(kept + 1)
				if first, p := w.Identify(s, e, another); first == nil || p != nil {
					t.Errorf("%s: seq %d after the undone is %v, %v", how, kept+1, first, p)
				}
				if _, p := w.Identify(s, e, digest); p == nil || !strings.Contains(p.Detail, "next seq") {
					t.Errorf("%s: the undone event is recognized: %v", how, p)
				}
				if s.LastSeq != kept+1 {
					t.Errorf("%s: the last seq is %d; want %d", how, s.LastSeq, kept+1)
				}
			})
		}
	}
}

func TestACacheOfSourcesIsBounded(t *testing.T) {
	db, cache := openDatabase(t), Cache{}
	write(t, db, cache, func(w *Writer, _ *database.Tx) {
		for i := range maxCached + 1 {
			w.Source(fmt.Sprint("s", i))
		}
	})
	if cache.Trim(); len(cache) > maxCached {
		t.Errorf("%d sources are cached", len(cache))
	}
}
