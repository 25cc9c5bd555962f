package ranked

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/leaderboard"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// work counts what a Writer does.
type work struct{ restated, read int }

func (w *work) MarkRestated() { w.restated++ }
func (w *work) RowRead()      { w.read++ }

// write writes in a transaction of a new database, and then calls read.
func write(t *testing.T, f func(w *Writer, tx *database.Tx), read func(tx *bolt.Tx)) (counted work) {
	t.Helper()
	db, err := database.Open(filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(boltTx *bolt.Tx) error {
		tx := database.NewTx(boltTx)
		w := NewWriter(tx, new(leaderboard.Updates), &counted)
		f(w, tx)
		w.Flush()
		return tx.Flush()
	})
	if err == nil && read != nil {
		err = db.View(func(tx *bolt.Tx) error { read(tx); return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return counted
}

// raceOf returns a race with two splits, in which lower marks are better.
func raceOf(id string) *fold.Contest {
	c := fold.NewContest(id)
	c.Definition.Kind, c.Definition.Sort, c.Definition.Splits = score.Ranked, "asc", []string{"half", "finish"}
	return c
}

func points(competitor string, n int64) ranking.Mark {
	return ranking.Mark{Competitor: competitor, Value: mark.Points(n)}
}

func first(c *Contest, split string, n int) string {
	list, total := c.First(split, n)
	var codes []string
	for _, m := range list {
		codes = append(codes, strings.TrimSpace(m.Competitor+" "+m.Unplaced()))
	}
	return fmt.Sprint(total, " ", strings.Join(codes, ", "))
}

func TestMarksAreInTheOrderOfTheRanking(t *testing.T) {
	second := mark.Points(5)
	counted := write(t, func(w *Writer, _ *database.Tx) {
		c := w.Contest(raceOf("G/r"))
		for _, m := range []ranking.Mark{
			points("slow", 9), points("b", 3), points("a", 3), points("below zero", -1),
			{Competitor: "exact", Value: mark.Points(3), Mark2: &second},
			{Competitor: "third", Value: mark.Points(3), Mark2: &second, Place: 1},
			{Competitor: "out", IRM: "DSQ"}, {Competitor: "tired", IRM: "DNF"},
		} {
			c.Set("finish", m)
		}
		c.Set("half", points("out", 1))
		c.Set("half", points("a", 2))
		w.Contest(raceOf("G/r2")).Set("finish", points("elsewhere", 1))
		const want = "8 below zero, third, exact, a, b, slow, tired DNF, out DSQ"
		if got := first(c, "finish", 100); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
		if got := first(c, "half", 100); got != "2 a, out DSQ" {
			t.Errorf("at half: %q", got)
		}
		c.Set("finish", points("slow", 0))
		c.Remove([]Key{{"finish", "below zero"}, {"finish", "nobody"}, {"half", "a"}})
		if got := first(c, "finish", 2); got != "7 slow, third" {
			t.Errorf("after changes: %q", got)
		}
	}, func(tx *bolt.Tx) {
		var codes []string
		for m, err := range Marks(tx, "G/r", 1) {
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, m.Competitor)
		}
		total, err := Total(tx, "G/r", "finish")
		if got := strings.Join(codes, ","); err != nil || got != "a,b,exact,out,slow,third,tired" || total != len(codes) {
			t.Errorf("the database has %s, %d in all, %v", got, total, err)
		}
	})
	if counted.restated == 0 {
		t.Error("a disqualification has restated no mark")
	}
}

func TestMarksAreAsBeforeAfterAnUndo(t *testing.T) {
	write(t, func(w *Writer, tx *database.Tx) {
		c := w.Contest(raceOf("G/r"))
		c.Set("finish", points("a", 1))
		c.Set("finish", points("b", 2))
		tx.BeginUndo()
		c.Set("finish", ranking.Mark{Competitor: "a", IRM: "DSQ"})
		c.Set("finish", points("c", 0))
		c.SetEntrant(score.Entrant{Code: "b", Name: "B"})
		c.Clear()
		tx.Undo()
		tx.EndUndo()
		if got := first(c, "finish", 9); got != "2 a, b" || c.Traits("a").IRMs != 0 {
			t.Errorf("got %q", got)
		}
		if list := c.FirstEntrants(9); len(list) > 0 {
			t.Errorf("the start list has %v", list)
		}
	}, nil)
}

func TestEntrantsAreInTheOrderOfTheStartList(t *testing.T) {
	of := raceOf("G/r")
	write(t, func(w *Writer, _ *database.Tx) {
		c := w.Contest(of)
		for _, e := range []score.Entrant{
			{Code: "b", Order: 2}, {Code: "a", Order: 2}, {Code: "none"}, {Code: "first", Order: -3}, {Code: "moved", Order: 1},
			{Code: "gone", Order: 7},
		} {
			c.SetEntrant(e)
			of.Entered++
		}
		c.SetEntrant(score.Entrant{Code: "moved", Order: 9, Name: "Moved"})
		c.RemoveEntrant("gone")
		c.RemoveEntrant("nobody")
		if e, entered := c.Entrant("moved"); !entered || e.Name != "Moved" {
			t.Errorf("got %+v, %v", e, entered)
		}
		w.Contest(raceOf("G/r2")).SetEntrant(score.Entrant{Code: "elsewhere"})
		if list := c.FirstEntrants(2); len(list) != 2 || list[0].Code != "first" || list[1].Code != "none" {
			t.Errorf("the first are %v", list)
		}
	}, func(tx *bolt.Tx) {
		all := []string{"first", "none", "a", "b", "moved"}
		after := (*score.Entrant)(nil)
		for i := range len(all) + 1 {
			var codes []string
			for e, err := range Entrants(tx, "G/r", after) {
				if err != nil {
					t.Fatal(err)
				}
				codes = append(codes, e.Code)
			}
			if fmt.Sprint(codes) != fmt.Sprint(all[i:]) {
				t.Errorf("after %q there are %q", after.Place(), codes)
			}
			for e := range Entrants(tx, "G/r", after) {
				after = &e
				break
			}
		}
	})
}
