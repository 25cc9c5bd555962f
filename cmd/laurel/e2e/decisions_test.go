package e2e

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/mark"
)

// outcome returns how a frontend says that a contest stands: as JSON, as text, and what
// the command prints.
func (f *frontend) outcome(t testing.TB, contest string) (record score.Record, text, printed string) {
	t.Helper()
	record = decode[score.Record](t, get(t, f.url+"/v1/scores/"+contest))
	text = get(t, f.url+"/v1/scores/"+contest, "Accept", "text/plain").body
	return record, text, mustRun(t, "laurel", "scores", contest, "--to", f.url)
}

// hasRow reports whether a table has a row that begins with a cell and has another one.
func hasRow(table, first, cell string) bool {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, first+" ") && strings.Contains(line, "  "+cell+"  ") {
			return true
		}
	}
	return false
}

// bothSides returns a definition of a match of A and B.
func bothSides(contest, sport string) string {
	return fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":%q,"competitors":`+
		`[{"code":"A","name":"Alfa","order":1},{"code":"B","name":"Beta","order":2}]}}`, contest, sport)
}

func statusOf(contest, members string) string {
	return fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{%s}}`, contest, members)
}

func pointOf(contest, code, delta string) string {
	return fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":%q,"delta":%s,"period":"P1"}}`,
		contest, code, delta)
}

const goesOn = `"schedule_status":"RUNNING","result_status":"LIVE"`

// Alfa leads and retires; New Zealand has more runs, and Sri Lanka wins by the rain rule;
// a second leg is won and the tie is not; a side is disqualified; a match is not played.
func TestADecisionIsShownAlikeAtEveryFrontendWhateverTheTotalsAre(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	for i, c := range []struct{ name, decide, winner, decision string }{
		{"retired", "--winner B --decision RETIRED", "B", "RETIRED"},
		{"rain", "--winner B --decision RULE", "B", "RULE"},
		{"dsq", "--winner B --decision DISQUALIFIED", "B", "DISQUALIFIED"},
		{"drawn", "--decision DRAWN", "", "DRAWN"},
		{"abandoned", "--decision ABANDONED", "", "ABANDONED"},
		{"awarded", "--winner B --decision AWARDED", "B", "AWARDED"},
		{"totals", "", "A", ""},
	} {
		id := "D06/" + c.name
		apply(t, g.frontends[i%3], bothSides(id, "tennis"))
		apply(t, g.frontends[(i+1)%3], statusOf(id, goesOn))
		apply(t, g.frontends[(i+2)%3], pointOf(id, "A", "1"))
		apply(t, g.frontends[i%3], statusOf(id, `"schedule_status":"FINISHED"`))
		if c.decide != "" {
			mustRun(t, "bard", append([]string{"decide", id, "--to", urls(g.frontends)}, strings.Fields(c.decide)...)...)
		}
		for _, f := range g.frontends {
			record, text, printed := f.outcome(t, id)
			if record.Winner != c.winner || record.Decision != c.decision || *record.Competitors[0].Result != mark.Points(1) {
				t.Errorf("%s: %s has the winner %q by %q", f.id, id, record.Winner, record.Decision)
			}
			for _, shown := range []string{text, printed} {
				if strings.Contains(shown, "winner: B") != (c.winner == "B") ||
					strings.Contains(shown, "winner: A") != (c.winner == "A") ||
					strings.Contains(shown, "decision: "+c.decision) != (c.decision != "") {
					t.Errorf("%s: %s is shown as\n%s", f.id, id, shown)
				}
			}
			listed := mustRun(t, "laurel", "scores", "--competition", "D06", "--to", f.url)
			if want := strings.Trim(c.winner+", "+c.decision, ", "); !hasRow(listed, id, want) {
				t.Errorf("%s: the list has no row of %s with %q:\n%s", f.id, id, want, listed)
			}
		}
	}
	const unplayed = "D06/walkover"
	apply(t, g.frontends[0], bothSides(unplayed, "tennis"))
	mustRun(t, "bard", "decide", unplayed, "--winner", "A", "--decision", "WALKOVER", "--to", urls(g.frontends))
	for _, f := range g.frontends {
		if r, _, _ := f.outcome(t, unplayed); r.Winner != "A" || r.ScheduleStatus != "SCHEDULED" {
			t.Errorf("%s: the walkover is %+v", f.id, r)
		}
	}
}

func TestAStoppedAndReplayedMatchIsShownAlikeAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	const late, stopped = "D22/A", "D22/F"
	for i, id := range []string{late, stopped} {
		apply(t, g.frontends[i], bothSides(id, "football"))
		apply(t, g.frontends[i+1], statusOf(id, goesOn))
		apply(t, g.frontends[2-i], pointOf(id, "A", "1"))
	}
	shows := func(id, want string) {
		t.Helper()
		for _, f := range g.frontends {
			r, _, _ := f.outcome(t, id)
			var results []string
			for _, c := range r.Competitors {
				results = append(results, c.Code+" "+c.Result.String())
			}
			got := fmt.Sprint(r.ScheduleStatus, " ", r.ResultStatus, " ", strings.Join(results, ", "), "; ", r.Winner,
				"; started ", r.Started)
			if got != want {
				t.Errorf("%s: %s is %s; want %s", f.id, id, got, want)
			}
		}
	}
	apply(t, g.frontends[0], statusOf(late, `"schedule_status":"FINISHED","result_status":"OFFICIAL"`))
	refused(t, g.frontends[1], score.StatusConflict, statusOf(late, goesOn)) // a packet that comes late
	shows(late, "FINISHED OFFICIAL A 1, B 0; A; started true")
	mustRun(t, "bard", "status", late, "--schedule-status", "RUNNING", "--reason", "the whistle was the crowd's",
		"--to", urls(g.frontends))
	shows(late, "RUNNING LIVE A 1, B 0; ; started true")
	apply(t, g.frontends[2], pointOf(late, "B", "2"))

	apply(t, g.frontends[0], statusOf(stopped, `"schedule_status":"POSTPONED"`))
	refused(t, g.frontends[1], score.StatusConflict, pointOf(stopped, "B", "5"))
	shows(stopped, "POSTPONED LIVE A 1, B 0; ; started true")
	mustRun(t, "bard", "reset", stopped, "--reason", "replayed in spring", "--id", "again", "--to", urls(g.frontends))
	shows(stopped, "SCHEDULED START_LIST A 0, B 0; ; started false")
	for _, f := range g.frontends {
		if n := strings.Count(get(t, f.url+"/v1/timeline/"+stopped).body, `"voided_by":`); n != 3 {
			t.Errorf("%s: %d events are struck out; want the two statuses and the play", f.id, n)
		}
	}
	apply(t, g.frontends[1], fmt.Sprintf(
		`{"type":"event.void","contest_id":%q,"data":{"voids":"again","reason":"the court says so"}}`, stopped))
	shows(stopped, "POSTPONED LIVE A 1, B 0; ; started true")
}

// By the notes of the truth these two were decided by the rain rule. The runs alone name
// another winner, or none.
func TestMatchesDecidedByTheRainRuleHaveTheirWinner(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, "cricket")
	g := newGroup(t, 3)
	awaitBards(t, g.startBards(all, atFullSpeed))
	winners := map[string]string{"IPL-2023/1359476": "PK", "IPL-2023/1370353": "CSK"}
	for id, winner := range winners {
		mustRun(t, "bard", "decide", id, "--winner", winner, "--decision", "RULE", "--reason", "Duckworth-Lewis-Stern",
			"--to", urls(g.frontends))
	}
	g.expectRevision(sum(all) + uint64(len(winners)))
	g.expectTruthEverywhere(all)
	for _, f := range g.frontends {
		for id, winner := range winners {
			if r, _, _ := f.outcome(t, id); r.Winner != winner || r.Decision != "RULE" {
				t.Errorf("%s: %s was won by %q by %q; want %s by RULE", f.id, id, r.Winner, r.Decision, winner)
			}
		}
	}
}
