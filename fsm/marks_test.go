package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score/mark"
	"laurel/score/ranking"
)

const marathonInMinutes = `{"kind":"ranked","sport":"marathon","result_type":"TIME","unit":"min","splits":["10km","30km","finish"]}`

// newRace defines the race G/r and begins it.
func newRace(t *testing.T, definition string) *Machine {
	t.Helper()
	m := newMachine(t)
	mustPost(t, m, "define", "contest.define", "G/r", definition)
	mustPost(t, m, "start", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	return m
}

// wantBoard compares the rows of a leaderboard with what is wanted: the rank, the
// competitor, the mark or IRM, and the categories. It also compares them with those of a
// machine that restored the state.
func wantBoard(t *testing.T, m *Machine, split, category string, want ...string) {
	t.Helper()
	restored := newMachine(t)
	if err := restored.Restore(strings.NewReader(string(snapshotOf(t, m)))); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Machine{m, restored} {
		p := boardOf(t, m, "G/r", &ranking.Query{Split: split, Category: category, Limit: 100})
		var got []string
		for _, r := range p.Rows {
			mark, _ := r.Text(&p.Format)
			got = append(got, strings.TrimSpace(fmt.Sprint(r.Rank, " ", r.Competitor, " ", mark, " ", r.Categories)))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the board at %s %s is %q; want %q", split, category, got, want)
		}
	}
}

func postMark(t *testing.T, m *Machine, id, competitor, split, what string) {
	t.Helper()
	mustPost(t, m, id, "result.set", "G/r", fmt.Sprintf(`{"competitor":%q,"split":%q,%s}`, competitor, split, what))
}

func TestAVoidOfADisqualificationBringsTheSplitsBack(t *testing.T) {
	m := newRace(t, marathonInMinutes)
	postMark(t, m, "1", "a", "10km", `"mark":30`)
	postMark(t, m, "2", "b", "10km", `"mark":31`)
	postMark(t, m, "3", "a", "30km", `"mark":"1:30:00"`)
	postMark(t, m, "4", "a", "finish", `"irm":"DSQ"`)
	wantBoard(t, m, "10km", "", "1 b 31:00", "0 a DSQ")
	wantBoard(t, m, "30km", "", "0 a DSQ")
	if r := recordOf(t, m, "G/r"); r.Split != "10km" || r.Competitors[0].Code != "b" {
		t.Errorf("the record is %+v", r)
	}
	mustVoid(t, m, "v", "G/r", "4")
	wantBoard(t, m, "10km", "", "1 a 30:00", "2 b 31:00")
	wantBoard(t, m, "30km", "", "1 a 1:30:00")
	mustVoid(t, m, "vv", "G/r", "v")
	wantBoard(t, m, "30km", "", "0 a DSQ")
}

func TestAVoidTakesBackTheCategoriesThatOnlyItsEventNamed(t *testing.T) {
	m := newRace(t, marathonInMinutes)
	postMark(t, m, "1", "a", "10km", `"mark":30,"category":"M","organisation":"GAU"`)
	postMark(t, m, "2", "a", "30km", `"mark":90`)
	postMark(t, m, "3", "a", "finish", `"mark":130,"category":"W","organisation":"ROM"`)
	wantBoard(t, m, "30km", "W", "1 a 1:30:00 M, W")
	mustVoid(t, m, "v", "G/r", "3")
	wantBoard(t, m, "30km", "", "1 a 1:30:00 M")
	wantBoard(t, m, "30km", "W")
	p := boardOf(t, m, "G/r", &ranking.Query{Split: "30km", Limit: 1})
	if p.Rows[0].Organisation != "GAU" || fmt.Sprint(p.Categories) != "[M]" {
		t.Errorf("the board is %+v", p)
	}
	mustVoid(t, m, "vv", "G/r", "v")
	wantBoard(t, m, "10km", "W", "1 a 30:00 M, W")
	mustVoid(t, m, "v1", "G/r", "1")
	wantBoard(t, m, "30km", "", "1 a 1:30:00 W")
	wantBoard(t, m, "10km", "")
}

func TestALateReadMovesWhoDidNotFinish(t *testing.T) {
	m := newRace(t, marathonInMinutes)
	postMark(t, m, "1", "a", "finish", `"irm":"DNF"`)
	postMark(t, m, "2", "b", "finish", `"irm":"DNF"`)
	wantBoard(t, m, "finish", "", "0 a DNF", "0 b DNF")
	postMark(t, m, "3", "b", "30km", `"mark":95`)
	wantBoard(t, m, "finish", "", "0 b DNF", "0 a DNF")
	wantBoard(t, m, "30km", "", "1 b 1:35:00 DNF")
	mustVoid(t, m, "v", "G/r", "3")
	wantBoard(t, m, "finish", "", "0 a DNF", "0 b DNF")
}

func TestPagesContinueBetweenMarksThatOnlyTheirPlacesTellApart(t *testing.T) {
	m := newRace(t, `{"kind":"ranked","sport":"x","result_type":"POINTS","sort2":"asc"}`)
	for i := range 9 {
		postMark(t, m, fmt.Sprint(i), fmt.Sprint("c", i), "finish", []string{
			fmt.Sprintf(`"mark":5,"place":%d`, 9-i), fmt.Sprintf(`"mark":5,"mark2":%d`, 9-i), `"irm":"LAP"`,
		}[i%3])
	}
	var got []string
	for q := (ranking.Query{Limit: 2}); ; {
		p := boardOf(t, m, "G/r", &q)
		for _, r := range p.Rows {
			got = append(got, fmt.Sprint(r.Rank, r.Competitor))
		}
		if q.After = cursor(t, p.Next); p.Next == "" {
			break
		}
	}
	if fmt.Sprint(got) != "[1c7 2c4 3c1 4c6 5c3 6c0 0c2 0c5 0c8]" {
		t.Errorf("the rows are %s", got)
	}
	if r := recordOf(t, m, "G/r"); r.Competitors[0].Code != "c7" || *r.Competitors[0].Mark2 != mark.Points(2) {
		t.Errorf("the record is %+v", r)
	}
}

// Most marks of a large contest change nothing but what is known of their competitor.
func TestAMarkBehindTheBestChangesOneRecord(t *testing.T) {
	m := newMachine(t)
	race(t, m, `,"sort":"asc","splits":["half","finish"]`)
	postMany(t, m, "G/r", 800, func(i int) (string, string) {
		return "result.set", fmt.Sprintf(`{"competitor":"c%03d","split":%q,"mark":%d}`, i/2, []string{"half", "finish"}[i%2], i+1)
	})
	marks := func() map[record]bool {
		found := map[record]bool{}
		for _, r := range records(t, snapshotOf(t, m)) {
			switch r.bucket {
			case "marks", "splits", "index", "entrants":
				found[r] = true
			}
		}
		return found
	}
	before := marks()
	mustPost(t, m, "again", "result.set", "G/r", `{"competitor":"c390","split":"finish","mark":9000}`)
	var changed []string
	for r := range marks() {
		if !before[r] {
			changed = append(changed, r.bucket+" "+r.key)
		}
	}
	if want := "marks G/r\x00c390"; len(changed) != 1 || changed[0] != want {
		t.Errorf("the mark has changed %q; want %q", changed, want)
	}
}
