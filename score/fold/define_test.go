package fold_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
)

func TestWhatCannotBeClearedIsRefused(t *testing.T) {
	for data, field := range map[string]string{
		`{"kind":null,"sport":"x"}`: "data.kind", `{"kind":"ranked","sport":null}`: "data.sport",
	} {
		_, p := score.Decode([]byte(`{"type":"contest.define","contest_id":"A/1","data":` + data + `}`))
		if p == nil || p.Field != field {
			t.Errorf("%s: %v", data, p)
		}
	}
	clearing := func(member, venue string) *score.ContestDefine {
		d := score.ContestDefine{Venue: venue}
		d.Clear = []string{member}
		return &d
	}
	if _, err := score.MarshalData(clearing("venu", "")); err == nil ||
		!strings.Contains(err.Error(), `cannot clear "venu"; want one of kind, sport`) {
		t.Errorf("a member that does not exist: %v", err)
	}
	for _, d := range []*score.ContestDefine{clearing("venue", "Rome"), clearing("comment", "")} {
		e := score.Event{Type: score.TypeContestDefine, ContestID: "A/1", Data: d}
		if e.CheckData() == nil {
			t.Errorf("%+v passes", d)
		}
	}
}

func TestWhatADefinitionLeavesOutStays(t *testing.T) {
	f := define(t, match)
	f.mustFold(score.TypeContestDefine, `{"venue":"Rome","title":"Gaul vs Rome"}`)
	f.mustFold(score.TypeContestDefine, `{"phase":"final"}`)
	r := f.c.Record()
	if r.Sport != "football" || r.Venue != "Rome" || r.Phase != "final" || len(r.Competitors) != 2 ||
		!slices.Equal(f.c.Definition.TiebreakPeriods, []string{"SO"}) {
		t.Errorf("got %+v", r)
	}
	f.mustFold(score.TypeContestDefine, `{"venue":null,"tiebreak_periods":[],"title":""}`)
	if r := f.c.Record(); r.Venue != "" || r.Title != "" || f.c.Definition.TiebreakPeriods != nil || r.Phase != "final" {
		t.Errorf("null clears; got %+v", r)
	}
	// Of a competitor who stays on the list, too.
	f.mustFold(score.TypeContestDefine, `{"competitors":[{"code":"GAU"},{"code":"ROM","name":"Roma"},{"code":"BRI"}]}`)
	if got := f.member("GAU", "name") + f.member("ROM", "name") + f.member("BRI", "name"); got != `"Gaul""Roma"""` {
		t.Errorf("the names are %s", got)
	}
	f.mustFold(score.TypeContestDefine, `{"competitors":null}`)
	if r := f.c.Record(); len(r.Competitors) != 0 {
		t.Errorf("got %+v", r.Competitors)
	}
}

func TestTheFirstDefinitionNeedsAKindAndASport(t *testing.T) {
	for data, field := range map[string]string{
		`{"sport":"x"}`: "data.kind", `{"kind":"ranked"}`: "data.sport", `{"venue":"Rome"}`: "data.kind",
	} {
		f := &contestTest{t, fold.NewContest("OG50BC/X/1"), nil}
		f.m = &memMarks{contest: f.c}
		f.wantRefused(score.TypeContestDefine, data, score.InvalidEvent, field, "the first contest.define of a contest")
	}
}

// What fits alone may not fit what was defined before.
func TestADefinitionIsCheckedAsAWhole(t *testing.T) {
	f := define(t, match)
	f.wantRefused(score.TypeContestDefine, `{"splits":["5k"]}`, score.InvalidEvent, "data.splits",
		"only a ranked contest")
	f.wantRefused(score.TypeContestDefine, `{"kind":"ranked"}`, score.InvalidEvent, "data.tiebreak_periods",
		"only a head_to_head contest")
	f.mustFold(score.TypeContestDefine, `{"kind":"ranked","tiebreak_periods":null}`)
	if f.c.Record().Kind != score.Ranked {
		t.Error("the kind did not change before the first play")
	}
	f.wantRefused(score.TypeContestDefine, `{"result_type":"TIME","unit":"parsec"}`, score.InvalidEvent, "data.unit",
		"parsec")
}

// decisive has a change of each member that decides what plays and marks amount to.
var decisive = map[string][]string{
	match: {
		`{"sort":"asc"}`, `{"result_type":"TIME","unit":"s"}`, `{"unit":"pt"}`, `{"tiebreak_periods":null}`,
		`{"tiebreak_periods":["SO","ET"]}`, `{"precision":1}`, `{"result_type":null}`,
		`{"competitors":[{"code":"GAU"}]}`,
	},
	race: {
		`{"sort":"desc"}`, `{"result_type":"DISTANCE"}`, `{"unit":"h"}`, `{"unit2":"s"}`, `{"sort2":"desc"}`,
		`{"precision":3}`, `{"splits":["5k","finish"]}`, `{"splits":null}`,
	},
}

func TestADefinitionCannotChangeWhatPlaysAndMarksAmountTo(t *testing.T) {
	for definition, changes := range decisive {
		begin := func() *contestTest {
			f := running(t, definition)
			if definition == match {
				f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":2}`)
			} else {
				f.mark("a", "5k", "15")
			}
			return f
		}
		for _, change := range changes {
			f := define(t, definition)
			f.mustFold(score.TypeContestDefine, change) // before
			field, _, _ := strings.Cut(strings.TrimPrefix(change, `{"`), `"`)
			begin().wantRefused(score.TypeContestDefine, change, score.StatusConflict, "data."+field, "give a reason")
			f = begin()
			f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
			f.wantRefused(score.TypeContestDefine, change, score.StatusConflict, "data."+field, "give a reason")
		}
		begin().mustFold(score.TypeContestDefine,
			`{"venue":"Rome","title":"t","medal_event":1,"start_time":"2026-02-09T10:00:00Z"}`)
	}
}

func TestTheSameDefinitionAgainNeedsNoReason(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":2}`)
	f.mustFold(score.TypeContestDefine, match)
	f.mustFold(score.TypeContestDefine, `{"sort":"desc"}`) // as it is by default
	f = running(t, `{"kind":"ranked","sport":"x","result_type":"TIME"}`)
	f.mark("a", "finish", "1")
	f.mustFold(score.TypeContestDefine, `{"sort":"asc","splits":["finish"],"sort2":"asc","unit":"s"}`)
}

func TestASideOfAMatchThatHasBegunNeverVanishes(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`)
	f.wantRefused(score.TypeContestDefine, `{"competitors":[{"code":"GAU","order":1}],"venue":"Rome"}`,
		score.StatusConflict, "data.competitors", `"ROM" is missing from the list`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":1}`)
}

// There is no play in a match that is 0:0, or was not played.
func TestASideOfAMatchWithoutPlaysNeverVanishes(t *testing.T) {
	changes := map[string]string{
		"data.competitors": `{"competitors":[{"code":"GAU"},{"code":"BRI"}]%s}`,
		"data.kind":        `{"kind":"ranked","tiebreak_periods":null%s}`,
	}
	for name, steps := range map[string][]string{
		"running":  {`contest.status {"schedule_status":"RUNNING","period":"H1"}`},
		"draw":     {`contest.status {"schedule_status":"RUNNING"}`, `contest.status {"schedule_status":"FINISHED"}`},
		"walkover": {`contest.decide {"winner":"GAU","decision":"WALKOVER"}`},
		"official": {`contest.status {"schedule_status":"CANCELLED","result_status":"OFFICIAL"}`},
	} {
		for field, change := range changes {
			f := define(t, match)
			f.mustFold(score.TypeContestDefine, match)
			for _, s := range steps {
				typ, data, _ := strings.Cut(s, " ")
				f.mustFold(score.Type(typ), data)
			}
			f.wantRefused(score.TypeContestDefine, fmt.Sprintf(change, ""), score.StatusConflict, field, "give a reason")
			f.mustFold(score.TypeContestDefine, `{"venue":"Rome","tiebreak_periods":["SO","ET"]}`)
			f.mustFold(score.TypeContestDefine, fmt.Sprintf(change, `,"reason":"Rome has withdrawn"`))
			if r := f.c.Record(); r.Corrected {
				t.Errorf("%s: without a play there is nothing to correct", name)
			}
		}
	}
}

func TestCompetitorDefineAddsAndChangesACompetitorOfAMatch(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"GAU","name":"Gallia","order":5}`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"BRI","name":"Britain"}`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"GAU","organisation":null}`)
	r := f.c.Record()
	if f.member("GAU", "name") != `"Gallia"` || f.member("GAU", "organisation") != `""` ||
		f.member("BRI", "name") != `"Britain"` || f.member("GAU", "result") != "1" || len(r.Competitors) != 3 {
		t.Errorf("got %+v", r.Competitors)
	}
	f.wantRefused(score.TypeContestDefine, `{"kind":"ranked","tiebreak_periods":null}`, score.StatusConflict, "data.kind",
		"has competitors by competitor.define")
	undefined := &contestTest{t, fold.NewContest("OG50BC/X/2"), nil}
	if p := undefined.fold(score.TypeCompetitorDefine, `{"competitor":"A"}`, fold.Live); p == nil ||
		!strings.Contains(p.Detail, "not defined") {
		t.Errorf("without a contest: %v", p)
	}
}

func TestTheStartListOfARaceIsNotInTheContest(t *testing.T) {
	const runners = 3000
	f := running(t, `{"kind":"ranked","sport":"x","result_type":"TIME"}`)
	for i := range runners {
		f.mustFold(score.TypeCompetitorDefine,
			fmt.Sprintf(`{"competitor":"c%d","name":"Runner %d","order":%d}`, i, i, i+1))
	}
	r := f.c.Record()
	if *r.Total != runners || len(r.Competitors) != 10 || r.Competitors[0].Name != "Runner 0" {
		t.Errorf("before the start: %d of %d, %+v", len(r.Competitors), *r.Total, r.Competitors)
	}
	if n := len(mustMarshal(t, f.c)); n > 3000 {
		t.Errorf("the contest has %d bytes", n)
	}
	f.mark("c7", "finish", "100")
	f.mark("stranger", "finish", "101")
	if r := f.c.Record(); r.Competitors[0].Name != "Runner 7" || r.Competitors[1].Name != "stranger" {
		t.Errorf("got %+v", r.Competitors)
	}
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"c7","name":"Runner Seven","organisation":"GAU"}`)
	if r := f.c.Record(); r.Competitors[0].Name != "Runner Seven" || r.Competitors[0].Organisation != "GAU" {
		t.Errorf("a change of name and team: %+v", r.Competitors[0])
	}
}

func TestALateEntryMayCompeteInARaceWithAList(t *testing.T) {
	f := running(t, `{"kind":"ranked","sport":"x","competitors":[{"code":"A","name":"Asterix","organisation":"GAU"}]}`)
	f.wantRefused(score.TypeResultSet, `{"competitor":"B","split":"finish","mark":1}`, score.InvalidEvent,
		"data.competitor", `"B" does not compete here; want one of A`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"B","name":"Britannix"}`)
	f.mark("B", "finish", "1")
	f.mark("A", "finish", "2")
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"A","organisation":"ROM"}`)
	got := f.member("A", "name") + f.member("A", "organisation") + f.member("B", "name")
	if got != `"Asterix""ROM""Britannix"` {
		t.Errorf("got %s", got)
	}
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"A","organisation":null}`)
	if got := f.member("A", "organisation"); got != `"GAU"` {
		t.Errorf("null brings back what the list has; got %s", got)
	}
	if r := f.c.Record(); *r.Total != 2 {
		t.Errorf("%d compete", *r.Total)
	}
	f.mustFold(score.TypeContestDefine, `{"competitors":[{"code":"A"},{"code":"C"}]}`) // B is entered
}

func TestUnknownCompetitorsAreToldHowManyThereAre(t *testing.T) {
	f := running(t, crowd(900))
	f.wantRefused(score.TypeScorePlay, `{"competitor":"9001","delta":1}`, score.InvalidEvent, "data.competitor",
		"c19 or of 880 more")
}

func TestACategoryByDefinitionIsThatOfAllMarks(t *testing.T) {
	f := running(t, race)
	f.mark("a", "5k", "15")
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"a","categories":["M","M40"]}`)
	f.mark("a", "10k", "31")
	f.mustFold(score.TypeResultSet, `{"competitor":"a","split":"finish","mark":130,"category":"CLUB"}`)
	for _, split := range []string{"5k", "10k", "finish"} {
		first, _ := f.m.First(split, 1)
		if got := first[0].Categories.String(); got != "CLUB, M, M40" {
			t.Errorf("at %s the categories are %s", split, got)
		}
	}
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"a","categories":null}`)
	if first, _ := f.m.First("5k", 1); first[0].Categories.String() != "CLUB" {
		t.Errorf("the categories are %s", first[0].Categories)
	}
	f.mustFold(score.TypeContestDefine, `{"competitors":[{"code":"a","categories":["F"]}]}`)
	if first, _ := f.m.First("5k", 1); first[0].Categories.String() != "CLUB, F" {
		t.Errorf("with a list the categories are %s", first[0].Categories)
	}
}
