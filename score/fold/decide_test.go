package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
)

const tennis = `{"kind":"head_to_head","sport":"tennis","competitors":[{"code":"A","order":1},{"code":"B","order":2}]}`

func (f *contestTest) wantWinner(winner, decision string) {
	f.t.Helper()
	if r := f.c.Record(); r.Winner != winner || r.Decision != decision {
		f.t.Errorf("the record has the winner %q by %q; want %q by %q", r.Winner, r.Decision, winner, decision)
	}
}

func TestADecisionNamesTheWinnerWhateverTheScoreIs(t *testing.T) {
	f := running(t, tennis)
	f.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":1,"period":"SET1"}`)
	f.mustFold(score.TypeContestDecide, `{"winner":"B","decision":"RETIRED"}`)
	f.wantWinner("B", "RETIRED")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	f.wantWinner("B", "RETIRED")
	f.wantRecord("A 1 0 1", "B 0 0 2")
	if f.c.ScheduleStatus != score.Finished || f.c.ResultStatus != "LIVE" || f.c.Period != "SET1" {
		t.Errorf("the decision moved the contest: %+v", f.c)
	}
	f.mustFold(score.TypeContestDecide, `{}`)
	f.wantWinner("A", "")
	f.wantRefused(score.TypeContestDecide, `{}`, score.StatusConflict, "data.decision", "there is none")
}

func TestADecisionCanSayThatNobodyHasWon(t *testing.T) {
	for _, decision := range []string{"DRAWN", "ABANDONED", "DISQUALIFIED", "RETIRED", "WALKOVER", "AWARDED", "RULE"} {
		f := running(t, tennis)
		f.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":400}`)
		f.mustFold(score.TypeScorePlay, `{"competitor":"B","delta":399}`)
		f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
		f.wantWinner("A", "")
		f.mustFold(score.TypeContestDecide, fmt.Sprintf(`{"decision":%q,"reason":"jury"}`, decision))
		f.wantWinner("", decision)
	}
}

func TestADecisionAndItsWinnerFitTogether(t *testing.T) {
	for data, want := range map[string]string{
		`{"winner":"A"}`:                         "data.decision",
		`{"winner":"A","decision":"DRAWN"}`:      "data.winner",
		`{"winner":"A","decision":"ABANDONED"}`:  "data.winner",
		`{"decision":"REGULAR"}`:                 "data.winner",
		`{"decision":"EXTRA_TIME"}`:              "data.winner",
		`{"decision":"SHOOT_OUT"}`:               "data.winner",
		`{"winner":"A","decision":"LUCK"}`:       "data.decision",
		`{"winner":"A","decision":"retired"}`:    "data.decision",
		`{"winner":7,"decision":"RULE"}`:         "data.winner",
		`{"winner":"A","decision":"RULE","x":1}`: "data.x",
	} {
		_, p := score.Decode([]byte(`{"type":"contest.decide","contest_id":"G/1","data":` + data + `}`))
		if p == nil || p.Field != want {
			t.Errorf("%s: %v; want a problem at %s", data, p, want)
		}
	}
	f := running(t, tennis)
	f.wantRefused(score.TypeContestDecide, `{"winner":"C","decision":"RULE"}`, score.InvalidEvent, "data.winner",
		`"C" does not compete here; want one of A, B`)
}

func TestNobodyWinsAMatchWithoutCompetitors(t *testing.T) {
	f := define(t, `{"kind":"head_to_head","sport":"tennis"}`)
	f.wantRefused(score.TypeContestDecide, `{"winner":"A","decision":"WALKOVER"}`, score.InvalidEvent, "data.winner",
		"the contest has no competitors yet")
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"A"}`)
	f.mustFold(score.TypeContestDecide, `{"winner":"A","decision":"WALKOVER"}`)
	f.wantWinner("A", "WALKOVER")
}

func TestOnlyAWalkoverOrAnAwardIsDecidedBeforeTheContestRuns(t *testing.T) {
	for _, decision := range []string{"REGULAR", "EXTRA_TIME", "SHOOT_OUT", "RETIRED", "WALKOVER", "DISQUALIFIED",
		"AWARDED", "RULE"} {
		data := fmt.Sprintf(`{"winner":"B","decision":%q}`, decision)
		f := define(t, tennis)
		if decision != "WALKOVER" && decision != "AWARDED" {
			f.wantRefused(score.TypeContestDecide, data, score.StatusConflict, "", "has not started")
			f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`)
		} else {
			f.mustFold(score.TypeContestStatus, `{"schedule_status":"UNSCHEDULED"}`)
			f.wantRefused(score.TypeContestDecide, data, score.StatusConflict, "", "UNSCHEDULED")
			f.mustFold(score.TypeContestStatus, `{"schedule_status":"SCHEDULED"}`)
		}
		f.mustFold(score.TypeContestDecide, data)
		f.wantWinner("B", decision)
		if f.c.ScheduleStatus == score.Scheduled && f.c.Started {
			t.Error("the decision started the contest")
		}
	}
}

func TestAnOfficialContestIsDecidedOnlyForAReason(t *testing.T) {
	f := running(t, tennis)
	f.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":3}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	f.wantRefused(score.TypeContestDecide, `{"winner":"B","decision":"DISQUALIFIED"}`, score.StatusConflict, "data.reason",
		"OFFICIAL")
	f.mustFold(score.TypeContestDecide, `{"winner":"B","decision":"DISQUALIFIED","reason":"doping"}`)
	f.wantWinner("B", "DISQUALIFIED")
	f.wantRefused(score.TypeContestDecide, `{}`, score.StatusConflict, "data.reason", "OFFICIAL")
	f.mustFold(score.TypeContestDecide, `{"reason":"appeal upheld"}`)
	f.wantWinner("A", "")
}

func TestAContestOfOneSideOrWithoutScoresHasNoWinnerByTotals(t *testing.T) {
	one := running(t, `{"kind":"head_to_head","sport":"x","competitors":[{"code":"A"}]}`)
	one.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":3}`)
	one.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	one.wantWinner("", "")
	one.mustFold(score.TypeContestDecide, `{"winner":"A","decision":"WALKOVER"}`)
	one.wantWinner("A", "WALKOVER")
	for _, sort := range []string{"asc", "desc"} {
		none := running(t, `{"kind":"head_to_head","sport":"x","sort":"`+sort+`","competitors":[{"code":"A"},{"code":"B"}]}`)
		none.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
		none.wantWinner("", "")
	}
	race := running(t, `{"kind":"ranked","sport":"x","competitors":[{"code":"A"},{"code":"B"}]}`)
	race.mustFold(score.TypeResultSet, `{"competitor":"A","split":"finish","irm":"DNS"}`)
	race.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	race.wantWinner("", "")
}

func TestATieBreakThatDecidesIsAShootOut(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":1}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":4,"period":"SO"}`)
	f.wantWinner("", "")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	f.wantWinner("ROM", "SHOOT_OUT")
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1,"period":"H2"}`)
	f.wantWinner("GAU", "")
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":1,"period":"H2"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":4,"period":"SO"}`)
	f.wantWinner("", "")
	f.mustFold(score.TypeContestDecide, `{"winner":"GAU","decision":"RULE"}`) // more corners, a coin
	f.wantWinner("GAU", "RULE")
}

func TestADecidedWinnerStaysOnTheList(t *testing.T) {
	f := define(t, tennis)
	f.mustFold(score.TypeContestDecide, `{"winner":"B","decision":"WALKOVER"}`)
	const without = `{"kind":"head_to_head","sport":"tennis","competitors":[{"code":"A"}]}`
	f.wantRefused(score.TypeContestDefine, without, score.StatusConflict, "data.competitors", "decided to be the winner")
	race := running(t, `{"kind":"ranked","sport":"x"}`)
	race.mustFold(score.TypeContestDecide, `{"winner":"B","decision":"RULE"}`)
	race.wantRefused(score.TypeContestDefine, `{"kind":"ranked","sport":"x","competitors":[{"code":"A"}]}`,
		score.StatusConflict, "data.competitors", "decided to be the winner")
	race.mustFold(score.TypeContestDefine, `{"kind":"ranked","sport":"x","competitors":[{"code":"A"},{"code":"B"}]}`)
}

func TestOnlyAReasonOpensAnOfficialContestAgain(t *testing.T) {
	const play = `{"competitor":"A","delta":1}`
	reopening := []string{`"schedule_status":"RUNNING"`, `"schedule_status":"RUNNING","result_status":"LIVE"`,
		`"schedule_status":"GETTING_READY"`, `"schedule_status":"SCHEDULED_BREAK"`, `"schedule_status":"DELAYED"`,
		`"schedule_status":"INTERRUPTED"`, `"schedule_status":"POSTPONED"`, `"schedule_status":"RESCHEDULED"`,
		`"schedule_status":"CANCELLED"`, `"result_status":"LIVE"`, `"result_status":"START_LIST"`,
		`"result_status":"INTERMEDIATE"`, `"result_status":"PARTIAL"`}
	for _, members := range reopening {
		f := running(t, tennis)
		f.mustFold(score.TypeScorePlay, play)
		f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
		f.wantRefused(score.TypeContestStatus, "{"+members+"}", score.StatusConflict, "data.reason", "only for a reason")
		f.mustFold(score.TypeContestStatus, "{"+members+`,"reason":"the last point is played again"}`)
		if f.c.WasOfficial || f.c.ResultStatus == score.Official {
			t.Errorf("after %s the contest is %s, closed %t", members, f.c.ResultStatus, f.c.WasOfficial)
		}
		takes := !strings.Contains(members, "POSTPONED") && !strings.Contains(members, "RESCHEDULED") &&
			!strings.Contains(members, "CANCELLED")
		if p := f.fold(score.TypeScorePlay, play, fold.Live); (p == nil) != takes {
			t.Errorf("after %s a play: %v", members, p)
		}
	}
	// A protest, and the end that is told again, leave it closed.
	for _, members := range []string{`"schedule_status":"FINISHED"`, `"result_status":"PROTESTED"`,
		`"result_status":"UNOFFICIAL"`, `"result_status":"UNCONFIRMED"`, `"result_status":"PROVISIONAL"`,
		`"period":"SET5"`, `"clock":"1:00"`} {
		f := running(t, tennis)
		f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
		f.mustFold(score.TypeContestStatus, "{"+members+"}")
		f.wantRefused(score.TypeScorePlay, play, score.StatusConflict, "", "OFFICIAL")
	}
}

func TestAContestThatWasOfficialBeforeItRanIsOpenedByAReason(t *testing.T) {
	f := define(t, tennis)
	f.mustFold(score.TypeContestStatus, `{"result_status":"OFFICIAL"}`)
	f.wantRefused(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`, score.StatusConflict, "data.reason", "OFFICIAL")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING","reason":"OFFICIAL was a mistake"}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":1}`)
	if f.c.ResultStatus != "LIVE" {
		t.Errorf("it is %s", f.c.ResultStatus)
	}
}

func TestAStoppedContestTakesNoPlaysUntilItRuns(t *testing.T) {
	for _, status := range []string{"POSTPONED", "RESCHEDULED", "CANCELLED"} {
		f := running(t, tennis)
		f.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":1,"period":"H1"}`)
		f.mustFold(score.TypeContestStatus, `{"schedule_status":"`+status+`"}`)
		f.wantRefused(score.TypeScorePlay, `{"competitor":"B","delta":5}`, score.StatusConflict, "", status)
		f.wantRefused(score.TypeScoreSet, `{"result":{"B":5}}`, score.StatusConflict, "", status)
		f.mustFold(score.TypeScoreSet, `{"result":{"B":5},"period":"H1","reason":"jury"}`)
		race := running(t, `{"kind":"ranked","sport":"x"}`)
		race.mustFold(score.TypeContestStatus, `{"schedule_status":"`+status+`"}`)
		race.wantRefused(score.TypeResultSet, `{"competitor":"B","split":"finish","mark":5}`, score.StatusConflict, "", status)
		if r := f.c.Record(); !r.Started || *r.Competitors[0].Result != mark.Points(5) {
			t.Errorf("the record of a stopped match is %+v", r)
		}
		f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`)
		f.mustFold(score.TypeScorePlay, `{"competitor":"B","delta":5}`)
		f.wantRecord("B 10 0 1", "A 1 0 2")
	}
}

func TestAResetLeavesOnlyTheDefinition(t *testing.T) {
	const final = `{"kind":"head_to_head","sport":"football","title":"Final","tiebreak_periods":["SO"],` +
		`"competitors":[{"code":"A","name":"Alfa","order":1},{"code":"B","order":2}]}`
	f := running(t, final)
	f.mustFold(score.TypeScorePlay, `{"competitor":"A","delta":1,"period":"H1","clock":"12'","stats_delta":{"shots":1}}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"B","delta":2,"period":"SO"}`)
	f.mustFold(score.TypeContestDecide, `{"winner":"B","decision":"RULE"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	f.mustFold(score.TypeContestReset, `{"reason":"replay ordered"}`)
	fresh := define(t, final)
	fresh.c.UpdatedAt = f.c.UpdatedAt
	if got, want := f.state(), fresh.state(); got != want {
		t.Errorf("after the reset it is\n%s\nwant\n%s", got, want)
	}
	race := running(t, `{"kind":"ranked","sport":"x","splits":["5k","finish"]}`)
	race.mustFold(score.TypeResultSet, `{"competitor":"A","split":"5k","mark":5}`)
	race.mustFold(score.TypeContestReset, `{"reason":"false start"}`)
	if r := race.c.Record(); len(r.Competitors) != 0 || *r.Total != 0 || len(race.m.all()) != 0 {
		t.Errorf("after the reset the race is %+v", r)
	}
}
