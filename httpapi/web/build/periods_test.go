package main

import (
	"fmt"
	"strings"
	"testing"
)

// lineScore is the line score's table in the page: the cells of a row by spaces, the rows
// by " | ".
const lineScore = `[...document.querySelectorAll('table.line tr')]
	.map((r) => [...r.cells].map((c) => c.textContent.trim()).join(' ')).join(' | ')`

// boardNames are the names on the board, home first.
const boardNames = `[...document.querySelectorAll('.board-name')].map((e) => e.textContent.trim()).join(' : ')`

// listNames are the names of the sides of a contest in the list.
func listNames(contest string) string {
	return fmt.Sprintf(`[...document.querySelector('a[href="#/contest/%s"]').querySelectorAll('.side .name')]
		.map((e) => e.textContent.trim()).join(' : ')`, contest)
}

// matchOf returns the events with which a match of two sides begins, home first.
func matchOf(contest, title, home, homeName, away, awayName string) []string {
	return []string{
		fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"x","title":%q,`+
			`"tiebreak_periods":["PSO"],"competitors":[{"code":%q,"name":%q,"order":1},{"code":%q,"name":%q,"order":2}]}}`,
			contest, title, home, homeName, away, awayName),
		`{"type":"contest.status","contest_id":"` + contest + `","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
	}
}

func pointsIn(contest, code string, delta int, period, more string) string {
	return fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":%q,"delta":%d,"period":%q%s}}`,
		contest, code, delta, period, more)
}

func TestTheLineScoreHasEveryPeriodInTheOrderOfPlay(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const contest = "D04/G"
	s.Post(matchOf(contest, "Reds vs Blues", "RED", "Reds", "BLU", "Blues")...)
	s.Post(pointsIn(contest, "RED", 9, "Q1", ""), pointsIn(contest, "BLU", 7, "Q2", ""),
		pointsIn(contest, "BLU", 4, "Q3", ""), pointsIn(contest, "RED", 1, "Q4", ""))
	b := newTab(t, desktop, nil).open(s.URL(0) + "/#/contest/" + contest).live()
	b.until("Blues lead", lineScore+` === 'Team Q1 Q2 Q3 Q4 Total | RED 9 0 0 1 10 | BLU 0 7 4 0 11'`)
	s.Post(pointsIn(contest, "RED", 5, "Q4", `,"clock":"05:00"`))
	b.until("Reds lead", lineScore+` === 'Team Q1 Q2 Q3 Q4 Total | RED 9 0 0 6 15 | BLU 0 7 4 0 11'`)
	s.Post(pointsIn(contest, "RED", -1, "Q1", `,"clock":"02:11"`)) // a correction of the first quarter
	b.until("the correction", lineScore+` === 'Team Q1 Q2 Q3 Q4 Total | RED 8 0 0 6 14 | BLU 0 7 4 0 11'`)
	if at := eval[string](b, `document.querySelector('.board .at').textContent`); at != "Q4 05:00" {
		t.Errorf("after a play for the first quarter the board is at %s", at)
	}
	s.Post(`{"type":"score.set","contest_id":"` + contest + `","data":{"result":{"BLU":16},"adjustment":true,"reason":"recount"}}`)
	b.until("the adjustment", lineScore+` === 'Team Q1 Q2 Q3 Q4 Adj. Total | RED 8 0 0 6 0 14 | BLU 0 7 4 0 +5 16'`)
}

// JavaScript puts the members of an object that are numbers first.
func TestPeriodsThatAreNumbersStandInTheOrderOfPlay(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const contest = "D04/N"
	s.Post(matchOf(contest, "Reds vs Blues", "RED", "Reds", "BLU", "Blues")...)
	s.Post(pointsIn(contest, "BLU", 7, "OT", ""), pointsIn(contest, "RED", 4, "10", ""), pointsIn(contest, "BLU", 1, "9", ""))
	b := newTab(t, desktop, nil).open(s.URL(0) + "/#/contest/" + contest).live()
	b.until("the line score", lineScore+` === 'Team OT 10 9 Total | RED 0 4 0 4 | BLU 7 0 1 8'`)
}

func TestHomeAndAwayKeepTheirPlacesOnThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	for i, c := range []struct{ title, home, homeName, away, awayName string }{
		{"Dominican Republic vs Dominica", "DOM", "Dominican Republic", "DMA", "Dominica"},
		{"Inter Miami vs Inter", "MIA", "Inter Miami", "INT", "Inter"},
		{"Semi-final", "HOM", "Home team", "AWY", "Away team"},
		{"Zulu vs Alfa", "A", "Alfa", "Z", "Zulu"}, // the order of the definition, not of the title
	} {
		contest := fmt.Sprintf("D08/%d", i)
		s.Post(matchOf(contest, c.title, c.home, c.homeName, c.away, c.awayName)...)
		b := newTab(t, desktop, nil).open(s.URL(0)).live()
		names := c.homeName + " : " + c.awayName
		b.until("the sides in the list", listNames(contest)+` === '`+names+`'`)
		after := fmt.Sprintf(`,"result":{%q:0,%q:1}`, c.home, c.away)
		s.Post(pointsIn(contest, c.away, 1, "H1", after)) // the away side leads
		b.until("the score in the list", inList(contest, 1)+` === '0' && `+inList(contest, 2)+` === '1'`)
		if got := eval[string](b, listNames(contest)); got != names {
			t.Errorf("with the away side ahead the list has %s; want %s", got, names)
		}
		b.do(`location.hash = '#/contest/` + contest + `'`)
		b.until("the board", boardScores+` === '0:1'`)
		if got := eval[string](b, boardNames); got != names {
			t.Errorf("the board has %s; want %s", got, names)
		}
		b.until("the line score", lineScore+fmt.Sprintf(` === 'Team H1 Total | %s 0 0 | %s 1 1'`, c.home, c.away))
		b.until("the score after the play", `document.querySelector('.timeline .after')?.textContent !== undefined &&
			[...document.querySelectorAll('.timeline .after')].some((e) => e.textContent === '0:1')`)
		if headline := eval[string](b, `document.querySelector('h1').textContent`); strings.Contains(headline, c.homeName) &&
			strings.Contains(headline, " \u2013 ") && !strings.HasPrefix(headline, c.homeName) {
			t.Errorf("the headline is %s", headline)
		}
		b.close()
	}
}

func TestAShootOutIsOnTheBoardAndOnceInTheLineScore(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const contest = "D32/A"
	s.Post(matchOf(contest, "Athletic vs Barcelona", "A", "Athletic", "B", "Barcelona")...)
	s.Post(pointsIn(contest, "A", 1, "H1", ""), pointsIn(contest, "B", 1, "H2", ""))
	b := newTab(t, phone, nil).open(s.URL(0) + "/#/contest/" + contest).live()
	b.until("the match", boardScores+` === '1:1'`)
	s.Post(`{"type":"contest.status","contest_id":"` + contest + `","data":{"period":"PSO"}}`)
	b.until("the shoot-out as it begins", boardScores+` === '1 (0):1 (0)'`)
	s.Post(pointsIn(contest, "B", 3, "PSO", ""),
		`{"type":"contest.status","contest_id":"`+contest+`","data":{"schedule_status":"FINISHED"}}`)
	b.until("the shoot-out", boardScores+` === '1 (0):1 (3)'`)
	b.until("the line score", lineScore+` === 'Team H1 H2 Tie-break Total | A 1 0 0 1 | B 0 1 3 1'`)
	b.do(`location.hash = '#/'`)
	b.until("the list", inList(contest, 1)+` === '1 (0)' && `+inList(contest, 2)+` === '1 (3)'`)
	plain := newTab(t, device{width: 1280, height: 800, noScript: true}, nil).open(s.URL(0))
	plain.until("the list without scripts", inList(contest, 1)+` === '1 (0)' && `+inList(contest, 2)+` === '1 (3)'`)
}

func TestAContestThatHasNotBegunHasNoScore(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch("D29/P")[0], `{"type":"contest.status","contest_id":"D29/P","data":{"schedule_status":"POSTPONED"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	b.until("the list", inListLink("D29/P"))
	if got := eval[string](b, inList("D29/P", 1)); got != "" {
		t.Errorf("the list has the score %s", got)
	}
	show(b, "#/contest/D29/P", `document.querySelector('.line')`)
	b.until("the board", boardScores+" === '\u2013:\u2013'")
	b.until("the line score", lineScore+" === 'Team Total | GAU \u2013 | ROM \u2013'")
}
