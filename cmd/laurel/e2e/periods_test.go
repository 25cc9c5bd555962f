package e2e

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
)

// sidesOf returns a definition of a match of two sides, home first.
func sidesOf(contest, title, home, homeName, away, awayName string) string {
	return fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"x","title":%q,`+
		`"tiebreak_periods":["PSO"],"competitors":[{"code":%q,"name":%q,"order":1},{"code":%q,"name":%q,"order":2}]}}`,
		contest, title, home, homeName, away, awayName)
}

// pointsIn returns a play in a period; more are further members of its data.
func pointsIn(contest, code string, delta int, period, more string) string {
	return fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":%q,"delta":%d,"period":%q%s}}`,
		contest, code, delta, period, more)
}

func setOf(contest, members string) string {
	return fmt.Sprintf(`{"type":"score.set","contest_id":%q,"data":{%s}}`, contest, members)
}

// placeCase is a match with what every frontend shows of it.
type placeCase struct {
	id      string
	events  []string
	present string // period and clock
	// rows are the headings and the rows of the text, from the result on.
	rows    []string
	summary string // in the list
}

func reds(id string, events ...string) []string {
	return append([]string{sidesOf(id, "Reds vs Blues", "RED", "Reds", "BLU", "Blues"), statusOf(id, goesOn)}, events...)
}

var placeCases = []placeCase{
	{"D02/late", reds("D02/late", pointsIn("D02/late", "RED", 20, "Q1", ""), pointsIn("D02/late", "BLU", 18, "Q2", ""),
		statusOf("D02/late", `"period":"Q3","clock":"05:00"`), pointsIn("D02/late", "RED", -1, "Q1", `,"clock":"02:11"`)),
		"Q3 05:00", []string{"RESULT Q1 Q2 Q3", "19 19 0 0", "18 0 18 0"}, "RED 19, BLU 18"},
	{"D02/set", reds("D02/set", pointsIn("D02/set", "RED", 20, "Q1", ""), pointsIn("D02/set", "BLU", 18, "Q2", ""),
		statusOf("D02/set", `"period":"Q3","clock":"05:00"`), setOf("D02/set", `"result":{"RED":17},"period":"Q1"`)),
		"Q3 05:00", []string{"RESULT Q1 Q2 Q3", "17 17 0 0", "18 0 18 0"}, "RED 17, BLU 18"},
	{"D03/adjusted", reds("D03/adjusted", pointsIn("D03/adjusted", "RED", 20, "Q1", ""),
		pointsIn("D03/adjusted", "BLU", 18, "Q2", ""),
		setOf("D03/adjusted", `"result":{"RED":25},"adjustment":true,"reason":"recount"`)),
		"Q2", []string{"RESULT Q1 Q2 ADJUSTMENT", "25 20 0 5", "18 0 18 0"}, "RED 25, BLU 18"},
	{"D04/columns", reds("D04/columns", pointsIn("D04/columns", "RED", 9, "Q1", ""),
		pointsIn("D04/columns", "BLU", 7, "Q2", ""), pointsIn("D04/columns", "BLU", 4, "Q3", ""),
		pointsIn("D04/columns", "RED", 1, "Q4", "")),
		"Q4", []string{"RESULT Q1 Q2 Q3 Q4", "10 9 0 0 1", "11 0 7 4 0"}, "RED 10, BLU 11"},
	{"D04/numbers", reds("D04/numbers", pointsIn("D04/numbers", "BLU", 7, "OT", ""),
		pointsIn("D04/numbers", "RED", 4, "10", ""), pointsIn("D04/numbers", "BLU", 1, "9", "")),
		"9", []string{"RESULT OT 10 9", "4 0 4 0", "8 7 0 1"}, "RED 4, BLU 8"},
	{"D08/names", []string{sidesOf("D08/names", "Dominican Republic vs Dominica", "DOM", "Dominican Republic", "DMA", "Dominica"),
		statusOf("D08/names", goesOn), pointsIn("D08/names", "DMA", 1, "H1", `,"result":{"DOM":0,"DMA":1}`)},
		"H1", []string{"RESULT H1", "0 0", "1 1"}, "DOM 0, DMA 1"},
	{"D08/title", []string{sidesOf("D08/title", "Semi-final", "HOM", "Home team", "AWY", "Away team"),
		statusOf("D08/title", goesOn), pointsIn("D08/title", "AWY", 1, "H1", "")},
		"H1", []string{"RESULT H1", "0 0", "1 1"}, "HOM 0, AWY 1"},
	{"D32/kicks", []string{sidesOf("D32/kicks", "Athletic vs Barcelona", "A", "Athletic", "B", "Barcelona"),
		statusOf("D32/kicks", goesOn), pointsIn("D32/kicks", "A", 1, "H1", ""), pointsIn("D32/kicks", "B", 1, "H2", ""),
		pointsIn("D32/kicks", "B", 3, "PSO", ""), statusOf("D32/kicks", `"schedule_status":"FINISHED"`)},
		"PSO", []string{"RESULT H1 H2 TIEBREAK", "1 1 0 0", "1 0 1 3"}, "A 1 (0), B 1 (3)"},
}

// rowsFromResult returns the table of a text from the column of results on.
func rowsFromResult(text string) (rows []string) {
	_, table, _ := strings.Cut(text, "\n\n")
	from := -1
	for line := range strings.Lines(table) {
		if at := strings.Index(line, "RESULT"); from < 0 {
			from = at
		}
		if from < 0 || len(line) <= from {
			break
		}
		rows = append(rows, strings.Join(strings.Fields(line[from:]), " "))
	}
	return rows
}

func TestPeriodsAndSidesAreShownAlikeAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	for i, c := range placeCases {
		for j, e := range c.events {
			apply(t, g.frontends[(i+j)%3], e)
		}
	}
	const summed = "D03/summed"
	for _, e := range reds(summed, pointsIn(summed, "RED", 20, "Q1", ""), pointsIn(summed, "BLU", 18, "Q2", "")) {
		apply(t, g.frontends[0], e)
	}
	p := refused(t, g.frontends[1], score.TotalMismatch, setOf(summed, `"result":{"RED":25},"reason":"recount"`))
	if p.Field != "data.period" || !strings.Contains(p.Detail, "add up to 20 (Q1 20, Q2 0); give the period of the other 5") {
		t.Errorf("the set without a period is refused with %+v", p)
	}
	mustRun(t, "bard", "set", summed, "--result", "RED=25", "--period", "Q2", "--reason", "recount", "--to", urls(g.frontends))
	for _, f := range g.frontends {
		list := get(t, f.url+"/v1/scores?limit=100", "Accept", "text/plain").body
		for _, c := range placeCases {
			record, text, printed := f.outcome(t, c.id)
			if got := strings.TrimSpace(record.Period + " " + record.Clock); got != c.present {
				t.Errorf("%s: %s is at %q; want %q", f.id, c.id, got, c.present)
			}
			for _, shown := range []string{text, printed} {
				if got := rowsFromResult(shown); strings.Join(got, "; ") != strings.Join(c.rows, "; ") {
					t.Errorf("%s: %s has the rows %q; want %q in\n%s", f.id, c.id, got, c.rows, shown)
				}
			}
			if !strings.Contains(list, c.summary+"\n") {
				t.Errorf("%s: the list does not show %s as %q:\n%s", f.id, c.id, c.summary, list)
			}
		}
	}
	// The same after the log was read again.
	before := get(t, g.frontends[2].url+"/v1/scores?limit=100").body
	g.frontends[2].Kill()
	g.frontends[2].start().waitReady()
	if after := get(t, g.frontends[2].url+"/v1/scores?limit=100").body; after != before {
		t.Errorf("after a restart the records are\n%s\nand were\n%s", after, before)
	}
}
