package e2e

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/medal"
	"laurel/score/ranking"
)

// told returns what a frontend tells of the sides of a contest.
func (f *frontend) told(t testing.TB, contest string) string {
	t.Helper()
	record, text, printed := f.outcome(t, contest)
	var list []string
	for _, c := range record.Competitors {
		s := c.Code
		if c.Result != nil {
			s += " " + c.Result.String()
		}
		if c.Tiebreak != 0 {
			s += " (" + c.Tiebreak.String() + ")"
		}
		list = append(list, s)
	}
	for _, shown := range []string{text, printed} {
		if strings.Contains(shown, "CORRECTED") != record.Corrected {
			t.Errorf("%s: corrected is %t, and it is shown as\n%s", f.id, record.Corrected, shown)
		}
	}
	told := strings.Join(list, ", ") + "; " + record.Winner
	if record.Corrected {
		told += " corrected"
	}
	return told
}

func defineOf(contest, members string) string {
	return fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{%s}}`, contest, members)
}

func TestADefinitionCannotRewriteAResultAtAnyFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	const part, late, turned = "D12/G", "D13/A", "D14/A"
	for i, id := range []string{part, late, turned} {
		apply(t, g.frontends[i], bothSides(id, "football"))
		apply(t, g.frontends[(i+1)%3], statusOf(id, goesOn))
	}
	shows := func(id, want string) {
		t.Helper()
		for _, f := range g.frontends {
			if got := f.told(t, id); got != want {
				t.Errorf("%s: %s is %q; want %q", f.id, id, got, want)
			}
		}
	}
	apply(t, g.frontends[0], pointOf(part, "A", "1"))
	refused(t, g.frontends[1], score.StatusConflict, defineOf(part,
		`"kind":"head_to_head","sport":"football","competitors":[{"code":"A","order":1}],"venue":"Rome"`))
	apply(t, g.frontends[2], pointOf(part, "B", "1"))
	shows(part, "A 1, B 1; ")

	for _, kick := range []string{"A:H1", "B:H2", "A:PSO", "B:PSO"} {
		code, period, _ := strings.Cut(kick, ":")
		mustRun(t, "bard", "play", late, "--competitor", code, "--delta", "1", "--period", period,
			"--to", urls(g.frontends))
	}
	refused(t, g.frontends[0], score.StatusConflict, defineOf(late, `"tiebreak_periods":["PSO"]`))
	mustRun(t, "bard", "define", "contest", late, "--tiebreak-periods", "PSO", "--reason", "penalties were missing",
		"--id", "late", "--to", urls(g.frontends))
	mustRun(t, "bard", "play", late, "--competitor", "A", "--delta", "1", "--period", "PSO", "--to", urls(g.frontends))
	apply(t, g.frontends[1], statusOf(late, `"schedule_status":"FINISHED"`))
	shows(late, "A 1 (2), B 1 (1); A corrected")
	mustRun(t, "bard", "void", late, "--voids", "late", "--reason", "there were none", "--to", urls(g.frontends))
	shows(late, "A 3, B 2; A corrected")

	apply(t, g.frontends[0], pointOf(turned, "A", "2"))
	apply(t, g.frontends[1], pointOf(turned, "B", "1"))
	apply(t, g.frontends[2], statusOf(turned, `"schedule_status":"FINISHED","result_status":"OFFICIAL"`))
	refused(t, g.frontends[0], score.StatusConflict, defineOf(turned, `"sort":"asc"`))
	shows(turned, "A 2, B 1; A")
	apply(t, g.frontends[1], defineOf(turned, `"sort":"asc","reason":"it is golf"`))
	shows(turned, "B 1, A 2; B corrected")
}

func TestAStartListIsTheSameAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	const runners = 1500
	g := newGroup(t, 3)
	const id = "D12/R"
	apply(t, g.frontends[0], defineOf(id, `"kind":"ranked","sport":"athletics","result_type":"TIME","unit":"s",`+
		`"competitors":[{"code":"e1","name":"Elite"}]`))
	apply(t, g.frontends[1], statusOf(id, goesOn))
	for from := 0; from < runners; from += 500 {
		var list []string
		for i := from; i < from+500; i++ {
			list = append(list, fmt.Sprintf(`{"type":"competitor.define","contest_id":%q,"data":{"competitor":"r%d",`+
				`"name":"Runner %[2]d","order":%[2]d}}`, id, i))
		}
		apply(t, g.frontends[from/500], "["+strings.Join(list, ",")+"]")
	}
	mustRun(t, "bard", "define", "competitor", id, "--competitor", "late", "--name", "Late Entry",
		"--to", urls(g.frontends))
	mustRun(t, "bard", "mark", id, "--competitor", "r1499", "--split", "finish", "--mark", "100",
		"--to", urls(g.frontends))
	apply(t, g.frontends[2], `{"type":"competitor.define","contest_id":"`+id+
		`","data":{"competitor":"r1499","organisation":"GAU"}}`)
	refused(t, g.frontends[0], score.InvalidEvent, `{"type":"result.set","contest_id":"`+id+
		`","data":{"competitor":"stranger","split":"finish","mark":99}}`)
	for _, f := range g.frontends {
		n, next := 0, ""
		for {
			page := decode[score.StartListPage](t, get(t, f.url+"/v1/startlist/"+id+"?limit=700&after="+next))
			if n += len(page.Competitors); page.Total != runners+2 {
				t.Fatalf("%s: %d compete", f.id, page.Total)
			}
			if next = page.Next; next == "" {
				break
			}
		}
		if n != runners+2 {
			t.Errorf("%s: the pages have %d competitors", f.id, n)
		}
		board := decode[ranking.Leaderboard](t, get(t, f.url+"/v1/leaderboard/"+id))
		if len(board.Rows) != 1 || board.Rows[0].Name != "Runner 1499" || board.Rows[0].Organisation != "GAU" {
			t.Errorf("%s: the leaderboard is %+v", f.id, board.Rows)
		}
		text := get(t, f.url+"/v1/startlist/"+id+"?limit=3", "Accept", "text/plain").body
		for _, part := range []string{"Elite", "Late Entry", "3 of 1502"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: the start list has no %q:\n%s", f.id, part, text)
			}
		}
		if r, _, _ := f.outcome(t, id); *r.Total != runners+2 || r.Competitors[0].Name != "Runner 1499" {
			t.Errorf("%s: the record is %+v", f.id, r)
		}
	}
}

func TestACompetitionKeepsWhatADefinitionLeavesOutAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	mustRun(t, "bard", "define", "competition", "D23", "--name", "Games of D23", "--neutral", "AIN", "--organisation",
		"GEO=Georgia", "--to", urls(g.frontends))
	mustRun(t, "bard", "define", "competition", "D09", "--organisation", "GEO=Georgetown", "--to", urls(g.frontends))
	for i, award := range []string{"D23 AIN GOLD", "D23 GEO SILVER", "D09 GEO GOLD"} {
		f := strings.Fields(award)
		apply(t, g.frontends[i], fmt.Sprintf(
			`{"type":"medal.award","contest_id":"%s/X","data":{"award_id":%q,"medal":%q,"organisation":%[2]q}}`,
			f[0], f[1], f[2]))
	}
	mustRun(t, "bard", "define", "competition", "D23", "--name", "The D23 Games", "--to", urls(g.frontends))
	for _, f := range g.frontends {
		s := decode[medal.Standings](t, get(t, f.url+"/v1/medals/D23"))
		if s.Name != "The D23 Games" || len(s.Outside) != 1 || len(s.Rows) != 1 || s.Rows[0].Name != "Georgia" ||
			s.Rows[0].Rank != 1 {
			t.Errorf("%s: got %+v", f.id, s)
		}
		if text := get(t, f.url+"/v1/medals/D09", "Accept", "text/plain").body; !strings.Contains(text, "Georgetown") {
			t.Errorf("%s: the table is shown as\n%s", f.id, text)
		}
	}
	mustRun(t, "bard", "define", "competition", "D23", "--clear", "neutral", "--to", urls(g.frontends))
	for _, f := range g.frontends {
		if s := decode[medal.Standings](t, get(t, f.url+"/v1/medals/D23")); len(s.Outside) != 0 || len(s.Rows) != 2 {
			t.Errorf("%s: got %+v", f.id, s)
		}
	}
}
