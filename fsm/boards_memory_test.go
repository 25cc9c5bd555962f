package fsm

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/ranking"
)

// startRace defines a ranked contest and starts it.
func startRace(t tester, m *Machine, id, more string) {
	mustApply(t, m, `{"type":"contest.define","contest_id":%q,"data":{"kind":"ranked","sport":"stones"%s}}`, id, more)
	mustApply(t, m, `{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}}`, id)
}

func setMark(t tester, m *Machine, id, competitor string, mark int) score.Result {
	return mustApply(t, m, `{"type":"result.set","contest_id":%q,`+
		`"data":{"competitor":%q,"split":"finish","mark":%d}}`, id, competitor, mark)
}

// leadersOf returns the competitors of a board's first page with their ranks.
func leadersOf(t tester, m *Machine, id string) string {
	var list []string
	for _, row := range boardOf(t, m, id, &ranking.Query{Limit: 100}).Rows {
		list = append(list, fmt.Sprint(row.Rank, row.Competitor))
	}
	return strings.Join(list, " ")
}

func wantLeaders(t *testing.T, m *Machine, id, want string) {
	t.Helper()
	if got := leadersOf(t, m, id); got != want {
		t.Errorf("the board of %s is %q; want %q", id, got, want)
	}
}

func TestABoardIsReversedWithItsContest(t *testing.T) {
	m := newMachine(t)
	startRace(t, m, "G/r", `,"sort":"asc"`)
	first, second := setMark(t, m, "G/r", "A", 10), setMark(t, m, "G/r", "B", 20)
	wantLeaders(t, m, "G/r", "1A 2B")
	mustVoid(t, m, "v1", "G/r", first.ID)
	mustVoid(t, m, "v2", "G/r", second.ID)
	wantLeaders(t, m, "G/r", "")
	mustApply(t, m, `{"type":"contest.define","contest_id":"G/r",`+
		`"data":{"kind":"ranked","sport":"stones","sort":"desc",`+
		`"competitors":[{"code":"A","name":"Asterix"},{"code":"B"}]}}`)
	setMark(t, m, "G/r", "A", 10)
	setMark(t, m, "G/r", "B", 20)
	wantLeaders(t, m, "G/r", "1B 2A")
	if p := boardOf(t, m, "G/r", &ranking.Query{Limit: 1, Around: "A"}); len(p.Rows) != 1 ||
		p.Rows[0].Name != "Asterix" {
		t.Errorf("around A: %+v; the contest lists A as Asterix", p.Rows)
	}
}

func TestABoardShowsTheRestoredState(t *testing.T) {
	m := newMachine(t)
	startRace(t, m, "G/r", "")
	setMark(t, m, "G/r", "A", 10)
	past := snapshotOf(t, m)
	setMark(t, m, "G/r", "B", 20)
	wantLeaders(t, m, "G/r", "1B 2A")
	if err := m.Restore(bytes.NewReader(past)); err != nil {
		t.Fatal(err)
	}
	wantLeaders(t, m, "G/r", "1A")
	if err := m.Discard("test"); err != nil {
		t.Fatal(err)
	}
	_, _, err := m.Board(context.Background(), "G/r", &ranking.Query{Limit: 1})
	wantProblem(t, err, score.NotFound, `"G/r" is not defined`)
}

func TestUnusedBoardsAreDroppedWhenThereAreTooManyRows(t *testing.T) {
	m := newMachine(t)
	const maxRows = 5 * 64
	m.boards.SetMaxRows(maxRows)
	for i := range 8 {
		id := fmt.Sprint("G/r", i)
		startRace(t, m, id, "")
		for j := range 10 {
			setMark(t, m, id, fmt.Sprint(j), j)
		}
	}
	kept := func(id string) bool { _, _, ok := m.BoardNow(id, &ranking.Query{Limit: 1}); return ok }
	for range 3 {
		for i := range 8 {
			id := fmt.Sprint("G/r", i)
			if p := boardOf(t, m, id, &ranking.Query{Limit: 1}); p.Total != 10 || p.Rows[0].Competitor != "9" {
				t.Errorf("%s: %+v", id, p)
			}
			if !kept("G/r0") || !kept(id) {
				t.Errorf("after a question about %s, its board or the most recently used one is not in memory", id)
			}
		}
		if m.boards.Rows() > maxRows || kept("G/r1") {
			t.Errorf("%d rows are in memory; the limit is %d", m.boards.Rows(), maxRows)
		}
	}
	// A board that is over the limit by itself is dropped too, and cannot be loaded
	// again.
	for j := range maxRows + 1 {
		setMark(t, m, "G/r0", fmt.Sprint("x", j), j)
	}
	_, _, err := m.Board(context.Background(), "G/r0", &ranking.Query{Limit: 1})
	wantProblem(t, err, score.TooLarge, "a frontend keeps leaderboards of at most 320")
	if m.boards.Rows() > maxRows {
		t.Errorf("%d rows are in memory", m.boards.Rows())
	}
}

func TestAMissingBoardIsExplained(t *testing.T) {
	m := newMachine(t)
	mustApply(t, m, `{"type":"contest.define","contest_id":"G/m",`+
		`"data":{"kind":"head_to_head","sport":"stones","competitors":[{"code":"A"},{"code":"B"}]}}`)
	startRace(t, m, "G/r", `,"splits":["half","end"]`)
	for _, c := range []struct {
		contest string
		q       ranking.Query
		code    score.Code
		words   string
	}{
		{"G/none", ranking.Query{}, score.NotFound, `the contest "G/none" is not defined`},
		{"G/m", ranking.Query{}, score.NotFound, "is head_to_head and has no leaderboard"},
		{"G/r", ranking.Query{Split: "finish"}, score.InvalidEvent, "want one of half, end"},
		{"G/r", ranking.Query{Around: "A"}, score.NotFound, `"A" has no mark at end of the contest "G/r"`},
		{"G/r", ranking.Query{Around: "A", Category: "F"}, score.NotFound, "in the category F"},
	} {
		for range 2 { // built for the question, and from memory
			_, revision, err := m.Board(context.Background(), c.contest, &c.q)
			wantProblem(t, err, c.code, c.words)
			if revision == 0 {
				t.Errorf("%q has no revision", err)
			}
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Board(context.Background(), "G/r", &ranking.Query{}); err == nil {
		t.Error("a closed machine returned a board")
	}
}

func wantProblem(t *testing.T, err error, code score.Code, words string) {
	t.Helper()
	if problemCode(err) != code || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v; want %s with %q", err, code, words)
	}
}
