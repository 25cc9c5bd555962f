package e2e

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/medal"
)

const (
	correctedMatch = "OG50BC/CUR-M-GPA-01"
	correctedRace  = "OG50BC/MENHIR-RUN"
)

// show returns what a frontend shows of a contest: places, winner, and voided events.
func (f *frontend) show(t testing.TB, contest string) string {
	t.Helper()
	rec := decode[score.Record](t, get(t, f.url+"/v1/scores/"+contest))
	var places, voided []string
	for _, p := range rec.Competitors {
		result := p.IRM
		if p.Result != nil {
			result = p.Result.String()
		}
		places = append(places, fmt.Sprintf("%d %s %s", p.Rank, p.Code, result))
	}
	line := decode[struct {
		Events []score.TimelineEvent `json:"events"`
	}](t, get(t, f.url+"/v1/timeline/"+contest))
	ids := map[uint64]string{}
	for _, e := range line.Events {
		ids[e.Revision] = e.ID
	}
	for _, e := range line.Events {
		if e.VoidedBy != 0 {
			voided = append(voided, e.ID+" by "+ids[e.VoidedBy])
		}
	}
	return strings.Join(places, ", ") + "; won: " + rec.Winner + "; voided: " + strings.Join(voided, ", ")
}

// golds returns the number of gold medals of each organisation.
func (f *frontend) golds(t testing.TB) string {
	t.Helper()
	var rows []string
	for _, r := range decode[medal.Standings](t, get(t, f.url+"/v1/medals/OG50BC")).Rows {
		rows = append(rows, fmt.Sprintf("%d %s %d", r.Rank, r.Organisation, r.Gold))
	}
	return strings.Join(rows, ", ")
}

// search returns the ids of the contests in a list.
func (f *frontend) search(t testing.TB, query string) string {
	t.Helper()
	var ids []string
	page := decode[struct {
		Scores []score.Record `json:"scores"`
	}](t, get(t, f.url+"/v1/scores?"+query))
	for _, r := range page.Scores {
		ids = append(ids, r.ContestID)
	}
	return strings.Join(ids, ", ")
}

func TestACorrectionReachesEveryAnswerAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	posted := 0
	post := func(id, kind, contest, data string) {
		t.Helper()
		posted++
		apply(t, g.frontends[posted%3], fmt.Sprintf(`{"id":%q,"type":%q,"contest_id":%q,"data":%s}`, id, kind, contest,
			data))
	}
	void := func(id, contest, event string) {
		t.Helper()
		post(id, "event.void", contest, `{"voids":"`+event+`","reason":"the jury has looked again"}`)
	}
	says := func(contest, want string) {
		t.Helper()
		for _, f := range g.frontends {
			if got := f.show(t, contest); got != want {
				t.Errorf("%s: %s\nwant %s", f.id, got, want)
			}
		}
	}
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[1], running)
	post("g1", "score.play", correctedMatch, `{"competitor":"GAU","delta":1}`)
	post("g2", "score.play", correctedMatch, `{"competitor":"ROM","delta":2}`)
	post("over", "contest.status", correctedMatch, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	says(correctedMatch, "1 ROM 2, 2 GAU 1; won: ROM; voided: ")
	void("v-goal", correctedMatch, "g2")
	says(correctedMatch, "1 GAU 1, 2 ROM 0; won: GAU; voided: g2 by v-goal")

	post("race", "contest.define", correctedRace,
		`{"kind":"ranked","sport":"menhir-run","result_type":"TIME","competition":"OG50BC"}`)
	post("off", "contest.status", correctedRace, `{"schedule_status":"RUNNING"}`)
	for i, code := range []string{"ASTERIX", "EDIFIS", "MARATHONUS"} {
		post(code, "result.set", correctedRace,
			fmt.Sprintf(`{"competitor":%q,"split":"finish","mark":%d,"organisation":"%s"}`, code, 100+i, code[:3]))
	}
	post("again", "result.set", correctedRace, `{"competitor":"MARATHONUS","split":"finish","mark":99}`)
	says(correctedRace, "1 MARATHONUS 99, 2 ASTERIX 100, 3 EDIFIS 101; won: ; voided: ")
	void("v-double", correctedRace, "again")
	post("end", "contest.status", correctedRace, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	says(correctedRace, "1 ASTERIX 100, 2 EDIFIS 101, 3 MARATHONUS 102; won: ASTERIX; voided: again by v-double")
	post("gold", "medal.award", correctedRace, `{"award_id":"run","medal":"GOLD","organisation":"AST"}`)

	refused(t, g.frontends[2], score.StatusConflict,
		`{"type":"result.set","contest_id":"`+correctedRace+`","data":{"competitor":"ASTERIX","split":"finish","irm":"DSQ"}}`)
	mustRun(t, "bard", "mark", correctedRace, "--competitor", "ASTERIX", "--split", "finish", "--irm", "DSQ",
		"--reason", "magic potion", "--to", urls(g.frontends))
	post("back", "medal.revoke", correctedRace, `{"award_id":"run","reason":"magic potion"}`)
	post("gold2", "medal.award", correctedRace, `{"award_id":"run","medal":"GOLD","organisation":"EDI"}`)
	says(correctedRace, "1 EDIFIS 101, 2 MARATHONUS 102, 0 ASTERIX DSQ; won: EDIFIS; voided: again by v-double")
	refused(t, g.frontends[1], score.StatusConflict,
		`{"type":"event.void","contest_id":"`+correctedRace+`","data":{"voids":"back","reason":"the second gold stands on it"}}`)
	for _, f := range g.frontends {
		if got := f.golds(t); got != "1 EDI 1" {
			t.Errorf("%s: the medal table is %s", f.id, got)
		}
		for query, want := range map[string]string{"competitor=ASTERIX": correctedRace,
			"status=OFFICIAL": correctedMatch + ", " + correctedRace, "status=OFFICIAL&competitor=GAU": correctedMatch,
			"sport=menhir-run&competitor=MARATHONUS&competition=OG50BC": correctedRace, "status=RUNNING": ""} {
			if got := f.search(t, query); got != want {
				t.Errorf("%s: %s finds %q, want %q", f.id, query, got, want)
			}
		}
	}
	void("v-gold2", correctedRace, "gold2")
	void("v-back", correctedRace, "back")
	void("v-marathonus", correctedRace, "MARATHONUS")
	for _, f := range g.frontends {
		if got := f.golds(t); got != "1 AST 1" {
			t.Errorf("%s: the medal table is %s", f.id, got)
		}
		if got := f.search(t, "competitor=MARATHONUS"); got != "" {
			t.Errorf("%s: who has no mark any more is still found in %s", f.id, got)
		}
	}
}
