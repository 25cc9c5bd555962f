package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
)

const race = `{"kind":"ranked","sport":"marathon","result_type":"TIME","splits":["5k","10k","finish"]}`

func (f *contestTest) mark(competitor, split, mark string) {
	f.t.Helper()
	f.mustFold(score.TypeResultSet, fmt.Sprintf(`{"competitor":%q,"split":%q,"mark":%s,"organisation":"GAU"}`,
		competitor, split, mark))
}

func (f *contestTest) irm(competitor, split, irm string) {
	f.t.Helper()
	f.mustFold(score.TypeResultSet, fmt.Sprintf(`{"competitor":%q,"split":%q,"irm":%q}`, competitor, split, irm))
}

func TestWithoutAStartListAFirstMarkAddsTheCompetitor(t *testing.T) {
	f := running(t, race)
	f.mark("7", "5k", "15.9")
	f.wantRecord("7 15.9 0 1")
	r := f.c.Record()
	if *r.Total != 1 || r.Split != "5k" || r.Competitors[0].Organisation != "GAU" || r.Winner != "" {
		t.Errorf("%+v", r)
	}
}

func TestEqualMarksShareARankAndTheNextSkips(t *testing.T) {
	f := running(t, race)
	for who, mark := range map[string]string{"a": "15.9", "b": "16", "c": "16.0", "d": "16.001"} {
		f.mark(who, "5k", mark)
	}
	f.wantRecord("a 15.9 0 1", "b 16 0 2", "c 16 0 2", "d 16.001 0 4")
	for i, p := range f.c.Record().Competitors {
		if p.SortOrder != i+1 {
			t.Errorf("%s has sort order %d, want %d", p.Code, p.SortOrder, i+1)
		}
	}
}

func TestIRMsComeLastAndHaveNoRank(t *testing.T) {
	f := running(t, race)
	f.mark("a", "finish", "130.45")
	f.irm("b", "finish", "DNF")
	f.mark("c", "finish", "130.37")
	f.irm("d", "finish", "DSQ")
	f.wantRecord("c 130.37 0 1", "a 130.45 0 2", "b - 0 0 DNF", "d - 0 0 DSQ")
	if got := f.member("b", "result"); got != "null" {
		t.Errorf("who did not finish has the result %s", got)
	}
}

func TestALaterMarkReplacesTheEarlierOne(t *testing.T) {
	f := running(t, race)
	f.mark("a", "5k", "15.9")
	f.mark("b", "5k", "16")
	f.mark("a", "5k", "17")
	f.wantRecord("b 16 0 1", "a 17 0 2")
	f.irm("b", "5k", "DSQ")
	f.wantRecord("a 17 0 1", "b - 0 0 DSQ")
	f.mark("b", "5k", "16.5")
	f.wantRecord("b 16.5 0 1", "a 17 0 2")
	if total := *f.c.Record().Total; total != 2 {
		t.Errorf("the total is %d", total)
	}
}

func TestTheFurthestSplitWithAMarkIsShown(t *testing.T) {
	f := running(t, race)
	f.mark("a", "5k", "15")
	f.mark("b", "5k", "16")
	f.mark("b", "10k", "31")
	f.wantRecord("b 31 0 1")
	f.mark("c", "5k", "14")
	f.wantRecord("b 31 0 1")
	f.mark("a", "10k", "30")
	f.wantRecord("a 30 0 1", "b 31 0 2")
}

func TestAnIRMDoesNotHideMarksAtEarlierSplits(t *testing.T) {
	f := running(t, race)
	f.irm("late", "finish", "DNS")
	f.wantRecord("late - 0 0 DNS")
	f.mark("a", "5k", "15")
	f.wantRecord("a 15 0 1")
	f.irm("b", "10k", "DNF")
	f.wantRecord("a 15 0 1")
	f.mark("a", "10k", "30")
	f.wantRecord("a 30 0 1", "b - 0 0 DNF")
	f.mark("a", "finish", "130")
	f.wantRecord("a 130 0 1", "late - 0 0 DNS")
	f.irm("a", "finish", "DNF")
	f.wantRecord("a 30 0 1", "b - 0 0 DNF")
	f.irm("a", "finish", "DSQ") // which strikes all marks of a
	f.wantRecord("late - 0 0 DNS", "a - 0 0 DSQ")
}

func TestTheDirectionFollowsSortOrElseTheResultType(t *testing.T) {
	for about, want := range map[string]string{
		`"result_type":"TIME"`: "low", `"result_type":"DISTANCE"`: "high", `"result_type":"POINTS"`: "high",
		`"sort":"asc"`: "low", `"sort":"desc"`: "high",
		`"result_type":"TIME","sort":"desc"`: "high", `"result_type":"POINTS","sort":"asc"`: "low",
	} {
		f := running(t, `{"kind":"ranked","sport":"menhir throw",`+about+`}`)
		f.mark("high", "finish", "9")
		f.mark("low", "finish", "-8.5")
		if got := f.c.Record().Competitors[0].Code; got != want {
			t.Errorf("%s: %s comes first", about, got)
		}
	}
}

func TestARankedContestShowsItsFirstTenAndTheTotal(t *testing.T) {
	f := running(t, race)
	for i := range 25 {
		f.mark(fmt.Sprintf("%02d", i), "finish", fmt.Sprint(200-i))
	}
	r := f.c.Record()
	if len(r.Competitors) != 10 || *r.Total != 25 || r.Competitors[0].Code != "24" || r.Competitors[9].Code != "15" {
		t.Errorf("%d shown of %d, from %s to %s", len(r.Competitors), *r.Total, r.Competitors[0].Code,
			r.Competitors[9].Code)
	}
}

func TestTheStartListFillsTheFirstTenWhileFewHaveMarks(t *testing.T) {
	f := running(t, `{"kind":"ranked","sport":"x","result_type":"TIME","competitors":[{"code":"b","order":2,"name":"B"},{"code":"c","order":1},{"code":"a","order":2}]}`)
	f.wantRecord("c - 0 0", "a - 0 0", "b - 0 0")
	f.mark("b", "finish", "9.58")
	f.wantRecord("b 9.58 0 1", "c - 0 0", "a - 0 0")
	if r := f.c.Record(); *r.Total != 3 || r.Competitors[0].Name != "B" || r.Competitors[0].Organisation != "GAU" {
		t.Errorf("%+v", r)
	}
}

func TestMarksAreAcceptedAtKnownSplitsOnly(t *testing.T) {
	f := running(t, race)
	f.wantRefused(score.TypeResultSet, `{"competitor":"a","split":"15k","mark":1}`, score.InvalidEvent, "data.split",
		`got "15k"; want one of 5k, 10k, finish`)
	f = running(t, `{"kind":"ranked","sport":"x"}`)
	f.wantRefused(score.TypeResultSet, `{"competitor":"a","split":"5k","mark":1}`, score.InvalidEvent, "data.split",
		"want one of finish")
	f.mark("a", "finish", "1")
}

func TestMarksAreAcceptedFromRunningUntilCancelledOrOfficial(t *testing.T) {
	const mark = `{"competitor":"a","split":"finish","mark":130}`
	f := define(t, race)
	f.wantRefused(score.TypeResultSet, mark, score.StatusConflict, "", "has not started")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`)
	f.mustFold(score.TypeResultSet, mark)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"UNOFFICIAL"}`)
	f.mustFold(score.TypeResultSet, mark)
	f.mustFold(score.TypeContestStatus, `{"result_status":"OFFICIAL"}`)
	f.wantRefused(score.TypeResultSet, mark, score.StatusConflict, "",
		"OFFICIAL: marks change only by a result.set with a reason or by an event.void")
	f = running(t, race)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"CANCELLED","reason":"jury"}`)
	f.wantRefused(score.TypeResultSet, mark, score.StatusConflict, "", "CANCELLED")
}

func TestAMarkWithAReasonIsAcceptedAtAnyTime(t *testing.T) {
	f := define(t, race)
	f.mustFold(score.TypeResultSet, `{"competitor":"a","split":"finish","irm":"DNS","reason":"overslept"}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING"}`)
	f.mark("b", "finish", "130")
	f.mark("c", "finish", "131")
	f.mark("d", "finish", "131")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	f.wantRecord("b 130 0 1", "c 131 0 2", "d 131 0 2", "a - 0 0 DNS")
	if w := f.c.Record().Winner; w != "b" {
		t.Errorf("the winner is %q", w)
	}
	f.mustFold(score.TypeResultSet, `{"competitor":"b","split":"finish","irm":"DSQ","reason":"magic potion"}`)
	f.mustFold(score.TypeResultSet, `{"competitor":"d","split":"finish","mark":132,"reason":"the photograph"}`)
	f.wantRecord("c 131 0 1", "d 132 0 2", "a - 0 0 DNS", "b - 0 0 DSQ")
	if w := f.c.Record().Winner; w != "c" {
		t.Errorf("the winner is %q", w)
	}
	f.wantRefused(score.TypeResultSet, `{"competitor":"d","split":"15k","mark":1,"reason":"jury"}`, score.InvalidEvent,
		"data.split", "")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"CANCELLED","reason":"jury"}`)
	f.mustFold(score.TypeResultSet, `{"competitor":"c","split":"finish","irm":"DSQ","reason":"jury"}`)
}

func TestAStartListMustIncludeCompetitorsWithMarks(t *testing.T) {
	const about = `{"kind":"ranked","sport":"x","result_type":"TIME","splits":["5k","finish"],"competitors":[%s]}`
	f := running(t, fmt.Sprintf(about, `{"code":"a"},{"code":"b"},{"code":"c"}`))
	f.mark("a", "finish", "1")
	f.mark("b", "5k", "2")
	missing := func(list, who string) {
		t.Helper()
		f.wantRefused(score.TypeContestDefine, fmt.Sprintf(about, list), score.StatusConflict, "data.competitors",
			fmt.Sprintf("%q is missing from the list but has a mark", who))
	}
	missing(`{"code":"b"},{"code":"c"}`, "a")
	missing(`{"code":"a"},{"code":"c"},{"code":"d"}`, "b")
	change := func(list string) {
		t.Helper()
		data := fmt.Sprintf(about, list)
		f.wantRefused(score.TypeContestDefine, data, score.StatusConflict, "data.competitors", "give a reason")
		f.mustFold(score.TypeContestDefine, strings.TrimSuffix(data, "}")+`,"reason":"jury"}`)
	}
	change(`{"code":"d"},{"code":"b"},{"code":"a"}`)
	// Without a list everybody may compete, and a new list must include everybody with a
	// mark.
	change(``)
	f.mark("e", "5k", "3")
	missing(`{"code":"a"},{"code":"b"}`, "e")
	missing(`{"code":"a"},{"code":"e"},{"code":"f"},{"code":"g"}`, "b")
	f.mustFold(score.TypeContestDefine, fmt.Sprintf(about, `{"code":"a"},{"code":"b"},{"code":"e"}`))
}

func TestARaceIsWonAtItsLastSplitOnceFinished(t *testing.T) {
	f := running(t, race)
	f.mark("a", "10k", "30")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	if w := f.c.Record().Winner; w != "" {
		t.Errorf("%q has won at 10k", w)
	}
	f.mark("b", "finish", "130")
	if w := f.c.Record().Winner; w != "b" {
		t.Errorf("the winner is %q", w)
	}
	f.mark("a", "finish", "130")
	if w := f.c.Record().Winner; w != "" {
		t.Errorf("of two equals %q has won", w)
	}
	f.irm("b", "finish", "DSQ")
	if w := f.c.Record().Winner; w != "a" {
		t.Errorf("the winner is %q", w)
	}
}
