package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/ranking"
)

// shownOf returns what the leaderboard of G/r and its record show of the competitors.
func shownOf(t *testing.T, m *Machine) (board, record string) {
	t.Helper()
	var rows []string
	for _, category := range []string{"", "F"} {
		p := boardOf(t, m, "G/r", &ranking.Query{Category: category, Limit: 100})
		for _, r := range p.Rows {
			categories := strings.ReplaceAll(fmt.Sprint(r.Categories), " ", "")
			shown := strings.Fields(strings.Join([]string{r.Competitor, r.Name, r.Organisation, categories}, " "))
			rows = append(rows, strings.Join(shown, " "))
		}
		rows = append(rows, "|")
	}
	return strings.TrimSuffix(strings.Join(rows, " "), " |"), contestJSON(t, m, "G/r")
}

// However a competitor comes to be known, the leaderboard in memory shows at once what is
// known of it: what competitor.defines say, else what the list says, else what its marks say.
// So does one of a machine that was restored before that, or after.
func TestABoardShowsWhatIsKnownOfACompetitorNow(t *testing.T) {
	m := newMachine(t)
	race(t, m, `,"sort":"asc","splits":["half","finish"],`+
		`"competitors":[{"code":"A","name":"Asterix","organisation":"OA"},{"code":"B"}]`)
	for i, c := range []string{"A", "B"} {
		mark := fmt.Sprintf(`{"competitor":%q,"split":"finish","mark":%d,"category":"F","organisation":"OX"}`, c, i+1)
		mustPost(t, m, "mark "+c, "result.set", "G/r", mark)
	}
	for i, step := range []struct{ id, kind, data, want string }{
		{"", "alert", `{"text":"before"}`, "A Asterix OA F B OX F | A Asterix OA F B OX F"},
		{"name", "competitor.define", `{"competitor":"B","name":"Obelix","categories":["M"]}`,
			"A Asterix OA F B Obelix OX F,M | A Asterix OA F B Obelix OX F,M"},
		{"team", "competitor.define", `{"competitor":"A","organisation":"OE","type":"T","order":9}`,
			"A Asterix OE F B Obelix OX F,M | A Asterix OE F B Obelix OX F,M"},
		{"no name", "competitor.define", `{"competitor":"B","name":null,"categories":null}`,
			"A Asterix OE F B OX F | A Asterix OE F B OX F"},
		{"", "event.void", `{"voids":"no name","reason":"r"}`,
			"A Asterix OE F B Obelix OX F,M | A Asterix OE F B Obelix OX F,M"},
		{"late", "competitor.define", `{"competitor":"C","name":"Getafix"}`,
			"A Asterix OE F B Obelix OX F,M | A Asterix OE F B Obelix OX F,M"},
		{"mark C", "result.set", `{"competitor":"C","split":"finish","mark":9,"organisation":"OX"}`,
			"A Asterix OE F B Obelix OX F,M C Getafix OX | A Asterix OE F B Obelix OX F,M"},
		{"list", "contest.define",
			`{"competitors":[{"code":"B","name":"Bellix","organisation":"OB"},{"code":"A","name":"Alix"}]}`,
			"A Alix OE F B Obelix OB F,M C Getafix OX | A Alix OE F B Obelix OB F,M"},
		{"", "event.void", `{"voids":"name","reason":"r"}`,
			"A Alix OE F B Bellix OB F C Getafix OX | A Alix OE F B Bellix OB F"},
		{"", "event.void", `{"voids":"team","reason":"r"}`,
			"A Alix OA F B Bellix OB F C Getafix OX | A Alix OA F B Bellix OB F"},
		{"nobody", "contest.define", `{"competitors":null,"reason":"r"}`, "A OX F B OX F C Getafix OX | A OX F B OX F"},
		{"again", "competitor.define", `{"competitor":"A","name":"Apollix"}`,
			"A Apollix OX F B OX F C Getafix OX | A Apollix OX F B OX F"},
		{"sort", "contest.define", `{"sort":"desc","reason":"r"}`,
			"C Getafix OX B OX F A Apollix OX F | B OX F A Apollix OX F"},
		{"reset", "contest.reset", `{"reason":"r"}`, "|"},
		{"renamed", "competitor.define", `{"competitor":"A","name":"Arverix"}`, "|"},
		{"", "event.void", `{"voids":"reset","reason":"r"}`,
			"C Getafix OX B OX F A Arverix OX F | B OX F A Arverix OX F"},
		{"", "event.void", `{"voids":"sort","reason":"r"}`,
			"A Arverix OX F B OX F C Getafix OX | A Arverix OX F B OX F"},
		{"", "event.void", `{"voids":"nobody","reason":"r"}`,
			"A Arverix OA F B Bellix OB F C Getafix OX | A Arverix OA F B Bellix OB F"},
		{"", "event.void", `{"voids":"list","reason":"r"}`,
			"A Arverix OA F B OX F C Getafix OX | A Arverix OA F B OX F"},
		{"games", "competition.define", `{"name":"Games","organisations":[{"code":"OA","name":"Armorica"}]}`,
			"A Arverix OA F B OX F C Getafix OX | A Arverix OA F B OX F"},
	} {
		name := fmt.Sprintf("step %d, %s %s", i, step.kind, step.data)
		shownOf(t, m) // it is in memory from now on
		before := restoredFrom(t, m)
		shownOf(t, before)
		id, contest := step.id, "G/r"
		if id == "" {
			id = name
		}
		if step.kind == "competition.define" {
			contest = "G"
		}
		mustPost(t, m, id, step.kind, contest, step.data)
		mustPost(t, before, id, step.kind, contest, step.data)
		_, wantRecord := shownOf(t, m)
		for how, m := range map[string]*Machine{
			"in memory": m, "loaded from a snapshot before": before, "loaded from a snapshot after": restoredFrom(t, m),
		} {
			board, record := shownOf(t, m)
			if board != step.want {
				t.Errorf("%s: the board %s is\n%s\nwant\n%s", name, how, board, step.want)
			}
			if record != wantRecord {
				t.Errorf("%s: the record %s is\n%s\nin memory it is\n%s", name, how, record, wantRecord)
			}
		}
		if snapshot := snapshotOf(t, before); string(snapshot) != string(snapshotOf(t, m)) {
			t.Errorf("%s: the state after a snapshot is different", name)
		}
	}
}

func restoredFrom(t *testing.T, m *Machine) *Machine {
	t.Helper()
	restored := newMachine(t)
	if err := restored.Restore(strings.NewReader(string(snapshotOf(t, m)))); err != nil {
		t.Fatal(err)
	}
	return restored
}

// A start list is beside the definition of its race, so it stands with any definition, also
// with one that came later.
func TestAStartListStandsWithALaterDefinition(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "first", "contest.define", "G/r", `{"kind":"ranked","sport":"race"}`)
	mustPost(t, m, "entry", "competitor.define", "G/r", `{"competitor":"A","name":"Asterix"}`)
	mustPost(t, m, "second", "contest.define", "G/r", `{"kind":"ranked","sport":"running"}`)
	mustVoid(t, m, "v1", "G/r", "first")
	if got := strings.Join(startListOf(t, m, "G/r", 9), ";"); got != "A Asterix" {
		t.Errorf("the start list is %q", got)
	}
	mustVoid(t, m, "v2", "G/r", "entry")
	mustVoid(t, m, "v3", "G/r", "v2") // the entry comes before all definitions that stand
	if got := strings.Join(startListOf(t, m, "G/r", 9), ";"); got != "A Asterix" {
		t.Errorf("the start list is %q after its void was voided", got)
	}
	wantVoidRefused(t, m, score.StatusConflict, "would not be defined", "G/r", "second")
	wantSameAfterRestore(t, m)
}
