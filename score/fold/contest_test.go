package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"laurel/score"
	"laurel/score/fold"
)

// contestTest folds events into one contest and checks that refused events change
// nothing.
type contestTest struct {
	t *testing.T
	c *fold.Contest
	m *memMarks
}

const match = `{"kind":"head_to_head","sport":"football","result_type":"POINTS","tiebreak_periods":["SO"],"competitors":[
	{"code":"GAU","name":"Gaul","organisation":"GAU","order":1},{"code":"ROM","name":"Rome","organisation":"ROM","order":2}]}`

func define(t *testing.T, data string) *contestTest {
	c := fold.NewContest("OG50BC/X/1")
	f := &contestTest{t, c, &memMarks{contest: c}}
	f.mustFold(score.TypeContestDefine, data)
	return f
}

// running returns a contest that is RUNNING.
func running(t *testing.T, data string) *contestTest {
	f := define(t, data)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING","result_status":"LIVE","period":"H1","clock":"0'"}`)
	return f
}

func (f *contestTest) state() string { return state(f.t, f.c, f.m) }

func state(t rapid.TB, c *fold.Contest, m *memMarks) string {
	return mustMarshal(t, c) + "\n" + mustMarshal(t, m.all())
}

func (f *contestTest) fold(typ score.Type, data string, mode fold.Mode) *score.Problem {
	f.t.Helper()
	e := event(f.t, fmt.Sprintf(`{"type":%q,"contest_id":%q,"time":"2026-02-09T10:16:40Z","data":%s}`, typ, f.c.ID,
		data))
	return f.c.Fold(e, f.m, mode)
}

func (f *contestTest) mustFold(typ score.Type, data string) {
	f.t.Helper()
	if p := f.fold(typ, data, fold.Live); p != nil {
		f.t.Fatalf("%s %s: %v", typ, data, p)
	}
}

func (f *contestTest) wantRefused(typ score.Type, data string, code score.Code, field, detail string) {
	f.t.Helper()
	before := f.state()
	p := f.fold(typ, data, fold.Live)
	switch {
	case p == nil:
		f.t.Errorf("%s %s was accepted; want %s", typ, data, code)
	case p.Code != code || p.Field != field || !strings.Contains(p.Detail, detail):
		f.t.Errorf("%s %s: %v\nwant %s: %s: ... %s ...", typ, data, p, code, field, detail)
	}
	if after := f.state(); after != before {
		f.t.Errorf("%s %s was refused and changed\n%s\nto\n%s", typ, data, before, after)
	}
}

// wantRecord compares the standings of the record, one per line: code, result, tie-break
// score, rank.
func (f *contestTest) wantRecord(want ...string) {
	f.t.Helper()
	var got []string
	for _, p := range f.c.Record().Competitors {
		result := "-"
		if p.Result != nil {
			result = p.Result.String()
		}
		got = append(got, strings.TrimSpace(fmt.Sprint(p.Code, " ", result, " ", p.Tiebreak, " ", p.Rank, " ", p.IRM)))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		f.t.Errorf("the record shows %s; want %s", strings.Join(got, "; "), strings.Join(want, "; "))
	}
}

func (f *contestTest) member(code, name string) string {
	f.t.Helper()
	for _, p := range f.c.Record().Competitors {
		if p.Code == code {
			b, err := json.Marshal(p)
			if err != nil {
				f.t.Fatal(err)
			}
			var members map[string]jsontext.Value
			if err := json.Unmarshal(b, &members); err != nil {
				f.t.Fatal(err)
			}
			return string(members[name])
		}
	}
	f.t.Fatalf("no %s", code)
	return ""
}

func TestPlaysAddUpAndGivenTotalsMustMatch(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"result":{"GAU":1,"ROM":0}}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":2.5,"result":{"ROM":2.5}}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":-0.125}`)
	f.wantRecord("ROM 2.5 0 1", "GAU 0.875 0 2")
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"result":{"GAU":2}}`, score.TotalMismatch,
		"data.result.GAU", `the event gives 2 for "GAU", but the store has 1.875 after this play`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"result":{"GAU":1.875,"ROM":3}}`,
		score.TotalMismatch, "data.result.ROM", `gives 3 for "ROM"`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"result":{"GAU":1.875,"BRI":0}}`,
		score.InvalidEvent, "data.result", `"BRI" does not compete here`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"result":{"ROM":2.5,"GAU":1.875}}`)
}

func TestAScoreCannotExceedMaxDecimal(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":999999999999.999,"stats_delta":{"x":-999999999999.999}}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":0.001}`, score.InvalidEvent, "data.delta",
		"more than a score can hold (999999999999.999)")
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":0,"stats_delta":{"x":-0.001}}`, score.InvalidEvent,
		"data.stats_delta", `"x" would be more`)
	f.wantRefused(score.TypeScoreSet, `{"result":{"ROM":1,"GAU":-999999999999.999},"period":"H2"}`, score.InvalidEvent,
		"data.period", `the points in "H2" would be more than a number can hold`)
	f.wantRefused(score.TypeScoreSet, `{"result":{"GAU":-999999999999.999},"adjustment":true}`, score.InvalidEvent,
		"data.period", `the points in "" would be more`)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":0},"adjustment":true}`)
}

func TestPlaysAreAcceptedFromRunningUntilCancelledOrOfficial(t *testing.T) {
	const goal = `{"competitor":"GAU","delta":1}`
	f := define(t, match)
	f.wantRefused(score.TypeScorePlay, goal, score.StatusConflict, "",
		"has not started (schedule_status is SCHEDULED); post a contest.status with RUNNING first")
	f.wantRefused(score.TypeScoreSet, `{"result":{"GAU":1}}`, score.StatusConflict, "", "has not started")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"GETTING_READY"}`)
	f.wantRefused(score.TypeScorePlay, goal, score.StatusConflict, "", "schedule_status is GETTING_READY")
	for _, status := range []string{"RUNNING", "SCHEDULED_BREAK", "INTERRUPTED", "DELAYED", "RUNNING",
		"FINISHED"} {
		f.mustFold(score.TypeContestStatus, fmt.Sprintf(`{"schedule_status":%q}`, status))
		f.mustFold(score.TypeScorePlay, goal)
	}
	f.mustFold(score.TypeContestStatus, `{"result_status":"UNOFFICIAL"}`)
	f.mustFold(score.TypeScorePlay, goal)
	f.mustFold(score.TypeContestStatus, `{"result_status":"OFFICIAL"}`)
	f.wantRefused(score.TypeScorePlay, goal, score.StatusConflict, "",
		"OFFICIAL: scores change only by a score.set with a reason or by an event.void")
	f.wantRefused(score.TypeScoreSet, `{"result":{"GAU":1}}`, score.StatusConflict, "", "OFFICIAL")
	f.wantRecord("GAU 7 0 1", "ROM 0 0 2")
}

func TestACancelledContestRefusesPlays(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"CANCELLED"}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`, score.StatusConflict, "", "CANCELLED")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`)
}

func TestAfterOfficialStatusesMayChangeButScoresMayNot(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	f.mustFold(score.TypeContestStatus, `{"result_status":"PROTESTED"}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`, score.StatusConflict, "", "OFFICIAL")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"UNOFFICIAL"}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`, score.StatusConflict, "", "OFFICIAL")
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":3},"period":"H1","reason":"the jury has counted again"}`)
	f.wantRecord("GAU 3 0 1", "ROM 0 0 2")
}

func TestALateGoalInTheBreakChangesTheScoreButNotTheClock(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"period":"H1","clock":"44'"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"SCHEDULED_BREAK","period":"HT","clock":"45'"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":1,"period":"H1","clock":"43'"}`)
	r := f.c.Record()
	if r.Period != "HT" || r.Clock != "45'" {
		t.Errorf("period %s, clock %s", r.Period, r.Clock)
	}
	f.wantRecord("GAU 1 0 1", "ROM 1 0 1")
	if got := f.member("ROM", "periods"); got != `{"H1":1}` {
		t.Errorf("the goal is counted in %s", got)
	}
}

func TestAPlaySetsPeriodAndClockOfARunningContest(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":0,"period":"H2","clock":"46'"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`)
	if r := f.c.Record(); r.Period != "H2" || r.Clock != "46'" {
		t.Errorf("period %s, clock %s", r.Period, r.Clock)
	}
	if got := f.member("GAU", "periods"); got != `{"H1":0,"H2":1}` {
		t.Errorf("a play without a period is counted in %s, want the present one", got)
	}
}

func TestStatusesChangeIndependently(t *testing.T) {
	f := define(t, match)
	if r := f.c.Record(); r.ScheduleStatus != "SCHEDULED" || r.ResultStatus != "START_LIST" {
		t.Errorf("a new contest is %s, %s", r.ScheduleStatus, r.ResultStatus)
	}
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING","period":"H1"}`)
	f.mustFold(score.TypeContestStatus, `{"result_status":"LIVE"}`)
	f.mustFold(score.TypeContestStatus, `{"clock":"5'"}`)
	if r := f.c.Record(); r.ScheduleStatus != "RUNNING" || r.ResultStatus != "LIVE" || r.Period != "H1" ||
		r.Clock != "5'" {
		t.Errorf("%+v", r)
	}
}

func TestAContestThatHasRunCannotBeScheduledAgain(t *testing.T) {
	f := define(t, match)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"POSTPONED"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"SCHEDULED"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`)
	for _, status := range []string{"UNSCHEDULED", "SCHEDULED"} {
		f.wantRefused(score.TypeContestStatus, fmt.Sprintf(`{"schedule_status":%q,"clock":"9'"}`, status),
			score.StatusConflict, "data.schedule_status", "cannot be "+status)
	}
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"GETTING_READY"}`) // allowed after an interruption
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RESCHEDULED"}`)
}

func TestTieBreakScoresAreSeparateAndDecideOnlyTies(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":2,"period":"H1"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":2,"period":"H2","result":{"GAU":2,"ROM":2}}`)
	f.mustFold(score.TypeContestStatus, `{"period":"SO"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":1,"result":{"GAU":0,"ROM":1}}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"ROM","delta":1,"period":"SO","result":{"ROM":3}}`,
		score.TotalMismatch, "data.result.ROM", "the store has 2")
	f.wantRecord("ROM 2 1 1", "GAU 2 0 2")
	if got := f.member("ROM", "periods"); got != `{"H1":0,"H2":2}` {
		t.Errorf("periods are %s", got)
	}
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	if w := f.c.Record().Winner; w != "ROM" {
		t.Errorf("after the shoot-out the winner is %q", w)
	}
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"period":"H2"}`)
	f.wantRecord("GAU 3 0 1", "ROM 2 1 2")
	if w := f.c.Record().Winner; w != "GAU" {
		t.Errorf("the shoot-out decided where there was no tie: winner %q", w)
	}
	f.mustFold(score.TypeScoreSet, `{"result":{"ROM":5,"GAU":4},"period":"SO"}`)
	f.wantRecord("GAU 3 4 1", "ROM 2 5 2")
}

func TestScoreSetReplacesTotalsAndAddsTheDifferenceToThePeriod(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":2,"period":"H1"}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":5,"ROM":1},"period":"H2"}`)
	f.wantRecord("GAU 5 0 1", "ROM 1 0 2")
	if gau, rom := f.member("GAU", "periods"), f.member("ROM", "periods"); gau != `{"H1":2,"H2":3}` ||
		rom != `{"H1":0,"H2":1}` {
		t.Errorf("periods are %s and %s", gau, rom)
	}
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":4},"period":"H2"}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"ROM":9},"adjustment":true}`)
	f.wantRecord("ROM 9 0 1", "GAU 4 0 2")
	if gau, rom := f.member("GAU", "periods"), f.member("ROM", "periods"); gau != `{"H1":2,"H2":2}` ||
		rom != `{"H1":0,"H2":1}` {
		t.Errorf("periods are %s and %s", gau, rom)
	}
	f.wantRefused(score.TypeScoreSet, `{"result":{"GAU":1,"BRI":2},"period":"H2"}`, score.InvalidEvent, "data.result",
		`"BRI" does not compete here; want one of GAU, ROM`)
}

func TestScoreSetWithAReasonIsAcceptedAtAnyTime(t *testing.T) {
	f := define(t, match)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":3,"ROM":0},"reason":"walk-over"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"CANCELLED"}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":2},"reason":"jury"}`)
	f.mustFold(score.TypeContestStatus, `{"result_status":"OFFICIAL"}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":1},"reason":"jury again"}`)
	f.wantRecord("GAU 1 0 1", "ROM 0 0 2")
}

func TestStatisticsAddUpByName(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":4,"stats_delta":{"wickets":1,"balls":1}}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":0,"stats_delta":{"balls":1,"overs":0.1}}`)
	if got := f.member("GAU", "stats"); got != `{"balls":2,"wickets":1,"overs":0.1}` {
		t.Errorf("stats are %s", got)
	}
	if got := f.member("ROM", "stats"); got != `{}` {
		t.Errorf("stats of the other are %s", got)
	}
}

func TestPeriodsAndStatisticsOfACompetitorAreBounded(t *testing.T) {
	f := running(t, match)
	for i := range 255 { // the last one is in H1
		period := fmt.Sprintf(`,"period":"P%d"`, i)
		if i == 254 {
			period = `,"period":"H1"`
		}
		f.mustFold(score.TypeScorePlay, fmt.Sprintf(`{"competitor":"GAU","delta":0%s,"stats_delta":{"s%d":1}}`, period, i))
	}
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":0,"period":"P1","stats_delta":{"s1":1,"s2":1,"last":1}}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":0,"period":"P1","stats_delta":{"s1":1,"more":1}}`,
		score.InvalidEvent, "data.stats_delta", `"more" is one too many: a competitor has at most 256`)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":0},"period":"last"}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":0,"period":"more"}`, score.InvalidEvent,
		"data.period", "one too many")
	f.wantRefused(score.TypeScoreSet, `{"result":{"ROM":1,"GAU":0},"period":"more"}`, score.InvalidEvent, "data.period",
		"one too many")
	f.wantRefused(score.TypeContestStatus, `{"period":"more"}`, score.InvalidEvent, "data.period", "one too many")
}

func TestOnlyListedCompetitorsScore(t *testing.T) {
	f := running(t, match)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"BRI","delta":1}`, score.InvalidEvent, "data.competitor",
		`"BRI" does not compete here; want one of GAU, ROM`)
	f = running(t, `{"kind":"head_to_head","sport":"x"}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"BRI","delta":1}`, score.InvalidEvent, "data.competitor",
		"has no competitors yet; define it with them")
	f = running(t, `{"kind":"ranked","sport":"x","competitors":[{"code":"A"}]}`)
	f.wantRefused(score.TypeResultSet, `{"competitor":"B","split":"finish","mark":1}`, score.InvalidEvent,
		"data.competitor", `"B" does not compete here; want one of A`)
}

func TestEachKindOfContestAcceptsOnlyItsOwnEvents(t *testing.T) {
	f := running(t, match)
	f.wantRefused(score.TypeResultSet, `{"competitor":"GAU","split":"finish","mark":1}`, score.StatusConflict, "type",
		"the contest is head_to_head; use score.play")
	f = running(t, `{"kind":"ranked","sport":"x"}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`, score.StatusConflict, "type",
		"the contest is ranked; use result.set")
	f.wantRefused(score.TypeScoreSet, `{"result":{"GAU":1}}`, score.StatusConflict, "type",
		"the contest is ranked; use result.set")
}

func TestRedefinitionKeepsResults(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":2,"period":"H1","stats_delta":{"corners":1}}`)
	f.mustFold(score.TypeContestDefine, `{"kind":"head_to_head","sport":"stone football","title":"GAU vs ROM","tiebreak_periods":["SO"],
		"competitors":[{"code":"BRI","name":"Britain","order":1},{"code":"GAU","name":"Gallia","order":7},{"code":"ROM"}]}`)
	f.wantRecord("GAU 2 0 1", "BRI 0 0 2", "ROM 0 0 2")
	r := f.c.Record()
	if r.Sport != "stone football" || r.Title != "GAU vs ROM" || r.ScheduleStatus != "RUNNING" || r.Period != "H1" ||
		r.Competitors[0].Name != "Gallia" || f.member("GAU", "stats") != `{"corners":1}` {
		t.Errorf("%+v", r)
	}
	f.wantRefused(score.TypeContestDefine, `{"kind":"head_to_head","sport":"football","competitors":[{"code":"BRI"}]}`,
		score.StatusConflict, "data.competitors", `"GAU" is missing from the list but has a score`)
	f.wantRefused(score.TypeContestDefine, `{"kind":"ranked","tiebreak_periods":null}`, score.StatusConflict, "data.kind",
		"kind cannot change")
}

func TestRedefinitionOfARankedContestKeepsItsMarks(t *testing.T) {
	f := running(t, race)
	f.mustFold(score.TypeResultSet, `{"competitor":"1","split":"5k","mark":15.9}`)
	f.wantRefused(score.TypeContestDefine, `{"kind":"ranked","sport":"x","result_type":"TIME","splits":["10k"]}`,
		score.StatusConflict, "data.splits", "splits cannot change")
	f.wantRefused(score.TypeContestDefine, `{"kind":"ranked","sport":"x","sort":"desc","splits":["5k","10k","finish"]}`,
		score.StatusConflict, "data.sort", "sort cannot change")
	f.mustFold(score.TypeContestDefine, `{"kind":"ranked","sport":"marathon","sort":"asc","splits":["5k","10k","finish"]}`)
	f.wantRecord("1 15.9 0 1")
}

func TestACloneSharesNothingThatFoldChanges(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":2,"period":"H1","stats_delta":{"corners":1}}`)
	clone, record := f.c.Clone(), f.c.Record()
	before, shown := state(t, clone, f.m), mustMarshal(t, record)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":3,"period":"H1","stats_delta":{"corners":1}}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"GAU":9,"ROM":1},"period":"H1"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	f.mustFold(score.TypeContestDefine, `{"kind":"head_to_head","sport":"x","competitors":[{"code":"ROM"},{"code":"GAU"}]}`)
	if after := state(t, clone, f.m); after != before {
		t.Errorf("the clone changed from\n%s\nto\n%s", before, after)
	}
	if after := mustMarshal(t, record); after != shown {
		t.Errorf("a record taken before changed from\n%s\nto\n%s", shown, after)
	}
}

func TestReplayRequiresOnlyTheContestAndTheCompetitor(t *testing.T) {
	f := define(t, match)
	for _, e := range []struct {
		typ  score.Type
		data string
	}{
		{score.TypeScorePlay, `{"competitor":"GAU","delta":1}`},                            // the RUNNING event before it was voided
		{score.TypeScorePlay, `{"competitor":"GAU","delta":1,"result":{"GAU":9,"ROM":9}}`}, // with other totals
		{score.TypeContestStatus, `{"schedule_status":"RUNNING","result_status":"OFFICIAL"}`},
		{score.TypeScorePlay, `{"competitor":"ROM","delta":1}`},
		{score.TypeScoreSet, `{"result":{"ROM":5}}`},
		{score.TypeContestStatus, `{"schedule_status":"SCHEDULED"}`},
	} {
		if p := f.fold(e.typ, e.data, fold.Replay); p != nil {
			t.Errorf("%s %s: %v", e.typ, e.data, p)
		}
	}
	f.wantRecord("ROM 5 0 1", "GAU 2 0 2")
	if p := f.fold(score.TypeScorePlay, `{"competitor":"BRI","delta":1}`, fold.Replay); p == nil ||
		p.Field != "data.competitor" {
		t.Errorf("an unknown competitor: %v", p)
	}
	if p := f.fold(score.TypeResultSet, `{"competitor":"GAU","split":"finish","mark":1}`, fold.Replay); p == nil ||
		p.Code != score.StatusConflict {
		t.Errorf("a mark in a match: %v", p)
	}
	undefined := &contestTest{t, fold.NewContest("OG50BC/X/2"), nil}
	if p := undefined.fold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`, fold.Replay); p == nil ||
		!strings.Contains(p.Detail, "not defined; post a contest.define first") {
		t.Errorf("without a definition: %v", p)
	}
}

func TestEventsOfOtherTypesDoNotChangeAContest(t *testing.T) {
	f := running(t, match)
	before := f.state()
	f.mustFold(score.TypeMedalAward, `{"award_id":"a","medal":"GOLD","organisation":"GAU"}`)
	f.mustFold(score.TypeMedalRevoke, `{"award_id":"a","reason":"potion"}`)
	f.mustFold(score.TypeEventVoid, `{"voids":"b1-1","reason":"typing error"}`)
	f.mustFold(score.TypeAlert, `{"text":"the sky has fallen"}`)
	if f.state() != before {
		t.Errorf("changed to %s", f.state())
	}
}
