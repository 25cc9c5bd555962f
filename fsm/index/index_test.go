package index

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/score/fold"
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

func contestOf(id, sport, status string, codes ...string) *fold.Contest {
	c := fold.NewContest(id)
	c.Definition.Kind, c.Definition.Sport, c.ScheduleStatus = score.HeadToHead, sport, status
	for _, code := range codes {
		c.Competitors = append(c.Competitors, fold.Competitor{Entrant: score.Entrant{Code: code}})
	}
	return c
}

// write writes in a transaction.
func write(t *testing.T, db *bolt.DB, f func(tx *database.Tx)) {
	t.Helper()
	err := db.Update(func(boltTx *bolt.Tx) error {
		tx := database.NewTx(boltTx)
		f(tx)
		return tx.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fill writes three contests and a mark with their postings.
func fill(t *testing.T, db *bolt.DB) {
	t.Helper()
	write(t, db, func(tx *database.Tx) {
		for _, c := range []*fold.Contest{
			contestOf("G/1", "stones", "RUNNING", "A", "B"),
			contestOf("G/2", "stones", "FINISHED", "A", "C"),
			contestOf("H/1", "race", "RUNNING", "C"),
		} {
			tx.PutJSON(database.Contests, []byte(c.ID), c)
			Update(tx, c.ID, nil, Terms(nil, c))
		}
		AddMark(tx, "H/1", "D")
	})
}

// found returns the ids of the contests that match a filter.
func found(t *testing.T, db *bolt.DB, f score.Filter) string {
	t.Helper()
	var ids []string
	err := db.View(func(tx *bolt.Tx) error {
		matches := Find(tx, f)
		from := matches.Prefix
		for {
			id, err := matches.Seek(from)
			if id == nil || err != nil {
				return err
			}
			ids = append(ids, string(id))
			from = append([]byte(string(id)), 0)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

func wantFound(t *testing.T, db *bolt.DB, f score.Filter, want string) {
	t.Helper()
	if got := found(t, db, f); got != want {
		t.Errorf("%+v finds %q; want %q", f, got, want)
	}
}

func TestFindIntersectsTheTermsOfAFilter(t *testing.T) {
	db := openDatabase(t)
	fill(t, db)
	for _, c := range []struct {
		filter score.Filter
		want   string
	}{
		{score.Filter{}, "G/1 G/2 H/1"},
		{score.Filter{Competition: "G"}, "G/1 G/2"},
		{score.Filter{Sport: "stones"}, "G/1 G/2"},
		{score.Filter{Status: "RUNNING"}, "G/1 H/1"},
		{score.Filter{Sport: "stones", Status: "RUNNING"}, "G/1"},
		{score.Filter{Competitor: "C"}, "G/2 H/1"},
		{score.Filter{Competitor: "D"}, "H/1"}, // by its mark
		{score.Filter{Competitor: "C", Competition: "G"}, "G/2"},
		{score.Filter{Sport: "race", Competitor: "A"}, ""},
		{score.Filter{Sport: "none"}, ""},
	} {
		wantFound(t, db, c.filter, c.want)
	}
}

func TestUpdateChangesOnlyThePostingsThatDiffer(t *testing.T) {
	db := openDatabase(t)
	fill(t, db)
	write(t, db, func(tx *database.Tx) {
		before := Terms(nil, contestOf("G/1", "stones", "RUNNING", "A", "B"))
		after := Terms(nil, contestOf("G/1", "stones", "FINISHED", "A", "C"))
		Update(tx, "G/1", before, after)
		AddMark(tx, "G/1", "D")
		AddMark(tx, "G/1", "D") // at another split
		RemoveMark(tx, "H/1", "D")
	})
	wantFound(t, db, score.Filter{Sport: "stones"}, "G/1 G/2")
	wantFound(t, db, score.Filter{Status: "RUNNING"}, "H/1")
	wantFound(t, db, score.Filter{Competitor: "B"}, "")
	wantFound(t, db, score.Filter{Competitor: "C"}, "G/1 G/2 H/1")
	wantFound(t, db, score.Filter{Competitor: "D"}, "G/1")
}
