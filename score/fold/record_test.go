package fold_test

import (
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
)

func TestTheWinnerIsNamedWhenTheContestIsFinishedAndNotDrawn(t *testing.T) {
	f := running(t, match)
	f.mustFold(score.TypeScorePlay, `{"competitor":"ROM","delta":1}`)
	if w := f.c.Record().Winner; w != "" {
		t.Errorf("%q has won while it runs", w)
	}
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	if w := f.c.Record().Winner; w != "ROM" {
		t.Errorf("the winner is %q", w)
	}
	f.mustFold(score.TypeScorePlay, `{"competitor":"GAU","delta":1}`)
	if w := f.c.Record().Winner; w != "" {
		t.Errorf("%q has won a draw", w)
	}
	f.wantRecord("GAU 1 0 1", "ROM 1 0 1")
}

func TestAContestWithoutCompetitorsHasNoWinner(t *testing.T) {
	for _, kind := range []string{"head_to_head", "ranked"} {
		f := running(t, `{"kind":"`+kind+`","sport":"ceremony"}`)
		f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
		if r := f.c.Record(); r.Winner != "" || len(r.Competitors) != 0 {
			t.Errorf("%+v", r)
		}
		if b := mustMarshal(t, f.c.Record()); !strings.Contains(b, `"competitors":[]`) {
			t.Errorf("competitors are not an empty array: %s", b)
		}
	}
}

func TestEqualResultsShareARankAndComeInTheListsOrder(t *testing.T) {
	f := running(t, `{"kind":"head_to_head","sport":"x","competitors":[{"code":"D","order":1},{"code":"C","order":9},{"code":"B","order":3},{"code":"A","order":3}]}`)
	f.wantRecord("D 0 0 1", "B 0 0 1", "A 0 0 1", "C 0 0 1")
	f.mustFold(score.TypeScoreSet, `{"result":{"A":3,"B":2,"C":2,"D":1},"period":"H1"}`)
	f.wantRecord("A 3 0 1", "B 2 0 2", "C 2 0 2", "D 1 0 4")
	for i, p := range f.c.Record().Competitors {
		if p.SortOrder != i+1 {
			t.Errorf("%s has sort order %d, want %d", p.Code, p.SortOrder, i+1)
		}
	}
}

func TestIfLowerIsBetterACompetitorWithoutAScoreIsNotTheBest(t *testing.T) {
	f := running(t, `{"kind":"head_to_head","sport":"golf","sort":"asc","tiebreak_periods":["PO"],"competitors":[{"code":"A"},{"code":"B"},{"code":"C"}]}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"C","delta":71}`)
	f.mustFold(score.TypeScorePlay, `{"competitor":"B","delta":-2}`)
	f.wantRecord("B -2 0 1", "C 71 0 2", "A 0 0 3")
	f.mustFold(score.TypeScoreSet, `{"result":{"C":-2},"period":"H1"}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"B":5,"C":4},"period":"PO"}`)
	f.wantRecord("C -2 4 1", "B -2 5 2", "A 0 0 3")
}

func TestARecordHasTheMembersOfTheAPI(t *testing.T) {
	c := fold.NewContest("OG50BC/CUR-M-GPA-01")
	f := &contestTest{t, c, &memMarks{contest: c}}
	f.mustFold(score.TypeContestDefine, `{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM","start_time":"2026-02-09T10:00:00Z","competitors":[
		{"code":"GAU","name":"Gaul","organisation":"GAU","type":"T","order":1},{"code":"ROM","name":"Rome","organisation":"ROM","type":"T","order":2}]}`)
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}`)
	f.mustFold(score.TypeScorePlay, `{"period":"END1","action":"END","competitor":"GAU","delta":2,"result":{"GAU":2,"ROM":0}}`)
	f.mustFold(score.TypeScorePlay, `{"period":"END1","action":"END","competitor":"ROM","delta":0}`)
	f.mustFold(score.TypeContestStatus, `{"period":"END2"}`)
	c.Revision = 8123
	want := `{"contest_id":"OG50BC/CUR-M-GPA-01","competition":"OG50BC","sport":"stone-curling","kind":"head_to_head","title":"GAU vs ROM",` +
		`"sort":"desc","schedule_status":"RUNNING","result_status":"LIVE","started":true,"period":"END2","periods":["END1","END2"],"clock":"","start_time":"2026-02-09T10:00:00Z","competitors":[` +
		`{"code":"GAU","name":"Gaul","organisation":"GAU","order":1,"result":2,"periods":{"END1":2,"END2":0},"tiebreak":0,"stats":{},"rank":1,"sort_order":1},` +
		`{"code":"ROM","name":"Rome","organisation":"ROM","order":2,"result":0,"periods":{"END1":0,"END2":0},"tiebreak":0,"stats":{},"rank":2,"sort_order":2}],` +
		`"winner":"","revision":8123,"updated_at":"2026-02-09T10:16:40Z"}`
	if got := mustMarshal(t, c.Record()); got != want {
		t.Errorf("the record is\n%s\nwant\n%s", got, want)
	}
}

func TestAFilterSelectsByEveryFieldThatIsSet(t *testing.T) {
	f := running(t, match)
	r := running(t, race)
	r.mark("7", "5k", "15.9")
	for _, c := range []struct {
		filter      score.Filter
		match, race bool
	}{
		{score.Filter{}, true, true},
		{score.Filter{Competition: "OG50BC"}, true, true},
		{score.Filter{Competition: "OG50"}, false, false},
		{score.Filter{Sport: "football"}, true, false},
		{score.Filter{Status: "RUNNING"}, true, true},
		{score.Filter{Status: "LIVE"}, true, true},
		{score.Filter{Status: "FINISHED"}, false, false},
		{score.Filter{Competitor: "ROM"}, true, false},
		{score.Filter{Competitor: "GAU"}, true, true}, // the runner's organisation
		{score.Filter{Competitor: "7"}, false, true},
		{score.Filter{Competition: "OG50BC", Sport: "football", Status: "LIVE", Competitor: "BRI"}, false, false},
		{score.Filter{Competition: "OG50BC", Sport: "football", Status: "LIVE", Competitor: "GAU"}, true, false},
	} {
		if f.c.Matches(c.filter) != c.match || r.c.Matches(c.filter) != c.race {
			t.Errorf("%+v chooses the match %v, the race %v", c.filter, !c.match, !c.race)
		}
	}
}

func TestASearchFindsWhomTheRecordShows(t *testing.T) {
	f := running(t, `{"kind":"ranked","sport":"athletics","title":"1500 m","competitors":[{"code":"7","name":"A. Renamed"}]}`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"7","name":"Aslı"}`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"8","name":"José","organisation":"ESP"}`)
	f.mustFold(score.TypeCompetitorDefine, `{"competitor":"9","name":"Jokić","organisation":"SRB"}`)
	f.mustFold(score.TypeResultSet, `{"competitor":"9","split":"finish","mark":250}`)
	stored := []byte(mustMarshal(t, f.c))
	for _, find := range []string{"asli", "jose", "esp", "jokic", "srb"} {
		if s := fold.NewSearcher(find); !s.MayMatch(stored) || !s.Matches(f.c) {
			t.Errorf("%q finds nothing", find)
		}
	}
}
