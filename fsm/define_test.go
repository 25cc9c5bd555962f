package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/medal"
)

// standings returns the competitors of a record with their results and tie-break scores.
func standings(t *testing.T, m *Machine, contest string) string {
	t.Helper()
	r := recordOf(t, m, contest)
	var list []string
	for _, c := range r.Competitors {
		text := c.Code
		if c.Result != nil {
			text += " " + c.Result.String()
		}
		if c.Tiebreak != 0 {
			text += " (" + c.Tiebreak.String() + ")"
		}
		list = append(list, text)
	}
	text := strings.Join(list, ", ") + "; " + r.Winner
	if r.Corrected {
		text += " corrected"
	}
	return text
}

func wantStandings(t *testing.T, m *Machine, contest, want string) {
	t.Helper()
	if got := standings(t, m, contest); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// wantSameAfterRestore checks that a machine that restores the snapshot has the same state.
func wantSameAfterRestore(t *testing.T, m *Machine) {
	t.Helper()
	other := newMachine(t)
	if err := other.Restore(strings.NewReader(string(snapshotOf(t, m)))); err != nil {
		t.Fatal(err)
	}
	if string(snapshotOf(t, other)) != string(snapshotOf(t, m)) {
		t.Error("the restored state differs")
	}
}

const shootOut = `{"tiebreak_periods":["PSO"]%s}`

func TestTheFeedLearnsLateThatItWasAShootOut(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "define", "contest.define", "G/1",
		`{"kind":"head_to_head","sport":"football","competitors":[{"code":"CRO"},{"code":"JPN"}]}`)
	mustPost(t, m, "run", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	for i, data := range []string{
		`{"competitor":"CRO","delta":1,"period":"H1"}`, `{"competitor":"JPN","delta":1,"period":"H2"}`,
		`{"competitor":"CRO","delta":1,"period":"PSO"}`, `{"competitor":"JPN","delta":1,"period":"PSO"}`,
	} {
		mustPost(t, m, fmt.Sprint("k", i), "score.play", "G/1", data)
	}
	mustRefuse(t, m, score.StatusConflict, "give a reason",
		`{"type":"contest.define","contest_id":"G/1","data":%s}`, fmt.Sprintf(shootOut, ""))
	r := mustPost(t, m, "late", "contest.define", "G/1", fmt.Sprintf(shootOut, `,"reason":"penalties were missing"`))
	if got := recordOf(t, m, "G/1"); got.Revision != r.Revision || r.Folded == 0 {
		t.Errorf("the revision is %d, that of the definition %d; folded %d", got.Revision, r.Revision, r.Folded)
	}
	mustPost(t, m, "k4", "score.play", "G/1", `{"competitor":"CRO","delta":1,"period":"PSO","result":{"CRO":2}}`)
	mustPost(t, m, "end", "contest.status", "G/1", `{"schedule_status":"FINISHED"}`)
	wantStandings(t, m, "G/1", "CRO 1 (2), JPN 1 (1); CRO corrected")
	mustVoid(t, m, "v", "G/1", "k2")
	wantStandings(t, m, "G/1", "CRO 1 (1), JPN 1 (1);  corrected")
	mustVoid(t, m, "w", "G/1", "v")
	mustVoid(t, m, "v2", "G/1", "late")
	wantStandings(t, m, "G/1", "CRO 3, JPN 2; CRO corrected")
	mustVoid(t, m, "w2", "G/1", "v2")
	wantStandings(t, m, "G/1", "CRO 1 (2), JPN 1 (1); CRO corrected")
	wantSameAfterRestore(t, m)
}

func TestADefinitionDoesNotTurnTheWinner(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"B","delta":1}`)
	mustPost(t, m, "end", "contest.status", "G/1", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	wantStandings(t, m, "G/1", "A 2, B 1; A")
	mustRefuse(t, m, score.StatusConflict, "sort cannot change",
		`{"type":"contest.define","contest_id":"G/1","data":{"sort":"asc"}}`)
	wantStandings(t, m, "G/1", "A 2, B 1; A")
	mustPost(t, m, "title", "contest.define", "G/1", `{"title":"golf","reason":"the title was wrong"}`)
	wantStandings(t, m, "G/1", "A 2, B 1; A")
	mustPost(t, m, "golf", "contest.define", "G/1", `{"sort":"asc","reason":"it is golf"}`)
	wantStandings(t, m, "G/1", "B 1, A 2; B corrected")
}

func TestADefinitionWithWhichAnEventCannotStandIsRefused(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	before := stateOf(t, m)
	const cannot = `"g1" (score.play, revision 3) cannot stand with this definition: `
	for _, c := range []struct {
		code        score.Code
		data, words string
	}{
		{score.StatusConflict, `{"competitors":[{"code":"B"}],"reason":"r"}`, cannot + `"A" does not`},
		{score.StatusConflict, `{"kind":"ranked","tiebreak_periods":null,"reason":"r"}`, cannot},
		{score.InvalidEvent, `{"splits":["5k"],"reason":"r"}`, "only a ranked contest has splits"},
		{score.StatusConflict, `{"competitors":[{"code":"A"}]}`, `"B" is missing from the list`},
		{score.InvalidEvent, `{"result_type":"TIME","unit":"min","reason":"r"}`, "counts times in s"},
		{score.StatusConflict, `{"competitors":[{"code":"B"},{"code":"A"},{"code":"C"}],"sort":"asc"}`,
			"sort cannot change"},
	} {
		mustRefuse(t, m, c.code, c.words, `{"source":"x","type":"contest.define","contest_id":"G/1","data":%s}`, c.data)
	}
	if stateOf(t, m) != before {
		t.Error("a refused definition has changed the state")
	}
	mustPost(t, m, "one", "contest.define", "G/1", `{"competitors":[{"code":"A"}],"reason":"B did not come"}`)
	wantStandings(t, m, "G/1", "A 2;  corrected")
	mustVoid(t, m, "v", "G/1", "one")
	wantStandings(t, m, "G/1", "A 2, B 0;  corrected")
}

func race(t *testing.T, m *Machine, data string) {
	t.Helper()
	mustPost(t, m, "define", "contest.define", "G/r", `{"kind":"ranked","sport":"race"`+data+`}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
}

func TestAnotherUnitConvertsTheMarksThatThereAre(t *testing.T) {
	m := newMachine(t)
	race(t, m, `,"result_type":"TIME","unit":"s"`)
	mustPost(t, m, "m1", "result.set", "G/r", `{"competitor":"X","split":"finish","mark":131}`)
	mustPost(t, m, "m2", "result.set", "G/r", `{"competitor":"Y","split":"finish","mark":130.5,"category":"F"}`)
	mustPost(t, m, "m3", "result.set", "G/r", `{"competitor":"Z","split":"finish","irm":"DNF"}`)
	mustPost(t, m, "unit", "contest.define", "G/r", `{"unit":"min","reason":"the marks are minutes"}`)
	wantStandings(t, m, "G/r", "Y 7830, X 7860, Z;  corrected")
	mustPost(t, m, "split", "contest.define", "G/r", `{"splits":["half","finish"],"sort":"desc","reason":"r"}`)
	wantStandings(t, m, "G/r", "X 7860, Y 7830, Z;  corrected")
	mustRefuse(t, m, score.StatusConflict, `"m1" (result.set, revision 3) cannot stand with this definition: got "finish"`,
		`{"source":"x","type":"contest.define","contest_id":"G/r","data":{"splits":["half"],"reason":"r"}}`)
	mustVoid(t, m, "v", "G/r", "unit")
	wantStandings(t, m, "G/r", "X 131, Y 130.5, Z;  corrected")
	mustVoid(t, m, "v2", "G/r", "split")
	wantStandings(t, m, "G/r", "Y 130.5, X 131, Z;  corrected")
	wantSameAfterRestore(t, m)
	// The state is that of a store that never had the corrections, but for their mark.
	other := newMachine(t)
	race(t, other, `,"result_type":"TIME","unit":"s"`)
	mustPost(t, other, "m1", "result.set", "G/r", `{"competitor":"X","split":"finish","mark":131}`)
	mustPost(t, other, "m2", "result.set", "G/r", `{"competitor":"Y","split":"finish","mark":130.5,"category":"F"}`)
	mustPost(t, other, "m3", "result.set", "G/r", `{"competitor":"Z","split":"finish","irm":"DNF"}`)
	if got, want := corrected.ReplaceAllString(effects(t, m), ""), effects(t, other); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOneDefinitionSetsABoundedNumberOfMarksAgain(t *testing.T) {
	m := newMachine(t)
	race(t, m, `,"splits":["a","b"]`)
	postMany(t, m, "G/r", maxResetMarks+1, func(i int) (string, string) {
		return "result.set", fmt.Sprintf(`{"competitor":"c%d","split":%q,"mark":%d}`, i/2, string("ab"[i%2]), i)
	})
	mustRefuse(t, m, score.TooLarge, "has 20001 marks",
		`{"type":"contest.define","contest_id":"G/r","data":{"sort":"asc","reason":"r"}}`)
	mustPost(t, m, "venue", "contest.define", "G/r", `{"venue":"Rome","reason":"r"}`)
	if recordOf(t, m, "G/r").Corrected {
		t.Error("a venue is no correction")
	}
}

// startListOf returns the codes and names of all pages of a start list.
func startListOf(t *testing.T, m *Machine, contest string, limit int) (list []string) {
	t.Helper()
	after := (*score.Entrant)(nil)
	for {
		var page score.StartListPage
		if err := m.View(func(v *view.View) (err error) {
			page, _, err = v.StartList(contest, after, limit)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(page.Competitors) > limit {
			t.Fatalf("a page of %d", len(page.Competitors))
		}
		for _, e := range page.Competitors {
			list = append(list, strings.TrimSpace(e.Code+" "+e.Name))
		}
		if page.Next == "" {
			if page.Total != len(list) {
				t.Errorf("%d of %d are listed", len(list), page.Total)
			}
			return list
		}
		next, ok := score.ParsePlace(page.Next)
		if !ok || next.Place() != page.Next {
			t.Fatalf("next is %q", page.Next)
		}
		after = next
	}
}

func TestAStartListIsReadInPages(t *testing.T) {
	m := newMachine(t)
	race(t, m, `,"competitors":[{"code":"B","name":"Listed","order":2},{"code":"E","order":9},{"code":"F","order":-1}]`)
	for i, data := range []string{
		`{"competitor":"A","order":2}`, `{"competitor":"C","order":3,"name":"Late, with a comma"}`, `{"competitor":"D,1"}`,
		`{"competitor":"E","name":"Entered"}`,
	} {
		mustPost(t, m, fmt.Sprint("c", i), "competitor.define", "G/r", data)
	}
	const want = "F;D,1;A;B Listed;C Late, with a comma;E Entered"
	for _, limit := range []int{1, 2, 3, 5, 6, 100} {
		if got := strings.Join(startListOf(t, m, "G/r", limit), ";"); got != want {
			t.Errorf("in pages of %d: %q; want %q", limit, got, want)
		}
	}
	mustPost(t, m, "match", "contest.define", "G/1",
		`{"kind":"head_to_head","sport":"stones","competitors":[{"code":"B","order":2},{"code":"A","order":1}]}`)
	if got := strings.Join(startListOf(t, m, "G/1", 1), ";"); got != "A;B" {
		t.Errorf("of a match: %q", got)
	}
	for _, competitor := range []string{"C", "E", "F"} {
		if err := m.View(func(v *view.View) error {
			list, _, err := v.Contests(score.Filter{Competitor: competitor}, "", 10)
			if len(list) != 1 || list[0].ContestID != "G/r" {
				t.Errorf("%s is found in %d contests", competitor, len(list))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVoidingACompetitorDefineRestoresTheOneBefore(t *testing.T) {
	for _, kind := range []string{"ranked", "head_to_head"} {
		m := newMachine(t)
		mustPost(t, m, "define", "contest.define", "G/r",
			`{"kind":"`+kind+`","sport":"x","competitors":[{"code":"A","name":"Listed"}]}`)
		mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
		mark := func(id, competitor string) {
			if kind == "ranked" {
				mustPost(t, m, id, "result.set", "G/r",
					`{"competitor":"`+competitor+`","split":"finish","mark":1,"organisation":"OX"}`)
			} else {
				mustPost(t, m, id, "score.play", "G/r", `{"competitor":"`+competitor+`","delta":1}`)
			}
		}
		want := func(code, want string) {
			t.Helper()
			got := "nobody"
			for _, c := range recordOf(t, m, "G/r").Competitors {
				if c.Code == code {
					got = c.Name
				}
			}
			if got != want {
				t.Errorf("%s: %s is %q; want %q", kind, code, got, want)
			}
		}
		mark("m0", "A")
		empty := effects(t, m)
		mustPost(t, m, "n1", "competitor.define", "G/r", `{"competitor":"A","name":"One","organisation":"ON"}`)
		mustPost(t, m, "n2", "competitor.define", "G/r", `{"competitor":"A","name":"Two"}`)
		want("A", "Two")
		mustVoid(t, m, "v2", "G/r", "n2")
		want("A", "One")
		mustVoid(t, m, "w2", "G/r", "v2")
		want("A", "Two")
		mustVoid(t, m, "v1", "G/r", "n1")
		want("A", "Two")
		mustVoid(t, m, "x2", "G/r", "n2")
		want("A", "Listed")
		if got := effects(t, m); got != empty {
			t.Errorf("%s: after the voids the state is\n%s\nwant\n%s", kind, got, empty)
		}
		mustPost(t, m, "late", "competitor.define", "G/r", `{"competitor":"B","name":"Late"}`)
		mustPost(t, m, "later", "competitor.define", "G/r", `{"competitor":"B","name":"Later","order":-1}`)
		mustVoid(t, m, "vlater", "G/r", "later")
		if got := startListOf(t, m, "G/r", 9); !slices.Equal(got, []string{"A Listed", "B Late"}) {
			t.Errorf("%s: the start list is %q", kind, got)
		}
		mark("m1", "B")
		want("B", "Late")
		wantVoidRefused(t, m, score.StatusConflict, "", "G/r", "late")
		mustVoid(t, m, "vm", "G/r", "m1")
		mustVoid(t, m, "vl", "G/r", "late")
		want("B", "nobody")
		wantVoidRefused(t, m, score.StatusConflict, `"m1"`, "G/r", "vm")
		wantSameAfterRestore(t, m)
	}
}

func TestAContestKeepsItsStartListOrIsNotVoided(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "define", "contest.define", "G/r", `{"kind":"ranked","sport":"x"}`)
	mustPost(t, m, "c", "competitor.define", "G/r", `{"competitor":"A","name":"Asterix"}`)
	wantVoidRefused(t, m, score.StatusConflict, "competitor.defines", "G/r", "define")
	mustRefuse(t, m, score.StatusConflict, "has competitors by competitor.define",
		`{"type":"contest.define","contest_id":"G/r","data":{"kind":"head_to_head"}}`)
	mustVoid(t, m, "v", "G/r", "c")
	mustVoid(t, m, "vd", "G/r", "define")
	wantVoidRefused(t, m, score.StatusConflict, "", "G/r", "v")
	mustVoid(t, m, "wd", "G/r", "vd")
	mustVoid(t, m, "w", "G/r", "v")
	if got := startListOf(t, m, "G/r", 5); !slices.Equal(got, []string{"A Asterix"}) {
		t.Errorf("got %q", got)
	}
}

func TestAResetKeepsTheStartList(t *testing.T) {
	m := newMachine(t)
	race(t, m, `,"competitors":[{"code":"A"}]`)
	mustPost(t, m, "c", "competitor.define", "G/r", `{"competitor":"B","name":"Britannix","categories":["M"]}`)
	mustPost(t, m, "m", "result.set", "G/r", `{"competitor":"B","split":"finish","mark":1}`)
	mustPost(t, m, "reset", "contest.reset", "G/r", `{"reason":"wind"}`)
	wantStandings(t, m, "G/r", "A, B; ")
	mustVoid(t, m, "v", "G/r", "reset")
	wantStandings(t, m, "G/r", "B 1, A; ")
	if got := startListOf(t, m, "G/r", 5); !slices.Equal(got, []string{"A", "B Britannix"}) {
		t.Errorf("got %q", got)
	}
}

func tableOf(t *testing.T, m *Machine, competition string) (s medal.Standings) {
	t.Helper()
	if err := m.View(func(v *view.View) error {
		table, _, err := v.Medals(competition)
		s = table.Standings()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestACompetitionDefineLeavesTheRestAsItIs(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "c1", "competition.define", "D23", `{"name":"Games of D23","neutral":["AIN"]}`)
	mustPost(t, m, "a1", "medal.award", "D23/X", `{"award_id":"n","medal":"GOLD","organisation":"AIN"}`)
	mustPost(t, m, "a2", "medal.award", "D23/X", `{"award_id":"t","medal":"SILVER","organisation":"TUR"}`)
	mustPost(t, m, "c2", "competition.define", "D23", `{"name":"The D23 Games"}`)
	s := tableOf(t, m, "D23")
	if s.Name != "The D23 Games" || len(s.Outside) != 1 || s.Outside[0].Organisation != "AIN" || s.Rows[0].Rank != 1 {
		t.Errorf("got %+v", s)
	}
	mustPost(t, m, "c3", "competition.define", "D23",
		`{"organisations":[{"code":"TUR","name":"Turin"},{"code":"AIN","name":"Neutrals"}]}`)
	mustPost(t, m, "c4", "competition.define", "D23", `{"organisations":[{"code":"TUR","name":"Türkiye"}]}`)
	if s := tableOf(t, m, "D23"); s.Rows[0].Name != "Türkiye" || s.Outside[0].Name != "Neutrals" ||
		s.Name != "The D23 Games" {
		t.Errorf("got %+v", s)
	}
	mustVoid(t, m, "v4", "D23", "c4")
	if s := tableOf(t, m, "D23"); s.Rows[0].Name != "Turin" || s.Outside[0].Name != "Neutrals" {
		t.Errorf("got %+v", s)
	}
	mustPost(t, m, "c5", "competition.define", "D23", `{"neutral":[]}`)
	if s := tableOf(t, m, "D23"); len(s.Outside) != 0 || len(s.Rows) != 2 {
		t.Errorf("[] says none; got %+v", s)
	}
	mustPost(t, m, "c6", "competition.define", "D23", `{"organisations":null,"name":null}`)
	if s := tableOf(t, m, "D23"); s.Name != "" || s.Rows[0].Name != "" {
		t.Errorf("got %+v", s)
	}
	mustVoid(t, m, "v5", "D23", "c5")
	mustVoid(t, m, "v6", "D23", "c6")
	if s := tableOf(t, m, "D23"); s.Name != "The D23 Games" || len(s.Outside) != 1 || s.Rows[0].Name != "Turin" {
		t.Errorf("got %+v", s)
	}
	for _, c := range []string{"c1", "c2", "c3"} {
		mustVoid(t, m, "v"+c, "D23", c)
	}
	if s := tableOf(t, m, "D23"); s.Name != "" || len(s.Rows) != 2 || s.Rows[0].Name != "" {
		t.Errorf("got %+v", s)
	}
}

func TestANameOfAnOrganisationBelongsToItsCompetition(t *testing.T) {
	m := newMachine(t)
	for _, c := range []string{"A:Georgia", "B:Georgetown"} {
		id, name, _ := strings.Cut(c, ":")
		mustPost(t, m, "d"+id, "competition.define", id, fmt.Sprintf(`{"organisations":[{"code":"GEO","name":%q}]}`, name))
		mustPost(t, m, "a"+id, "medal.award", id+"/1", `{"award_id":"g","medal":"GOLD","organisation":"GEO"}`)
	}
	for id, want := range map[string]string{"A": "Georgia", "B": "Georgetown"} {
		if s := tableOf(t, m, id); s.Rows[0].Name != want {
			t.Errorf("in %s GEO is %q", id, s.Rows[0].Name)
		}
	}
}
