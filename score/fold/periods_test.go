package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
)

const game = `{"kind":"head_to_head","sport":"basketball","tiebreak_periods":["PSO"],"competitors":[
	{"code":"RED","name":"Reds","order":1},{"code":"BLU","name":"Blues","order":2}]}`

// live returns a contest that is RUNNING, whose feed has named no period.
func live(t *testing.T, data string) *contestTest {
	f := define(t, data)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING","result_status":"LIVE"}`)
	return f
}

// step folds an event in short form: "RED 20 Q1 05:00" is a play, "set RED 20 Q1" a
// score.set with a reason, "status RUNNING Q1 05:00" a contest.status, "-" being nothing.
func (f *contestTest) step(text string) {
	f.t.Helper()
	at := func(words []string, i int) string {
		if i < len(words) && words[i] != "-" {
			return words[i]
		}
		return ""
	}
	switch words := strings.Fields(text); words[0] {
	case "status":
		f.mustFold(score.TypeContestStatus, fmt.Sprintf(`{"schedule_status":%q,"period":%q,"clock":%q}`,
			at(words, 1), at(words, 2), at(words, 3)))
	case "set":
		f.mustFold(score.TypeScoreSet, fmt.Sprintf(`{"result":{%q:%s},"period":%q,"reason":"recount"}`,
			words[1], words[2], at(words, 3)))
	default:
		f.mustFold(score.TypeScorePlay, fmt.Sprintf(`{"competitor":%q,"delta":%s,"period":%q,"clock":%q}`,
			words[0], words[1], at(words, 2), at(words, 3)))
	}
}

func (f *contestTest) steps(text string) *contestTest {
	f.t.Helper()
	for s := range strings.SplitSeq(text, "; ") {
		f.step(s)
	}
	return f
}

// lineScore returns the periods of the record and the points of the sides in them:
// "Q1 Q2 | RED 9 0 | BLU 0 7".
func (f *contestTest) lineScore() string {
	f.t.Helper()
	r := f.c.Record()
	parts := []string{strings.Join(r.Periods, " ")}
	for _, s := range r.Sides() {
		line := s.Code
		if len(s.Periods) != len(r.Periods) {
			f.t.Errorf("%s has points in %v; the periods are %v", s.Code, s.Periods, r.Periods)
		}
		sum := s.Adjustment
		for i, p := range s.Periods {
			line += " " + p.Value.String()
			sum += p.Value
			if p.Code != r.Periods[i] {
				f.t.Errorf("%s has points in %v; the periods are %v", s.Code, s.Periods, r.Periods)
			}
		}
		if len(r.Periods) > 0 && sum != *s.Result {
			f.t.Errorf("the periods of %s add up to %s with the adjustment, and the result is %s", s.Code, sum, s.Result)
		}
		if s.Adjustment != 0 {
			line += " adjustment " + s.Adjustment.String()
		}
		parts = append(parts, strings.TrimSpace(line+" "+r.TiebreakText(&s)))
	}
	return strings.Join(parts, " | ")
}

func (f *contestTest) present() string {
	r := f.c.Record()
	return strings.TrimSpace(r.Period + " " + r.Clock)
}

func TestPlaysAndSetsForAnEarlierPeriodMoveNeitherPeriodNorClock(t *testing.T) {
	const begun = "RED 20 Q1; BLU 18 Q2; status - Q3 05:00; "
	for _, c := range []struct{ steps, want string }{
		{begun + "RED -1 Q1", "Q3 05:00"},
		{begun + "RED -1 Q1 02:11", "Q3 05:00"},
		{begun + "BLU 3 Q2 00:01", "Q3 05:00"},
		{begun + "set RED 25 Q1", "Q3 05:00"},
		{begun + "RED 2 Q3 04:10", "Q3 04:10"},
		{begun + "RED 2 - 04:10", "Q3 04:10"},
		{begun + "RED 2 Q4 12:00; RED 1 Q3 00:01", "Q4 12:00"},
		{begun + "RED 2 Q4; BLU 1 OT; RED -2 Q4 00:03", "OT"},
		{begun + "BLU 1 PSO; RED 1 Q3 01:00", "PSO"}, // a goal of the match during the shoot-out
		{begun + "status - Q2; RED 1 Q1", "Q2"},      // a bard has moved it back
		{begun + "status - Q2; RED 1 Q3 04:00", "Q3 04:00"},
		{"RED 1 H2 50'; BLU 1 H1 44'", "H2 50'"}, // nobody has named H1 before
		{"RED 1 END3; BLU 1 END2; RED 1 END2", "END3"},
		{"RED 1 2H 50'; BLU 1 1H 44'", "2H 50'"},
		{"RED 1 END3; BLU 1 END6; RED 1 END4", "END6"}, // nobody has named END5
		{"RED 1 I09; BLU 1 I08; RED 1 I10; BLU 1 I09", "I10"},
		{"RED 1 60kg; BLU 1 57kg", "57kg"},
		{"RED 1 2nd; BLU 1 1st", "1st"}, // no numbers that follow each other
		{"RED 1 SHORT; BLU 1 FREE 2:00; RED 1 SHORT 1:00", "FREE 2:00"},
		{"RED 1 9; BLU 1 10; RED 1 9", "10"},
		{"RED 1 157; BLU 1 285; RED 3 125", "125"}, // the weights of a dual meet
		{"set RED 1 Q1; set BLU 1 Q2; RED 1 Q2 05:00", "Q2 05:00"},
		{"set RED 1 Q1; set BLU 1 Q2; RED 1 Q1 05:00", "Q2"},
		{"status - Q1 10:00; set RED 9 Q1; set BLU 7 Q2", "Q2"}, // a feed of totals
		{begun + "set RED 25 Q2; set RED 26 Q3", "Q3 05:00"},
		{begun + "status FINISHED FT; set RED 25 Q4", "FT"},
		{"RED 1 H1 44'; status SCHEDULED_BREAK HT 45'; BLU 1 H1 43'", "HT 45'"},
		{"RED 1 H1 44'; status SCHEDULED_BREAK HT 45'; status RUNNING; BLU 1 H1 43'", "HT 45'"},
		{"RED 1 H1 44'; status SCHEDULED_BREAK HT 45'; status RUNNING; BLU 1 H2 46'", "H2 46'"},
		{"RED 1 H1 44'; status FINISHED FT 90'; BLU 1 H2 80'", "FT 90'"},
	} {
		if got := live(t, game).steps(c.steps).present(); got != c.want {
			t.Errorf("%s: at %q; want %q", c.steps, got, c.want)
		}
	}
}

func TestTheClockOfAPeriodIsNotThatOfTheNext(t *testing.T) {
	for _, c := range []struct{ steps, want string }{
		{"RED 1 H1 44'; status SCHEDULED_BREAK HT", "HT"},
		{"RED 1 H1 44'; status SCHEDULED_BREAK HT; status RUNNING H2", "H2"},
		{"RED 1 H1 44'; status SCHEDULED_BREAK HT; status RUNNING H2; BLU 1 - 46'", "H2 46'"},
		{"RED 1 H2 88'; RED 1 PSO", "PSO"},
		{"RED 1 H2 88'; status RUNNING H2", "H2 88'"},
		{"RED 1 H2 88'; status FINISHED", "H2 88'"},
		{"RED 1 H2 88'; RED 1 H2", "H2 88'"},
		{"status - - 1'; RED 1 H1", "H1 1'"}, // of no other period
	} {
		if got := live(t, game).steps(c.steps).present(); got != c.want {
			t.Errorf("%s: at %q; want %q", c.steps, got, c.want)
		}
	}
}

func TestPeriodsAreInTheOrderInWhichTheyBegan(t *testing.T) {
	for _, c := range []struct{ steps, want string }{
		{"status RUNNING", " | RED | BLU"},
		{"RED 9 Q1; BLU 7 Q2; BLU 4 Q3; RED 1 Q4", "Q1 Q2 Q3 Q4 | RED 9 0 0 1 | BLU 0 7 4 0"},
		{"RED 9 Q1; BLU 7 Q2; BLU 4 Q3; RED 1 Q4; RED 5 Q4", "Q1 Q2 Q3 Q4 | RED 9 0 0 6 | BLU 0 7 4 0"},
		{"RED 1 OT; BLU 1 2; RED 1 1", "OT 2 1 | RED 1 0 1 | BLU 0 1 0"},
		{"RED 1 9; BLU 1 10; RED 2 11", "9 10 11 | RED 1 0 2 | BLU 0 1 0"},
		{"status - H1; status - H2; BLU 1 H2", "H1 H2 | RED 0 0 | BLU 0 1"}, // nobody scored in H1
		{"status - H1; status SCHEDULED_BREAK HT; status RUNNING H2; status FINISHED FT", "H1 H2 | RED 0 0 | BLU 0 0"},
		{"RED 1 END2; BLU 1 END3; RED 2 END1; BLU 5 END2", "END1 END2 END3 | RED 2 1 0 | BLU 0 5 1"},
		{"RED 1 END1; RED 1 END6; RED 1 OT1; BLU 1 END4; BLU 2 END2",
			"END1 END2 END4 END6 OT1 | RED 1 0 0 1 1 | BLU 0 2 1 0 0"},
		{"RED 1 H17; BLU 1 H18; RED 1 H1; BLU 1 H2; RED 1 H4; BLU 1 H3", // holes, from the 17th on
			"H17 H18 H1 H2 H3 H4 | RED 1 0 1 0 0 1 | BLU 0 1 0 1 1 0"},
		{"RED 1 W157; BLU 1 W285; RED 3 W125; RED 1 W133", // weights, from a drawn one on
			"W157 W285 W125 W133 | RED 1 0 3 1 | BLU 0 1 0 0"},
		{"set RED 3 H1; set RED 5 H2; set BLU 1 H1", "H1 H2 | RED 3 2 | BLU 1 0"},
		{"RED 2 H1; RED -2 H1; BLU 1 H2", "H1 H2 | RED 0 0 | BLU 0 1"},
		{"RED 1 H1; status SCHEDULED_BREAK HT; BLU 1 -; status FINISHED FT; BLU 2 -", "H1 | RED 1 | BLU 3"},
		{"RED 1 H1; RED 1 PSO; BLU 2 H2", "H1 H2 | RED 1 0 (1) | BLU 0 2 (0)"},
	} {
		if got := live(t, game).steps(c.steps).lineScore(); got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.steps, got, c.want)
		}
	}
}

func TestAPeriodThatIsNamedBeforeTheStartBeginsWithIt(t *testing.T) {
	f := define(t, game).steps("status GETTING_READY Q1; status RUNNING")
	if got := f.lineScore(); got != "Q1 | RED 0 | BLU 0" {
		t.Errorf("as it begins: %s", got)
	}
	if got := f.steps("RED 2 -").lineScore(); got != "Q1 | RED 2 | BLU 0" {
		t.Error(got)
	}
}

func TestAShootOutStandsApart(t *testing.T) {
	f := live(t, game).steps("RED 1 H1; BLU 1 H2")
	if r := f.c.Record(); r.TiebreakPeriods != nil || r.TiebreakText(&r.Competitors[0]) != "" {
		t.Errorf("before the shoot-out there is %v", r.TiebreakPeriods)
	}
	f.step("status - PSO")
	if got := f.lineScore(); got != "H1 H2 | RED 1 0 (0) | BLU 0 1 (0)" {
		t.Errorf("as it begins: %s", got)
	}
	f.steps("BLU 3 PSO; set BLU 4 PSO; RED 1 -")
	if got := f.lineScore(); got != "H1 H2 | RED 1 0 (1) | BLU 0 1 (4)" {
		t.Errorf("later: %s", got)
	}
	if r := f.c.Record(); len(r.TiebreakPeriods) != 1 || r.TiebreakPeriods[0] != "PSO" {
		t.Errorf("the tie-break periods are %v", r.TiebreakPeriods)
	}
}

func TestASetWithoutAPeriodIsRefusedIfThePeriodsWouldNoLongerAddUp(t *testing.T) {
	f := live(t, game).steps("RED 20 Q1; BLU 18 Q2; BLU 3 PSO")
	f.wantRefused(score.TypeScoreSet, `{"result":{"RED":25},"reason":"recount"}`, score.TotalMismatch, "data.period",
		`"RED" would have 25, but its periods add up to 20 (Q1 20, Q2 0); `+
			"give the period of the other 5, or adjustment: true if they are in none")
	f.wantRefused(score.TypeScoreSet, `{"result":{"BLU":18,"RED":0}}`, score.TotalMismatch, "data.period",
		`"RED" would have 0, but its periods add up to 20 (Q1 20, Q2 0); give the period of the other -20`)
	f.mustFold(score.TypeScoreSet, `{"result":{"RED":20,"BLU":18}}`) // they add up
	f.mustFold(score.TypeScoreSet, `{"result":{"RED":25},"adjustment":true,"reason":"recount"}`)
	if got := f.lineScore(); got != "Q1 Q2 | RED 20 0 adjustment 5 (0) | BLU 0 18 (3)" {
		t.Error(got)
	}
	f.mustFold(score.TypeScoreSet, `{"result":{"RED":25}}`) // it changes nothing
	f.wantRefused(score.TypeScoreSet, `{"result":{"RED":24}}`, score.TotalMismatch, "data.period", "the other 4")
	f.step("set RED 30 Q2") // the period gets the difference
	if got := f.lineScore(); got != "Q1 Q2 | RED 20 5 adjustment 5 (0) | BLU 0 18 (3)" {
		t.Error(got)
	}
	f.mustFold(score.TypeScoreSet, `{"result":{"RED":25}}`) // the periods add up again
	if got := f.lineScore(); got != "Q1 Q2 | RED 20 5 (0) | BLU 0 18 (3)" {
		t.Error(got)
	}
}

func TestPointsFromBeforeTheFirstPeriodAreShownAsAnAdjustment(t *testing.T) {
	f := live(t, game).steps("RED 5 -; set RED 7 -")
	if got := f.lineScore(); got != " | RED | BLU" {
		t.Errorf("a contest without periods has an adjustment: %s", got)
	}
	f.step("RED 3 Q1")
	if got := f.lineScore(); got != "Q1 | RED 3 adjustment 7 | BLU 0" {
		t.Error(got)
	}
}

// A void can take away the period that a set relied on.
func TestAReplayKeepsASetWithoutAPeriodAndShowsTheAdjustment(t *testing.T) {
	f := live(t, game).steps("RED 20 Q1")
	if p := f.fold(score.TypeScoreSet, `{"result":{"RED":25}}`, fold.Replay); p != nil {
		t.Fatal(p)
	}
	if got := f.lineScore(); got != "Q1 | RED 20 adjustment 5 | BLU 0" {
		t.Error(got)
	}
}

func TestSidesKeepTheOrderOfTheDefinition(t *testing.T) {
	const two = `{"kind":"head_to_head","sport":"x","title":%q,"competitors":[%s,%s]}`
	for _, c := range []struct{ title, first, second string }{
		{"Dominican Republic vs Dominica", `{"code":"DOM","name":"Dominican Republic","order":1}`,
			`{"code":"DMA","name":"Dominica","order":2}`},
		{"Semi-final", `{"code":"HOM","name":"Home team","order":1}`, `{"code":"AWY","name":"Away team","order":2}`},
		{"A vs B", `{"code":"B","order":1}`, `{"code":"A","order":2}`},
		{"A vs B", `{"code":"B"}`, `{"code":"A"}`}, // as they are listed
		{"A vs B", `{"code":"B","order":7}`, `{"code":"A","order":7}`},
		{"A vs B", `{"code":"B","order":3}`, `{"code":"A"}`}, // those without an order come last
	} {
		f := live(t, fmt.Sprintf(two, c.title, c.first, c.second))
		home, away := f.c.Competitors[0].Code, f.c.Competitors[1].Code
		reversed := live(t, fmt.Sprintf(two, c.title, c.second, c.first))
		for _, step := range []string{"status RUNNING", away + " 1 H1", home + " 2 H1"} {
			f.step(step)
			reversed.step(step)
			if got := order(f.c); got != home+" 1, "+away+" 2" {
				t.Errorf("%s, after %s: the sides are %s", c.title, step, got)
			}
			if got := order(reversed.c); c.first[len(c.first)-2:] == "1}" && got != home+" 1, "+away+" 2" {
				t.Errorf("%s, listed the other way round, after %s: the sides are %s", c.title, step, got)
			}
		}
	}
}

func order(c *fold.Contest) string {
	r := c.Record()
	var list []string
	for _, s := range r.Sides() {
		list = append(list, fmt.Sprint(s.Code, " ", s.Order))
	}
	return strings.Join(list, ", ")
}

func TestManyCompetitorsAreShownBestFirst(t *testing.T) {
	for n, want := range map[int]string{score.MaxSides: "c0", score.MaxSides + 1: "c2"} {
		f := live(t, crowd(n)).steps("c2 5 P")
		r := f.c.Record()
		if got := r.Sides()[0].Code; got != want {
			t.Errorf("of %d competitors %s comes first; want %s", n, got, want)
		}
	}
}
