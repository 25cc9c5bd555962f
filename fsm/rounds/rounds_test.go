package rounds

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/witness"
)

// newLog returns an empty log and a transaction.
func newLog(t *testing.T) (*Log, *database.Tx) {
	t.Helper()
	db, err := database.Open(filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l := new(Log)
	err = db.View(func(tx *bolt.Tx) error {
		saved, err := Load(tx)
		if err == nil {
			l.Reset(saved)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return l, database.NewTx(tx)
}

// seal makes the next round, of which each answer that has changed has the body.
func seal(t *testing.T, l *Log, tx *database.Tx, body []byte) *Sealed {
	t.Helper()
	number := l.Next()
	if err := l.Seal(tx, witness.Round{Number: number}, 1, func(string) []byte { return body }); err != nil {
		t.Fatal(err)
	}
	return l.Sealed(number)[0]
}

func TestARoundInAnotherFormatIsMadeOfAllAnswersAnew(t *testing.T) {
	l, tx := newLog(t)
	make := func(format uint64, want int) {
		t.Helper()
		made := 0
		err := l.Seal(tx, witness.Round{Number: l.Next()}, format, func(key string) []byte {
			made++
			return fmt.Append(nil, key, format)
		})
		if err != nil || made != want || l.Format() != format {
			t.Errorf("%d answers were made for a round of format %d; want %d (%v)", made, l.Format(), want, err)
		}
	}
	l.Change(tx, Scores, "a")
	l.Change(tx, Scores, "b")
	make(1, 2)
	l.Change(tx, Scores, "a")
	make(1, 1)
	l.Change(tx, Scores, "c")
	make(2, 3)
	make(2, 0)
	make(1, 3) // by a master of the version before
}

// A body that is not known must not be taken for the one of an older round.
func TestBodiesInMemoryAreBounded(t *testing.T) {
	l, tx := newLog(t)
	l.Change(tx, Scores, "0")
	l.Change(tx, Scores, "old")
	first := seal(t, l, tx, []byte("{}\n"))
	large := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 20 {
		l.Change(tx, Scores, fmt.Sprint(i))
	}
	second := seal(t, l, tx, large)
	if _, known := second.Body("scores/0"); known {
		t.Error("20 MB are kept of a round")
	}
	if body, known := first.Body("scores/0"); !known || string(body) != "{}\n" {
		t.Errorf("the round before has %s", body)
	}
	var last *Sealed
	for range 20 {
		l.Change(tx, Scores, "0")
		last = seal(t, l, tx, large)
	}
	kept := 0
	for b := last.bodies; b != nil; b = b.older.Load() {
		kept += b.size
	}
	if kept > maxKeptBytes || kept < maxKeptBytes/2 {
		t.Errorf("%d bytes are kept", kept)
	}
	l.Change(tx, Scores, "1")
	seal(t, l, tx, nil)
	for range maxKeptRounds - 1 {
		l.Change(tx, Scores, "0")
		last = seal(t, l, tx, []byte("{}\n"))
	}
	if body, known := last.Body("scores/1"); !known || body != nil {
		t.Errorf("an answer that went %d rounds ago is %s", maxKeptRounds-1, body)
	}
	l.Change(tx, Scores, "0")
	if _, known := seal(t, l, tx, []byte("{}\n")).Body("scores/1"); known {
		t.Errorf("more than %d rounds are kept", maxKeptRounds)
	}
}
