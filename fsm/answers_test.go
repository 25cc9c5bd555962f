package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
)

// answersHistory returns a machine of a sworn group with answers of each kind.
func answersHistory(t *testing.T) *Machine {
	m, post := roundsHistory(t)
	post(defineOfMatch)
	post(startOfMatch)
	post(playOfMatch)
	post(`"type":"contest.define","contest_id":"G/2","data":{"kind":"ranked","sport":"menhir","title":"Throw",` +
		`"competition":"G","splits":["a"],"result_type":"TIME","start_time":"2026-02-09T11:00:00+01:00"}`)
	post(`"type":"contest.status","contest_id":"G/2","data":{"schedule_status":"RUNNING"}`)
	post(`"type":"result.set","contest_id":"G/2","data":{"competitor":"W20","split":"a","mark":"2:11:31.2",` +
		`"organisation":"GAU"}`)
	post(`"type":"medal.award","contest_id":"G/2","data":{"award_id":"g","medal":"GOLD","organisation":"GAU"}`)
	return m
}

// Frontends of two versions whose answers differ by a byte would certify nothing together, and
// each would take its own disk for damaged. So this test must not be changed alone.
func TestTheAnswersOfAFormatDoNotChange(t *testing.T) {
	m := answersHistory(t)
	var got bytes.Buffer
	for _, key := range []string{"bards/bard/cacofonix", "keys", "medals/G", "roster", "scores/G/1", "scores/G/2"} {
		body, err := m.Answer(key)
		if err != nil || body == nil {
			t.Fatalf("%s: %s, %v", key, body, err)
		}
		fmt.Fprintf(&got, "%s\n%s", key, body)
	}
	path := filepath.Join("testdata", fmt.Sprintf("answers-%d.txt", entry.AnswersFormat))
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the answers are\n%s\nand in %s they are\n%s\n%v\nIf that is meant, raise entry.AnswersFormat, have the state "+
			"machine make answers in the format before as well, and write the new file with -update", &got, path, want, err)
	}
}

// reopenWithFormat closes a machine and opens it with rounds whose answers have a format.
func reopenWithFormat(t *testing.T, m *Machine, format uint64) *Machine {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(m.path(), m.log)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("answers")
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(database.Meta).Put(key, database.Seal(key, binary.AppendUvarint(nil, format)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Close(m.path(), db, nil); err != nil {
		t.Fatal(err)
	}
	again := openMachine(t, m.dir)
	t.Cleanup(func() { again.Close() })
	return again
}

func TestAnswersOfAnotherFormatAreNotTakenForDamage(t *testing.T) {
	m := answersHistory(t)
	mustSeal(t, m)
	if m.Rounds().Format() != entry.AnswersFormat || m.Outdated() {
		t.Errorf("the format of the first round is %d", m.Rounds().Format())
	}
	other := uint64(entry.AnswersFormat + 1)
	m = reopenWithFormat(t, m, other)
	if copied := restoredFrom(t, m); copied.Rounds().Format() != other {
		t.Errorf("the format in a snapshot is %d", copied.Rounds().Format())
	}
	b, err := m.openBatch()
	if err != nil {
		t.Fatal(err)
	}
	b.contest("G/1").Period = "x" // as this version would make it
	if wrong := wrongAnswers(t, m); wrong != nil {
		t.Errorf("%q are wrong", wrong)
	}
	round := mustSeal(t, m)
	for i := range round.Answers.Size() {
		key, _ := round.Answers.At(i)
		if body, known := round.Body(key); !known || body == nil {
			t.Errorf("%s is not made anew", key)
		}
	}
	if wrong := wrongAnswers(t, m); wrong != nil || m.Rounds().Format() != entry.AnswersFormat {
		t.Errorf("%q are wrong in format %d", wrong, m.Rounds().Format())
	}
	if copied := restoredFrom(t, m); copied.Rounds().Format() != entry.AnswersFormat {
		t.Errorf("the format in a snapshot is still %d", copied.Rounds().Format())
	}
	if b, err = m.openBatch(); err != nil {
		t.Fatal(err)
	}
	b.contest("G/1").Period = "y"
	if wrong := wrongAnswers(t, m); len(wrong) != 1 {
		t.Errorf("%q are wrong after one has changed by itself", wrong)
	}
}
