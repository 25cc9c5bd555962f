package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"laurel/internal/cli"
	"laurel/score"
)

func TestEveryTypeOfEventHasACommand(t *testing.T) {
	t.Parallel()
	cases := map[score.Type]struct {
		args []string
		want string
	}{
		score.TypeCompetitionDefine: {[]string{"define", "competition", "A", "--name", "Games", "--neutral", "PIR,AMA"},
			`{"name":"Games","neutral":["PIR","AMA"]}`},
		score.TypeContestDefine: {[]string{"define", "contest", "A/1", "--kind", "head_to_head", "--sport", "curling",
			"--start-time", "2026-02-09T10:00:00Z",
			"--tiebreak-periods", "SO", "--medal-event", "1",
			"--competitor", `GAU,"name=Gaul, the",organisation=G,type=T`, "--competitor", "ROM"},
			`{"kind":"head_to_head","sport":"curling","start_time":"2026-02-09T10:00:00Z","medal_event":1,"tiebreak_periods":["SO"],"competitors":[{"code":"GAU","name":"Gaul, the","organisation":"G","type":"T","order":1},{"code":"ROM","order":2}]}`},
		score.TypeCompetitorDefine: {[]string{"define", "competitor", "A/2", "--competitor", "GAU", "--name", "Gaul",
			"--categories", "M,M40", "--clear", "organisation,order"},
			`{"competitor":"GAU","name":"Gaul","organisation":null,"order":null,"categories":["M","M40"]}`},
		score.TypeContestStatus: {[]string{"status", "A/2", "--schedule-status", "RUNNING", "--result-status", "LIVE",
			"--period", "END1", "--clock", "1:00", "--reason", "replay"},
			`{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1","clock":"1:00","reason":"replay"}`},
		score.TypeContestDecide: {[]string{"decide", "A/2", "--winner", "GAU", "--decision", "RETIRED",
			"--reason", "hurt"}, `{"winner":"GAU","decision":"RETIRED","reason":"hurt"}`},
		score.TypeContestReset: {[]string{"reset", "A/2", "--reason", "replay"}, `{"reason":"replay"}`},
		score.TypeScorePlay: {[]string{"play", "A/2", "--competitor", "GAU", "--delta", "+2.5",
			"--result", "GAU=2.5,ROM=0", "--stats-delta", "stones=1", "--comment", "well thrown"},
			`{"competitor":"GAU","delta":2.5,"result":{"GAU":2.5,"ROM":0},"stats_delta":{"stones":1},"comment":"well thrown"}`},
		score.TypeScoreSet: {[]string{"set", "A/2", "--result", "GAU=3", "--result", "ROM=-2",
			"--adjustment", "--reason", "jury"}, `{"result":{"GAU":3,"ROM":-2},"adjustment":true,"reason":"jury"}`},
		score.TypeResultSet: {[]string{"mark", "A/3", "--competitor", "7", "--split", "finish", "--mark", "148.3",
			"--category", "F"}, `{"competitor":"7","split":"finish","mark":148.3,"category":"F"}`},
		score.TypeMedalAward: {[]string{"award", "A/1", "--award-id", "A/1#G", "--medal", "GOLD",
			"--organisation", "GAU"}, `{"award_id":"A/1#G","medal":"GOLD","organisation":"GAU"}`},
		score.TypeMedalRevoke: {[]string{"revoke", "A/1", "--award-id", "A/1#G", "--reason", "potion"},
			`{"award_id":"A/1#G","reason":"potion"}`},
		score.TypeEventVoid: {[]string{"void", "A/1", "--voids", "b1-1", "--reason", "touched"},
			`{"voids":"b1-1","reason":"touched"}`},
		score.TypeAlert: {[]string{"alert", "A/1", "--text", "boar"}, `{"text":"boar"}`},
	}
	for _, typ := range score.Types {
		c, ok := cases[typ]
		if !ok {
			t.Errorf("there is no command for %s; add one in event.go, and a case here", typ)
			continue
		}
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			g := group(t, 1)
			before := [][]string{
				{"define", "contest", "A/2", "--kind", "head_to_head", "--sport", "curling", "--competitor", "GAU",
					"--competitor", "ROM"},
				{"status", "A/2", "--schedule-status", "RUNNING"},
				{"alert", "A/1", "--text", "before"},
			}
			switch typ {
			case score.TypeResultSet:
				before[0] = []string{"define", "contest", "A/3", "--kind", "ranked", "--sport", "marathon",
					"--result-type", "TIME"}
				before[1] = []string{"status", "A/3", "--schedule-status", "RUNNING"}
			case score.TypeMedalRevoke:
				before[2] = cases[score.TypeMedalAward].args
			case score.TypeEventVoid:
				before[2] = []string{"alert", "A/1", "--text", "before", "--id", "b1-1"}
			}
			for _, setup := range before {
				if code, _, errs := bard(t.Context(), g, nil, setup...); code != cli.ExitOK {
					t.Fatalf("exit code %d: %s", code, errs)
				}
			}
			code, out, errs := bard(t.Context(), g, nil,
				append(c.args, "--id", "e1", "--source", "jury", "--time", "2026-02-09T10:16:40Z")...)
			// On a busy machine it may be posted twice.
			if code != cli.ExitOK || !strings.HasSuffix(out, " at revision 4, id e1\n") {
				t.Fatalf("exit code %d, stdout %q, stderr %q", code, out, errs)
			}
			e := g.Events("A", "A/1", "A/2", "A/3")[3]
			data, err := score.MarshalData(e.Data)
			if err != nil {
				t.Fatal(err)
			}
			if e.Type != typ || string(data) != c.want || e.ID != "e1" || e.Source != "jury" || e.Time.Year() != 2026 {
				t.Errorf("got %+v with data %s; want %s", e, data, c.want)
			}
		})
	}
}

func TestAnEventRepeatedWithItsIDIsADuplicate(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	for _, want := range []string{"applied", "duplicate"} {
		code, out, errs := bard(t.Context(), g, nil, "alert", "A/1", "--text", "boar", "--id", "e1", "--json")
		var r score.Result
		if err := json.Unmarshal([]byte(out), &r); code != cli.ExitOK || err != nil || r.Status != want ||
			r.Revision != 1 {
			t.Errorf("exit code %d, stdout %q, stderr %q; want %s", code, out, errs, want)
		}
	}
}

func TestARefusedEventIsReportedWithItsReason(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	for want, args := range map[string][]string{
		"invalid_event: data.medal: ": {"award", "A/1", "--award-id", "x", "--medal", "TIN",
			"--organisation", "GAU"},
		"invalid_event: data.delta: ":               {"play", "A/1", "--competitor", "GAU"},
		"invalid_event: contest_id: ":               {"alert", "", "--text", "boar"},
		"not_found: contest_id: ":                   {"set", "A/1", "--result", "GAU=1"},
		"invalid_event: source: missing beside seq": {"alert", "A/1", "--text", "boar", "--seq", "5"},
	} {
		if code, _, errs := bard(t.Context(), g, nil, args...); code != cli.ExitFailed ||
			!strings.Contains(errs, want) {
			t.Errorf("bard %q: exit code %d, stderr %q; want %q", args, code, errs, want)
		}
	}
}

func TestInvalidFlagsAreWrongUsage(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	for _, args := range [][]string{{"play", "A/1", "--delta", "two"}, {"play", "A/1", "--result", "GAU"},
		{"set", "A/1", "--result", "GAU=1,GAU=2"}, {"set", "A/1", "--result", "=1"},
		{"alert", "A/1", "--time", "noon"}, {"define", "contest", "A/1", "--start-time", "noon"},
		{"define", "contest", "A/1", "--competitor", "GAU,nom=x"}, {"define", "game", "A"}, {"play"}} {
		if code, _, errs := bard(t.Context(), g, nil, args...); code != cli.ExitUsage {
			t.Errorf("bard %q: exit code %d, stderr %q; want %d", args, code, errs, cli.ExitUsage)
		}
	}
	if got := len(g.Events("A", "A/1", "A/2")); got != 0 {
		t.Errorf("%d events were posted; want none", got)
	}
}

func TestTheEnvironmentDoesNotChangeAnEvent(t *testing.T) {
	t.Setenv("LAUREL_ID", "f1") // a frontend's
	t.Setenv("LAUREL_COMMENT", "from elsewhere")
	g := group(t, 1)
	if code, _, errs := bard(t.Context(), g, nil, "alert", "A/1", "--text", "boar"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if e := g.Events("A", "A/1", "A/2")[0]; e.ID == "f1" || e.Data.(*score.Alert).Comment != "" {
		t.Errorf("posted id %q, comment %q", e.ID, e.Data.(*score.Alert).Comment)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			check(sub)
		}
		if c.Runnable() && (c.Example == "" || c.Short == "" ||
			!slices.ContainsFunc(strings.Split(c.Example, "\n"),
				func(l string) bool { return strings.Contains(l, c.CommandPath()) })) {
			t.Errorf("%s has no example of itself", c.CommandPath())
		}
	}
	check(newBardCommand())
}

func TestAnEmptyFlagOfADefinitionClears(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	for _, args := range [][]string{
		{"define", "contest", "A/1", "--kind", "head_to_head", "--sport", "x", "--venue", "Rome", "--title", "T", "--phase", "final",
			"--medal-event", "1", "--tiebreak-periods", "SO", "--competitor", "GAU"},
		{"define", "contest", "A/1", "--venue", "", "--medal-event", "0", "--tiebreak-periods", "", "--clear", "phase",
			"--phase", "", "--title", "Final", "--reason", "", "--comment", ""},
		{"define", "competitor", "A/1", "--competitor", "GAU", "--order", "0", "--name", ""},
	} {
		if code, _, errs := bard(t.Context(), g, nil, args...); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	for i, want := range []string{
		`{"title":"Final","phase":null,"venue":null,"medal_event":null,"tiebreak_periods":null}`,
		`{"competitor":"GAU","name":null,"order":null}`,
	} {
		data, err := score.MarshalData(g.Events("A/1")[i+1].Data)
		if err != nil || string(data) != want {
			t.Errorf("got %s, %v; want %s", data, err, want)
		}
	}
	if code, _, errs := bard(t.Context(), g, nil, "define", "contest", "A/1", "--kind", ""); code != cli.ExitFailed ||
		!strings.Contains(errs, "cannot be cleared") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
