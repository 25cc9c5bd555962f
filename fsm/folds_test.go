package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
)

// postMany posts n events with the ids p1, p2 and so on, many in one entry. text makes the
// type and the data of each.
func postMany(t testing.TB, m *Machine, contest string, n int, text func(i int) (kind, data string)) {
	t.Helper()
	for from := 1; from <= n; from += 1000 {
		var events []score.Event
		for i := from; i <= min(n, from+999); i++ {
			kind, data := text(i)
			events = append(events, decodeEvent(t, `{"id":"p%d","source":"feed","type":%q,"contest_id":%q,"data":%s}`,
				i, kind, contest, data))
		}
		results := applyPosts(t, m, score.Post{Events: events})[0]
		if p := results[len(results)-1].Problem; p != nil {
			t.Fatalf("event %d: %v", from, p)
		}
	}
}

func postPlays(t testing.TB, m *Machine, n int) {
	t.Helper()
	postMany(t, m, "G/1", n, func(int) (string, string) { return "score.play", `{"competitor":"A","delta":1}` })
}

// voidsOf returns events that void the events with the ids, each once.
func voidsOf(t testing.TB, contest string, ids ...string) (list []score.Event) {
	t.Helper()
	for _, id := range ids {
		list = append(list, decodeEvent(t, `{"source":"desk","type":"event.void","contest_id":%q,`+
			`"data":{"voids":%q,"reason":"wrong"}}`, contest, id))
	}
	return list
}

func TestTheVoidsOfOnePostFoldAtMostSoManyEvents(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	postPlays(t, m, maxFolds/2)
	two := voidsOf(t, "G/1", "p1", "p2")
	before := stateOf(t, m)
	results := applyPosts(t, m, score.Post{Events: two})[0]
	if len(results) != 1 || results[0].Problem == nil || results[0].Problem.Code != score.TooLarge ||
		*results[0].Problem.Index != 1 || results[0].Folded < maxFolds {
		t.Fatalf("two voids in one post: %+v", results)
	}
	if stateOf(t, m) != before {
		t.Error("a refused post has changed the state")
	}
	results = applyPosts(t, m, score.Post{Events: two, Mode: score.UntilRefused})[0]
	if len(results) != 2 || results[0].Status != score.Applied || results[1].Problem == nil ||
		results[1].Problem.Code != score.TooLarge {
		t.Fatalf("two voids of a stream: %+v", results)
	}
	results = applyPosts(t, m, score.Post{Events: two, Mode: score.UntilRefused})[0]
	if len(results) != 2 || results[0].Status != score.Duplicate || results[0].Folded != 0 ||
		results[1].Status != score.Applied {
		t.Errorf("the second void in another post: %+v", results)
	}
	wantResult(t, m, "G/1", "A", fmt.Sprint(maxFolds/2-2))
}

func TestAnEventOfALargeContestCanBeVoided(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	postPlays(t, m, maxFolds+1)
	r := mustVoid(t, m, "v", "G/1", "p7")
	if r.Folded <= maxFolds {
		t.Errorf("the void folds %d events; want more than %d", r.Folded, maxFolds)
	}
	wantResult(t, m, "G/1", "A", fmt.Sprint(maxFolds))
}

func TestAVoidCountsTheRowsThatItReads(t *testing.T) {
	const marks = 4000
	m := newMachine(t)
	mustPost(t, m, "define", "contest.define", "G/R", `{"kind":"ranked","sport":"race"}`)
	mustPost(t, m, "run", "contest.status", "G/R", `{"schedule_status":"RUNNING"}`)
	postMany(t, m, "G/R", marks, func(i int) (string, string) {
		return "result.set", fmt.Sprintf(`{"competitor":"c%d","split":"finish","mark":%d}`, i, i)
	})
	r := mustVoid(t, m, "v", "G/R", "p1") // reads the contest's timeline twice
	if want := 2 * marks / rowsPerFold; r.Folded < want || r.Folded > want+20 {
		t.Errorf("the void of a mark folds %d events; want about %d", r.Folded, want)
	}
}

// Anybody who may post to a contest can send alerts, and they change nothing.
func TestAlertsAreNotFoldedAgain(t *testing.T) {
	const alerts = 800
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	postMany(t, m, "G/1", alerts, func(int) (string, string) { return "alert", `{"text":"rain"}` })
	if r := mustVoid(t, m, "v1", "G/1", "g1"); r.Folded > alerts/rowsPerFold+10 {
		t.Errorf("a void among %d alerts folds %d events", alerts, r.Folded)
	}
	wantResult(t, m, "G/1", "A", "0")
	mustVoid(t, m, "v2", "G/1", "p500")
	mustVoid(t, m, "w2", "G/1", "v2")
	mustVoid(t, m, "w1", "G/1", "v1")
	wantResult(t, m, "G/1", "A", "1")
	wantVoided(t, m, "G/1", "v1:w1 v2:w2")
	wantVoidRefused(t, m, score.StatusConflict, "voided already", "G/1", "v2")
	mustVoid(t, m, "v3", "G/1", "p500")
}

// A definition with another list has the marks searched for a competitor who is not on it.
func TestDefinitionsThatHaveMarksReadAreBounded(t *testing.T) {
	const competitors, splits = 500, 8
	m := newMachine(t)
	var codes, names []string
	for i := range competitors {
		codes = append(codes, fmt.Sprintf(`{"code":"c%d"}`, i))
	}
	for i := range splits {
		names = append(names, fmt.Sprintf(`"s%d"`, i))
	}
	definition := func(extra string) string {
		return fmt.Sprintf(`{"kind":"ranked","sport":"race","splits":[%s],"competitors":[%s%s]}`,
			strings.Join(names, ","), strings.Join(codes, ","), extra)
	}
	mustPost(t, m, "define", "contest.define", "G/R", definition(""))
	mustPost(t, m, "run", "contest.status", "G/R", `{"schedule_status":"RUNNING"}`)
	postMany(t, m, "G/R", competitors*splits, func(i int) (string, string) {
		return "result.set", fmt.Sprintf(`{"competitor":"c%d","split":"s%d","mark":%d}`, i%competitors, i%splits, i)
	})
	var events []score.Event
	extra := ""
	for i := range 100 {
		extra += fmt.Sprintf(`,{"code":"late%d"}`, i)
		events = append(events, decodeEvent(t, `{"id":"d%d","source":"desk","type":"contest.define",`+
			`"contest_id":"G/R","data":%s}`, i, definition(extra)))
	}
	results := applyPosts(t, m, score.Post{Events: events, Mode: score.UntilRefused})[0]
	last := results[len(results)-1]
	folded := 0
	for _, r := range results {
		folded += r.Folded
	}
	if last.Problem == nil || last.Problem.Code != score.TooLarge || len(results) < 2 || folded > 2*maxFolds {
		t.Errorf("%d definitions are answered, the last by %+v; %d marks are read", len(results), last, folded)
	}
}

func TestTheOrganisationsOfACompetitionAreBounded(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m) // OA and OB
	postMany(t, m, "G/1", maxOrganisations-3, func(i int) (string, string) {
		return "medal.award", fmt.Sprintf(`{"award_id":"a%d","medal":"GOLD","organisation":"o%d"}`, i, i)
	})
	mustPost(t, m, "define2", "contest.define", "G/R", `{"kind":"ranked","sport":"race"}`)
	mustPost(t, m, "run2", "contest.status", "G/R", `{"schedule_status":"RUNNING"}`)
	mark := func(competitor, organisation string) string {
		return fmt.Sprintf(`{"competitor":%q,"split":"finish","mark":1,"organisation":%q}`, competitor, organisation)
	}
	mustPost(t, m, "last", "result.set", "G/R", mark("x", "last"))
	for kind, data := range map[string]string{
		"result.set":         mark("y", "more"),
		"medal.award":        `{"award_id":"more","medal":"GOLD","organisation":"more"}`,
		"competition.define": `{"neutral":["more"]}`,
		"contest.define":     `{"kind":"ranked","sport":"race","competitors":[{"code":"x","organisation":"more"}]}`,
	} {
		contest := "G/R"
		if kind == "competition.define" {
			contest = "G"
		}
		mustRefuse(t, m, score.TooLarge, "10001 organisations",
			`{"source":"feed","type":%q,"contest_id":%q,"data":%s}`, kind, contest, data)
	}
	mustPost(t, m, "known", "result.set", "G/R", mark("z", "o1"))
	mustPost(t, m, "elsewhere", "competition.define", "H", `{"neutral":["more"]}`)
	// Only one entrant of this list is of a new organisation, so a place is enough.
	mustVoid(t, m, "v", "G/R", "last")
	mustPost(t, m, "many", "contest.define", "G/S", `{"kind":"ranked","sport":"race","competitors":`+
		`[{"code":"a","organisation":"more"},{"code":"b","organisation":"more"},{"code":"c","organisation":"o2"}]}`)
}

func TestAnOrganisationIsFoundInDataOnlyByItsName(t *testing.T) {
	of := func(names ...string) map[string]bool {
		set := map[string]bool{}
		for _, name := range names {
			set[name] = true
		}
		return set
	}
	for data, want := range map[string]bool{
		`{"competitor":"A","organisation":"GAU"}`:                                  true,
		`{"competitors":[{"code":"x","organisation":"R"},{"organisation":"GAU"}]}`: true,
		`{"competitor":"GAU","organisation":"GAU2"}`:                               false,
		`{"comment":"\"organisation\":\"GAU\"","organisation":"R"}`:                false,
		`{"result":{"organisation":1,"GAU":2}}`:                                    false,
		`{"organisation":"GA\"U"}`:                                                 false,
		`{"organisation":`:                                                         false,
		`{"organisation":"GAU`:                                                     false,
		`{"organisation":"GAU\`:                                                    false,
		``:                                                                         false,
	} {
		if got := namesAny([]byte(data), of("GAU")); got != want {
			t.Errorf("%s: got %t", data, got)
		}
	}
	if !namesAny([]byte(`{"organisation":"G\"\\\u0001é"}`), of("G\"\\\u0001é")) {
		t.Error("a name with escapes is not found")
	}
}

func TestTheOnlyMarkOfAnOrganisationCanBeVoidedWhateverItsName(t *testing.T) {
	for _, name := range []string{`plain`, `with "quotes" and \ strokes`, `<Größe>`, `{"organisation":"x"}`} {
		m := newMachine(t)
		mustPost(t, m, "define", "contest.define", "G/R", `{"kind":"ranked","sport":"race"}`)
		mustPost(t, m, "run", "contest.status", "G/R", `{"schedule_status":"RUNNING"}`)
		mark := func(competitor string) string {
			return fmt.Sprintf(`{"competitor":%q,"split":"finish","mark":1,"organisation":%q}`, competitor, name)
		}
		mustPost(t, m, "m1", "result.set", "G/R", mark("A"))
		mustPost(t, m, "m2", "result.set", "G/R", mark("B"))
		for i, known := range []bool{true, false} {
			mustVoid(t, m, fmt.Sprint("v", i), "G/R", fmt.Sprint("m", i+1))
			if err := m.View(func(v *view.View) error {
				table, _, err := v.Medals("G")
				if got := table.Knows(name); got != known {
					t.Errorf("after %d voids the table knows %q: %t", i+1, name, got)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
