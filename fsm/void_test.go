package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/medal"
)

// mustPost posts an event without a seq, which must be applied.
func mustPost(t *testing.T, m *Machine, id, kind, contest, data string) score.Result {
	t.Helper()
	return mustApply(t, m, `{"id":%q,"source":"desk","type":%q,"contest_id":%q,"data":%s}`, id, kind, contest, data)
}

func mustVoid(t *testing.T, m *Machine, id, contest, target string) score.Result {
	t.Helper()
	return mustPost(t, m, id, "event.void", contest, `{"voids":"`+target+`","reason":"it was wrong"}`)
}

func wantVoidRefused(t *testing.T, m *Machine, code score.Code, words, contest, target string) {
	t.Helper()
	p := mustRefuse(t, m, code, words,
		`{"source":"desk","type":"event.void","contest_id":%q,`+
			`"data":{"voids":%q,"reason":"it was wrong"}}`, contest, target)
	if p.Field != "data.voids" {
		t.Errorf("the field is %q", p.Field)
	}
}

func recordOf(t *testing.T, m *Machine, id string) (r score.Record) {
	t.Helper()
	if err := m.View(func(v *view.View) (err error) { r, _, err = v.Contest(id); return err }); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantResult(t *testing.T, m *Machine, contest, code, want string) {
	t.Helper()
	for _, p := range recordOf(t, m, contest).Competitors {
		if p.Code == code {
			got := p.IRM
			if p.Result != nil {
				got = p.Result.String()
			}
			if got != want {
				t.Errorf("%s of %s is %q, want %q", code, contest, got, want)
			}
			return
		}
	}
	if want != "" {
		t.Errorf("%s has no %s", contest, code)
	}
}

func medalRows(t *testing.T, m *Machine) (list []medal.Row) {
	t.Helper()
	err := m.View(func(v *view.View) error {
		table, _, err := v.Medals("G")
		list = table.Standings().Rows
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestVoidingAGoalSubtractsItAndKeepsLaterEvents(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1,"result":{"A":1}}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"A","delta":1,"result":{"A":2},"stats_delta":{"shots":3}}`)
	r := mustVoid(t, m, "v", "G/1", "g1")
	wantResult(t, m, "G/1", "A", "1")
	if got := recordOf(t, m, "G/1"); got.Revision != r.Revision {
		t.Errorf("the contest's revision is %d, the void's %d", got.Revision, r.Revision)
	}
	// The next play is checked against the remaining totals.
	mustRefuse(t, m, score.TotalMismatch, "",
		`{"source":"desk","type":"score.play","contest_id":"G/1","data":{"competitor":"A","delta":1,"result":{"A":3}}}`)
	mustPost(t, m, "g3", "score.play", "G/1", `{"competitor":"A","delta":1,"result":{"A":2}}`)
}

func TestVoidingAScoreSetRestoresTheTotals(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustPost(t, m, "jury", "score.set", "G/1", `{"result":{"A":0,"B":3},"adjustment":true,"reason":"walk-over"}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"B","delta":1}`)
	mustVoid(t, m, "v", "G/1", "jury")
	wantResult(t, m, "G/1", "A", "2")
	wantResult(t, m, "G/1", "B", "1")
}

func TestVoidingAStatusMovesTheContestBackAndKeepsItsPlays(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustPost(t, m, "end", "contest.status", "G/1", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	mustRefuse(t, m, score.StatusConflict, "OFFICIAL",
		`{"type":"score.play","contest_id":"G/1","data":{"competitor":"A","delta":1}}`)
	mustVoid(t, m, "v", "G/1", "end")
	if r := recordOf(t, m, "G/1"); r.ScheduleStatus != "RUNNING" || r.ResultStatus != "START_LIST" || r.Winner != "" {
		t.Errorf("got %+v", r)
	}
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	wantResult(t, m, "G/1", "A", "4")
	mustVoid(t, m, "v2", "G/1", "run")
	wantResult(t, m, "G/1", "A", "4")
	mustRefuse(t, m, score.StatusConflict, "not started",
		`{"type":"score.play","contest_id":"G/1","data":{"competitor":"A","delta":1}}`)
}

func TestAPlayOfAnOfficialContestCanStillBeVoided(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustPost(t, m, "end", "contest.status", "G/1", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	mustVoid(t, m, "v", "G/1", "g1")
	wantResult(t, m, "G/1", "A", "0")
}

func TestADefineThatOtherEventsDependOnCannotBeVoided(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	wantVoidRefused(t, m, score.StatusConflict, `"run" (contest.status, revision 2)`, "G/1", "define")
	mustPost(t, m, "more", "contest.define", "G/1",
		`{"kind":"head_to_head","sport":"stones","competitors":[{"code":"A"},{"code":"B"},{"code":"C"}]}`)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"C","delta":2}`)
	wantVoidRefused(t, m, score.StatusConflict, `"g1"`, "G/1", "more")
	mustVoid(t, m, "v1", "G/1", "g1")
	mustVoid(t, m, "v2", "G/1", "more")
	if r := recordOf(t, m, "G/1"); len(r.Competitors) != 2 {
		t.Errorf("got %+v", r.Competitors)
	}
	mustVoid(t, m, "v3", "G/1", "run")
	mustVoid(t, m, "v4", "G/1", "define")
	if text := contestJSON(t, m, "G/1"); text != "" {
		t.Errorf("the contest is not defined any more; got %s", text)
	}
	// Events that depend on it cannot be restored alone.
	wantVoidRefused(t, m, score.StatusConflict, `"run"`, "G/1", "v3")
	mustVoid(t, m, "v5", "G/1", "v4")
	mustVoid(t, m, "v6", "G/1", "v3")
	mustVoid(t, m, "v7", "G/1", "v2")
	mustVoid(t, m, "v8", "G/1", "v1")
	wantResult(t, m, "G/1", "C", "2")
}

func TestNullClearsTheNameThatAContestGivesItsCompetition(t *testing.T) {
	m := newMachine(t)
	wantName := func(want string) {
		t.Helper()
		if err := m.View(func(v *view.View) error {
			table, _, err := v.Medals("G")
			if got := table.Standings().Name; got != want {
				t.Errorf("the competition is called %q; want %q", got, want)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	mustPost(t, m, "d1", "contest.define", "G/1", `{"kind":"ranked","sport":"race","competition_name":"Games"}`)
	mustPost(t, m, "d2", "contest.define", "G/1", `{"title":"Final"}`)
	wantName("Games")
	mustPost(t, m, "d3", "contest.define", "G/1", `{"competition_name":null}`)
	wantName("")
	mustVoid(t, m, "v", "G/1", "d3")
	wantName("Games")
	mustVoid(t, m, "vv", "G/1", "v")
	wantName("")
}

func TestVoidingADefineRestoresTheMedalTable(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d1", "contest.define", "G/1",
		`{"kind":"ranked","sport":"race","competition_name":"Old Games",`+
			`"competitors":[{"code":"A","organisation":"OA"}]}`)
	mustPost(t, m, "d2", "contest.define", "G/2",
		`{"kind":"ranked","sport":"race","competition_name":"Typo Gmaes",`+
			`"competitors":[{"code":"A","organisation":"OA"},{"code":"B","organisation":"OTYPO"}]}`)
	table := func() (t2 *medal.Table) {
		if err := m.View(func(v *view.View) (err error) { t2, _, err = v.Medals("G"); return err }); err != nil {
			t.Fatal(err)
		}
		return t2
	}
	_, known := table().Row("OTYPO")
	if table().Standings().Name != "Typo Gmaes" || !known {
		t.Fatalf("got %+v", table())
	}
	r := mustVoid(t, m, "v", "G/2", "d2")
	_, known = table().Row("OTYPO")
	if table().Standings().Name != "Old Games" || known || table().Revision != r.Revision {
		t.Errorf("got %+v", table())
	}
	if _, known := table().Row("OA"); !known {
		t.Error("OA is named by another contest, but is missing")
	}
	mustVoid(t, m, "w", "G/2", "v")
	if _, known := table().Row("OTYPO"); table().Standings().Name != "Typo Gmaes" || !known {
		t.Errorf("got %+v", table())
	}
}

func TestVoidingACompetitionDefineRestoresTheOneBefore(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "c1", "competition.define", "G", `{"name":"One","neutral":["ON"]}`)
	mustPost(t, m, "c2", "competition.define", "G", `{"name":"Two","neutral":null}`)
	mustPost(t, m, "a", "medal.award", "G/1", `{"award_id":"x","medal":"GOLD","organisation":"ON"}`)
	if len(medalRows(t, m)) != 1 {
		t.Fatal("ON is not neutral any more")
	}
	mustVoid(t, m, "v", "G", "c2")
	if len(medalRows(t, m)) != 0 {
		t.Error("ON is neutral again")
	}
}

func TestVoidingAwardsAndRevokes(t *testing.T) {
	m := newMachine(t)
	award := func(id, contest, org string) {
		t.Helper()
		mustPost(t, m, id, "medal.award", contest, `{"award_id":"x","medal":"GOLD","organisation":"`+org+`"}`)
	}
	gold := func(org string, want int) {
		t.Helper()
		got := 0
		for _, row := range medalRows(t, m) {
			if row.Organisation == org {
				got = row.Gold
			}
		}
		if got != want {
			t.Errorf("%s has %d gold, want %d", org, got, want)
		}
	}
	award("a1", "G/1", "OA")
	mustPost(t, m, "r1", "medal.revoke", "G/1", `{"award_id":"x","reason":"dope"}`)
	gold("OA", 0)
	wantVoidRefused(t, m, score.StatusConflict, `"r1"`, "G/1", "a1")
	mustVoid(t, m, "v1", "G/1", "r1")
	gold("OA", 1)
	mustVoid(t, m, "v2", "G/1", "a1")
	gold("OA", 0)
	// The id is unused now, and another contest takes it. Voids in the first contest do
	// not affect its award.
	award("a2", "G/2", "OB")
	wantVoidRefused(t, m, score.IDConflict, `"G/2"`, "G/1", "v2")
	mustPost(t, m, "hello", "alert", "G/1", `{"text":"hello"}`)
	mustVoid(t, m, "v3", "G/1", "hello")
	gold("OB", 1)
	mustVoid(t, m, "v4", "G/2", "a2")
	mustVoid(t, m, "v5", "G/1", "v2")
	gold("OA", 1)
	gold("OB", 0)
}

func TestVoidingAMarkRestoresTheOneBefore(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d", "contest.define", "G/r",
		`{"kind":"ranked","sport":"race","sort":"asc","splits":["5k","finish"]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "m1", "result.set", "G/r", `{"competitor":"X","split":"5k","mark":10}`)
	mustPost(t, m, "m2", "result.set", "G/r", `{"competitor":"Y","split":"5k","mark":11}`)
	mustPost(t, m, "m3", "result.set", "G/r", `{"competitor":"Y","split":"5k","mark":9}`)
	mustPost(t, m, "m4", "result.set", "G/r", `{"competitor":"Y","split":"finish","irm":"DNF"}`)
	mustPost(t, m, "m5", "result.set", "G/r", `{"competitor":"Y","split":"finish","mark":20}`)
	mustPost(t, m, "end", "contest.status", "G/r", `{"result_status":"OFFICIAL"}`)
	wantResult(t, m, "G/r", "Y", "20")
	mustVoid(t, m, "v5", "G/r", "m5")
	mustVoid(t, m, "v4", "G/r", "m4")
	if r := recordOf(t, m, "G/r"); r.Split != "5k" || r.Competitors[0].Code != "Y" || *r.Total != 2 {
		t.Errorf("want the 5k shown, as there are no marks at the finish; got %+v", r)
	}
	mustVoid(t, m, "v3", "G/r", "m3")
	if r := recordOf(t, m, "G/r"); r.Competitors[0].Code != "X" {
		t.Errorf("got %+v", r)
	}
	wantResult(t, m, "G/r", "Y", "11")
	mustVoid(t, m, "v2", "G/r", "m2")
	wantResult(t, m, "G/r", "Y", "")
	mustVoid(t, m, "w3", "G/r", "v3")
	wantResult(t, m, "G/r", "Y", "9")
	// A mark that was replaced before it was voided does not replace the later one when
	// it is restored.
	mustVoid(t, m, "w2", "G/r", "v2")
	wantResult(t, m, "G/r", "Y", "9")
}

func TestADefineThatMarksDependOnCannotBeVoided(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d1", "contest.define", "G/r", `{"kind":"ranked","sport":"race","competitors":[{"code":"X"}]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "d2", "contest.define", "G/r",
		`{"kind":"ranked","sport":"race","sort":"asc","splits":["5k"],"competitors":[{"code":"X"},{"code":"Y"}]}`)
	mustPost(t, m, "m1", "result.set", "G/r", `{"competitor":"Y","split":"5k","mark":10}`)
	wantVoidRefused(t, m, score.StatusConflict, `"m1"`, "G/r", "d2")
	mustVoid(t, m, "v1", "G/r", "m1")
	mustVoid(t, m, "v2", "G/r", "d2")
	// The split of the mark no longer exists.
	wantVoidRefused(t, m, score.StatusConflict, `"m1"`, "G/r", "v1")
	mustPost(t, m, "d3", "contest.define", "G/r",
		`{"kind":"ranked","sport":"race","sort":"asc","splits":["5k"],"competitors":[{"code":"X"}]}`)
	wantVoidRefused(t, m, score.StatusConflict, `"Y" does not compete`, "G/r", "v1")
	mustPost(t, m, "d4", "contest.define", "G/r",
		`{"kind":"ranked","sport":"race","sort":"asc","splits":["5k"],"competitors":[{"code":"X"},{"code":"Y"}]}`)
	mustVoid(t, m, "w1", "G/r", "v1")
	wantResult(t, m, "G/r", "Y", "10")
	wantVoidRefused(t, m, score.StatusConflict, `"Y", who has a mark,`, "G/r", "d4")
}

func TestAMarkCannotBeRestoredWithoutItsContest(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d", "contest.define", "G/r", `{"kind":"ranked","sport":"race"}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "m", "result.set", "G/r", `{"competitor":"Y","split":"finish","mark":10}`)
	wantVoidRefused(t, m, score.StatusConflict, `"run"`, "G/r", "d")
	mustVoid(t, m, "v1", "G/r", "run")
	wantVoidRefused(t, m, score.StatusConflict, "would not be defined", "G/r", "d")
	mustVoid(t, m, "v2", "G/r", "m")
	mustVoid(t, m, "v3", "G/r", "d")
	wantVoidRefused(t, m, score.StatusConflict, `"m"`, "G/r", "v2")
}

func TestVoidingAVoidRestoresTheEvent(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustVoid(t, m, "v1", "G/1", "g")
	mustVoid(t, m, "v2", "G/1", "v1")
	wantResult(t, m, "G/1", "A", "2")
	mustVoid(t, m, "v3", "G/1", "v2")
	wantResult(t, m, "G/1", "A", "0")
	err := m.View(func(v *view.View) error {
		list, _, err := v.Timeline("G/1", 2, 100)
		for i, want := range []int{1, 0, 3, 0} {
			if want > 0 && list[i].VoidedBy != list[want].Revision || want == 0 && list[i].VoidedBy != 0 {
				t.Errorf("%s is voided by %d", list[i].ID, list[i].VoidedBy)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantVoidRefused(t, m, score.StatusConflict, `voided already`, "G/1", "v2")
}

func TestAVoidMustNameOneEventOfItsContest(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	wantVoidRefused(t, m, score.NotFound, `"nothing"`, "G/1", "nothing")
	wantVoidRefused(t, m, score.NotFound, `"g"`, "G/2", "g")
	mustVoid(t, m, "v", "G/1", "g")
	wantVoidRefused(t, m, score.StatusConflict, `voided already`, "G/1", "g")

	for _, source := range []string{"bard/a", "bard/b"} {
		mustApply(t, m, `{"id":"same","source":%q,"seq":1,"type":"score.play","contest_id":"G/1",`+
			`"data":{"competitor":"A","delta":1}}`, source)
	}
	wantVoidRefused(t, m, score.IDConflict, "2 events", "G/1", "same")
	// The void of a bard means the event of that bard.
	mustApply(t, m, `{"id":"va","source":"bard/b","seq":2,"type":"event.void","contest_id":"G/1",`+
		`"data":{"voids":"same","reason":"mine"}}`)
	// Then only one event is left that the void can mean.
	mustVoid(t, m, "v2", "G/1", "same")
	wantResult(t, m, "G/1", "A", "0")
}

func TestARepeatedVoidIsADuplicate(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	first := mustVoid(t, m, "v", "G/1", "g")
	wantDuplicate(t, postEvent(t, m,
		`{"id":"v","source":"desk","type":"event.void","contest_id":"G/1",`+
			`"data":{"voids":"g","reason":"it was wrong"}}`), first)
}

const falseGoal = `{"id":"g1","source":%q,"seq":%d,"type":"score.play","contest_id":"G/1",` +
	`"data":{"competitor":"A","delta":1}}`

func TestTheSameSourcesTwoEventsWithOneIDCanBeVoided(t *testing.T) {
	for name, void := range map[string]string{
		"by revision": `"voids_revision":%[1]d`,
		"by seq":      `"voids_source":"feed/t","voids_seq":%[2]d`,
		"by all":      `"voids":"g1","voids_revision":%[1]d,"voids_source":"feed/t","voids_seq":%[2]d`,
	} {
		for _, source := range []string{"operator", "feed/t"} {
			t.Run(name+" of "+source, func(t *testing.T) {
				m := newMachine(t)
				startMatch(t, m)
				first := mustApply(t, m, falseGoal, "feed/t", 1)
				second := mustApply(t, m, falseGoal, "feed/t", 2)
				p := mustRefuse(t, m, score.IDConflict, "",
					`{"source":%q,"type":"event.void","contest_id":"G/1","data":{"voids":"g1","reason":"x"}}`, source)
				wantCandidates(t, p, first, second)
				for _, r := range []score.Result{first, second} {
					target := strings.NewReplacer("%[1]d", fmt.Sprint(r.Revision), "%[2]d", fmt.Sprint(r.Seq)).Replace(void)
					mustApply(t, m,
						`{"source":%q,"type":"event.void","contest_id":"G/1","data":{%s,"reason":"x"}}`, source, target)
				}
				wantResult(t, m, "G/1", "A", "0")
			})
		}
	}
}

// wantCandidates checks that a refused void tells the events apart that it may mean.
func wantCandidates(t *testing.T, p *score.Problem, results ...score.Result) {
	t.Helper()
	for _, r := range results {
		if want := fmt.Sprintf("revision %d (", r.Revision); !strings.Contains(p.Detail, want) {
			t.Errorf("the refusal %q lacks %q", p.Detail, want)
		}
	}
}

func TestAnAlertWithAnothersIDCannotBlockAVoid(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	goal := mustApply(t, m, falseGoal, "feed/t", 1)
	alert := mustApply(t, m,
		`{"id":"g1","source":"feed/thief","seq":1,"type":"alert","contest_id":"G/1","data":{"text":"x"}}`)
	// A third party learns how to name the goal. The feed itself means its own.
	p := mustRefuse(t, m, score.IDConflict, "",
		`{"source":"desk","type":"event.void","contest_id":"G/1","data":{"voids":"g1","reason":"x"}}`)
	wantCandidates(t, p, goal, alert)
	mustApply(t, m, `{"id":"v","source":"desk","type":"event.void","contest_id":"G/1",`+
		`"data":{"voids_revision":%d,"reason":"x"}}`, goal.Revision)
	wantResult(t, m, "G/1", "A", "0")
	mustVoid(t, m, "w", "G/1", "v")
	mustApply(t, m, `{"source":"feed/t","type":"event.void","contest_id":"G/1","data":{"voids":"g1","reason":"x"}}`)
	wantResult(t, m, "G/1", "A", "0")
}

// A void that names an event in two ways is refused if the two are not the same event, as
// after the store was restored from a backup and its revisions were given again.
func TestAVoidWhoseIdentitiesDisagreeIsRefused(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	goal := mustApply(t, m, falseGoal, "feed/t", 1)
	for _, target := range []string{
		fmt.Sprintf(`"voids":"other","voids_revision":%d`, goal.Revision),
		fmt.Sprintf(`"voids_source":"feed/u","voids_revision":%d`, goal.Revision),
		fmt.Sprintf(`"voids_source":"feed/t","voids_seq":2,"voids_revision":%d`, goal.Revision),
		`"voids_source":"feed/t","voids_seq":2`,
		`"voids":"g1","voids_source":"feed/u"`,
		`"voids_revision":9007199254740991`,
	} {
		mustRefuse(t, m, score.NotFound, "no event of the contest",
			`{"source":"desk","type":"event.void","contest_id":"G/1","data":{%s,"reason":"x"}}`, target)
	}
	// The revision is that of an event of another contest.
	mustRefuse(t, m, score.NotFound, "no event of the contest",
		`{"source":"desk","type":"event.void","contest_id":"G/2","data":{"voids_revision":%d,"reason":"x"}}`, goal.Revision)
	wantResult(t, m, "G/1", "A", "1")
}

// The timeline names voids and what they void by revision, because ids are not unique.
func TestTheTimelineNamesVoidsByRevision(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustApply(t, m, falseGoal, "feed/t", 1)
	alert := mustApply(t, m,
		`{"id":"g1","source":"feed/thief","seq":1,"type":"alert","contest_id":"G/1","data":{"text":"x"}}`)
	void := mustApply(t, m, `{"id":"v","source":"feed/thief","seq":2,"type":"event.void","contest_id":"G/1",`+
		`"data":{"voids":"g1","reason":"x"}}`)
	if err := m.View(func(v *view.View) error {
		list, _, err := v.Timeline("G/1", 0, 10)
		for _, e := range list {
			if (e.Revision == alert.Revision) != (e.VoidedBy == void.Revision) ||
				(e.Revision == void.Revision) != (e.Voids == alert.Revision) {
				t.Errorf("got %+v", e)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestARefusedVoidListsFewOfManyEvents(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	for seq := range uint64(30) {
		mustApply(t, m, falseGoal, "feed/t", seq+1)
	}
	p := mustRefuse(t, m, score.IDConflict, "30 events",
		`{"source":"desk","type":"event.void","contest_id":"G/1","data":{"voids":"g1","reason":"x"}}`)
	if !strings.Contains(p.Detail, "20 more") || len(p.Detail) > 1000 {
		t.Errorf("got %q", p.Detail)
	}
}

// The side that a decision named may leave as soon as the decision does not stand.
func TestADecisionThatWasReplacedOrTakenBackHindersNoVoid(t *testing.T) {
	for _, next := range []string{`{}`, `{"winner":"B","decision":"WALKOVER"}`} {
		m := newMachine(t)
		mustPost(t, m, "define", "contest.define", "G/1",
			`{"kind":"head_to_head","sport":"x","competitors":[{"code":"A"},{"code":"B"}]}`)
		mustPost(t, m, "first", "contest.decide", "G/1", `{"winner":"A","decision":"WALKOVER"}`)
		mustPost(t, m, "second", "contest.decide", "G/1", next)
		mustPost(t, m, "list", "contest.define", "G/1", `{"competitors":[{"code":"B"},{"code":"C"}],"reason":"A left"}`)
		mustPost(t, m, "run", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
		mustPost(t, m, "goal", "score.play", "G/1", `{"competitor":"C","delta":1}`)
		mustVoid(t, m, "v", "G/1", "goal")
		wantResult(t, m, "G/1", "C", "0")
		mustRefuse(t, m, score.StatusConflict, `"A" does not compete here`,
			`{"type":"event.void","contest_id":"G/1","data":{"voids":"second","reason":"x"}}`)
		mustVoid(t, m, "w", "G/1", "first")
		mustVoid(t, m, "ww", "G/1", "second")
	}
}
