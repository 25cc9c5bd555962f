package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
)

func TestATimeIsConvertedExactly(t *testing.T) {
	for _, c := range []struct{ unit, mark, want string }{
		{"s", `9.79`, "9.79"},
		{"", `9.79`, "9.79"},
		{"min", `131.52`, "7891.2"},
		{"min", `130.983`, "7858.98"},
		{"min", `"2:10:59"`, "7859"}, // whole seconds survive minutes
		{"min", `0.001`, "0.06"},
		{"min", `-1.5`, "-90"},
		{"h", `2.5`, "9000"},
		{"h", `0.001`, "3.6"},
		{"s", `"2:11:31.2"`, "7891.2"},
		{"h", `"02:11:31.200"`, "7891.2"},
		{"s", `"9:58.1"`, "598.1"},
		{"s", `"0:09.79"`, "9.79"},
		{"s", `"131:31.2"`, "7891.2"},
		{"s", `"100:00:00"`, "360000"},
	} {
		f := running(t, `{"kind":"ranked","sport":"x","result_type":"TIME","unit":"`+c.unit+`"}`)
		f.mustFold(score.TypeResultSet, `{"competitor":"a","split":"finish","mark":`+c.mark+`}`)
		r := f.c.Record()
		if got := r.Competitors[0].Result; got.String() != c.want || r.Unit != "s" || r.Sort != "asc" {
			t.Errorf("%s %s is %s %s, sorted %s; want %s s, asc", c.mark, c.unit, got, r.Unit, r.Sort, c.want)
		}
	}
}

func TestATimeThatCannotBeKeptIsRefused(t *testing.T) {
	refuse := func(define, mark, detail string) {
		t.Helper()
		f := running(t, `{"kind":"ranked","sport":"x",`+define+`}`)
		f.wantRefused(score.TypeResultSet, `{"competitor":"a","split":"finish","mark":`+mark+`}`,
			score.InvalidEvent, "data.mark", detail)
	}
	refuse(`"result_type":"TIME","unit":"h"`, `999999999999`, "the largest is 999999999999.999 s")
	refuse(`"result_type":"POINTS"`, `"2:11:31"`, "which is a time; want a number, or define the contest with the result_type TIME")
	for _, mark := range []string{`""`, `"9.79"`, `"1:2"`, `"1:60"`, `"1:60:00"`, `"1:00.0001"`, `"1:00."`, `":10"`,
		`"1::10"`, `"1:2:3:4"`, `"-1:00"`, `"1:00,5"`, `" 1:00"`, `"1:0a"`, `"9999999999:00"`, `"999999999:00:00"`,
		`"` + strings.Repeat("0", 40) + `1:00"`, `true`, `[]`} {
		e := `{"type":"result.set","contest_id":"G/1","data":{"competitor":"a","split":"finish","mark":` + mark + `}}`
		if _, p := score.Decode([]byte(e)); p == nil || p.Field != "data.mark" {
			t.Errorf("a mark of %s is not refused: %v", mark, p)
		}
	}
}

func TestTheUnitOfTimesIsKnown(t *testing.T) {
	c := fold.NewContest("G/1")
	f := &contestTest{t, c, &memMarks{contest: c}}
	for _, unit := range []string{"sec", "ms", "minutes", "S"} {
		f.wantRefused(score.TypeContestDefine, `{"kind":"ranked","sport":"x","result_type":"TIME","unit":"`+unit+`"}`,
			score.InvalidEvent, "data.unit", "want s, min or h")
	}
	f.wantRefused(score.TypeContestDefine, `{"kind":"head_to_head","sport":"x","result_type":"TIME","unit":"min"}`,
		score.InvalidEvent, "data.unit", "counts times in s")
	f.mustFold(score.TypeContestDefine, `{"kind":"ranked","sport":"x","result_type":"POINTS","unit":"minutes"}`)
}

func TestPlaceOrdersEqualMarks(t *testing.T) {
	f := running(t, race)
	f.mark("a", "finish", "9.79")
	f.mark("b", "finish", "9.79")
	f.mark("c", "finish", "9.79")
	f.wantRecord("a 9.79 0 1", "b 9.79 0 1", "c 9.79 0 1")
	f.mustFold(score.TypeResultSet, `{"competitor":"b","split":"finish","mark":9.79,"place":1}`)
	f.wantRecord("b 9.79 0 1", "a 9.79 0 2", "c 9.79 0 2")
	f.mustFold(score.TypeResultSet, `{"competitor":"c","split":"finish","mark":9.79,"place":2}`)
	f.mark("d", "finish", "9.7") // a place does not beat a better mark
	f.wantRecord("d 9.7 0 1", "b 9.79 0 2", "c 9.79 0 3", "a 9.79 0 4")
	f.irm("d", "finish", "DSQ")
	f.mustFold(score.TypeContestStatus, `{"schedule_status":"FINISHED"}`)
	if w := f.c.Record().Winner; w != "b" {
		t.Errorf("the winner is %q", w)
	}
	for _, place := range []string{"0", "-1", "1.5", "1000001"} {
		e := `{"type":"result.set","contest_id":"G/1","data":{"competitor":"a","split":"finish","mark":1,"place":` +
			place + `}}`
		if _, p := score.Decode([]byte(e)); p == nil || p.Field != "data.place" {
			t.Errorf("the place %s is not refused: %v", place, p)
		}
	}
}

func TestASecondMarkOrdersEqualMarksInItsOwnDirection(t *testing.T) {
	set := func(f *contestTest, who, mark, mark2 string) {
		f.t.Helper()
		f.mustFold(score.TypeResultSet, fmt.Sprintf(`{"competitor":%q,"split":"finish","mark":%s,"mark2":%s}`, who, mark,
			mark2))
	}
	f := running(t, `{"kind":"ranked","sport":"programming","result_type":"POINTS","unit2":"minutes"}`)
	set(f, "a", "9", "1021")
	set(f, "b", "9", "899")
	set(f, "c", "9", "899")
	f.mark("d", "finish", "9") // without a second mark it comes after those with one
	set(f, "e", "10", "5000")
	f.wantRecord("e 10 0 1", "b 9 0 2", "c 9 0 2", "a 9 0 4", "d 9 0 5")
	f = running(t, `{"kind":"ranked","sport":"x","result_type":"POINTS","sort2":"desc"}`)
	set(f, "a", "9", "1")
	set(f, "b", "9", "2")
	f.wantRecord("b 9 0 1", "a 9 0 2")
	// Laps, and the time they took.
	f = running(t, `{"kind":"ranked","sport":"cycling","result_type":"POINTS","unit":"laps","unit2":"min"}`)
	set(f, "a", "53", `"1:02:03.4"`)
	set(f, "b", "53", `62.05`)
	f.wantRecord("b 53 0 1", "a 53 0 2")
	r := f.c.Record()
	if a := r.Competitors[1]; r.ResultText(a.Result, a.Mark2, "", "") != "53 / 1:02:03.4" || r.EventUnit2 != "min" {
		t.Errorf("%+v", r)
	}
	f = running(t, `{"kind":"ranked","sport":"x","result_type":"TIME"}`) // only its marks are times
	f.wantRefused(score.TypeResultSet, `{"competitor":"a","split":"finish","mark":1,"mark2":"1:00"}`,
		score.InvalidEvent, "data.mark2", "which is a time; want a number, or define the contest with a unit2 of s, min or h")
}

func TestWithoutARankTheOrderIsHowFarTheyCameThenTheCode(t *testing.T) {
	f := running(t, race)
	f.mark("1", "finish", "130")
	for i, irm := range []string{"DQB", "DSQ", "DNS", "WDR", "RET", "DNF", "NM", "OTL", "LAP"} {
		f.irm(fmt.Sprint(i+2), "finish", irm)
	}
	f.wantRecord("1 130 0 1", "10 - 0 0 LAP", "9 - 0 0 OTL", "8 - 0 0 NM", "7 - 0 0 DNF", "6 - 0 0 RET", "5 - 0 0 WDR",
		"4 - 0 0 DNS", "3 - 0 0 DSQ", "2 - 0 0 DQB")
	f = running(t, race)
	f.irm("a", "finish", "DNF")
	f.mark("b", "5k", "15")
	f.irm("b", "finish", "DNF")
	f.irm("c", "finish", "DNF")
	f.mark("c", "10k", "33") // read late
	f.mark("d", "finish", "130")
	f.irm("e", "finish", "DNS")
	f.irm("f", "finish", "DSQ")
	f.wantRecord("d 130 0 1", "c - 0 0 DNF", "b - 0 0 DNF", "a - 0 0 DNF", "e - 0 0 DNS", "f - 0 0 DSQ")
}

func TestADisqualificationStrikesAllSplitsUntilItIsTakenBack(t *testing.T) {
	f := running(t, race)
	f.mark("a", "5k", "15")
	f.mark("b", "5k", "16")
	f.mark("a", "10k", "30")
	f.mark("b", "10k", "31")
	f.irm("a", "finish", "DSQ")
	f.wantRecord("b 31 0 1", "a - 0 0 DSQ")
	f.mark("a", "5k", "14") // does not bring it back
	f.wantSplit("5k", "b 16", "a DSQ")
	f.irm("a", "finish", "DQB")
	f.wantSplit("5k", "b 16", "a DQB")
	f.irm("a", "5k", "DNF") // nor does a code that does not strike, whichever comes first
	f.wantSplit("10k", "b 31", "a DQB")
	f.mark("a", "5k", "14")
	f.irm("b", "5k", "DNF")
	f.irm("b", "10k", "DSQ")
	f.wantSplit("5k", "b DSQ", "a DQB")
	f.mark("b", "5k", "16")
	f.mark("b", "10k", "31")
	f.mark("a", "finish", "130")
	f.wantRecord("a 130 0 1")
	f.wantSplit("5k", "a 14", "b 16")
	f.wantSplit("10k", "a 30", "b 31")
}

func TestWhoDoesNotFinishKeepsTheSplitsAndSaysSo(t *testing.T) {
	f := running(t, race)
	f.mark("a", "5k", "15")
	f.mark("b", "5k", "16")
	f.irm("a", "10k", "DNF")
	f.wantSplit("5k", "a 15 DNF", "b 16")
	f.mark("a", "finish", "120") // a false read leads, and says so
	r := f.c.Record()
	if a := r.Competitors[0]; a.Code != "a" || a.Out != "DNF" || a.Rank != 1 {
		t.Errorf("%+v", a)
	}
}

// wantSplit compares the marks at a split with what is wanted, in order.
func (f *contestTest) wantSplit(split string, want ...string) {
	f.t.Helper()
	var got []string
	list, _ := f.m.First(split, 100)
	for _, m := range list {
		value := &m.Value
		if m.IRM != "" || m.Unplaced() != "" {
			value = nil
		}
		text := (&mark.Format{}).ResultText(value, m.Mark2, m.Unplaced(), m.Out)
		got = append(got, m.Competitor+" "+text)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("at %s there are %q; want %q", split, got, want)
	}
}

func TestCategoriesBelongToTheCompetitor(t *testing.T) {
	f := running(t, race)
	set := func(who, split, mark, category string) {
		t.Helper()
		f.mustFold(score.TypeResultSet, fmt.Sprintf(`{"competitor":%q,"split":%q,"mark":%s,"category":%q}`, who, split,
			mark, category))
	}
	set("1", "5k", "15", "M")
	f.mark("1", "10k", "30")
	set("1", "finish", "130", "M40-49")
	f.irm("1", "finish", "DNF")
	for _, split := range []string{"5k", "10k", "finish"} {
		list, _ := f.m.First(split, 1)
		if got := list[0].Categories.String(); got != "M, M40-49" {
			t.Errorf("at %s the categories are %q", split, got)
		}
	}
	for i := range score.MaxCategories - 2 {
		set("1", "5k", "15", fmt.Sprint("C", i))
	}
	f.wantRefused(score.TypeResultSet, `{"competitor":"1","split":"5k","mark":1,"category":"one more"}`, score.TooLarge,
		"data.category", "17 categories; the most is 16")
	set("1", "5k", "15", "M")
}

func TestTheErrorForAnUnknownSplitHasAFewOfThem(t *testing.T) {
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprintf(`"lap %d"`, i+1)
	}
	f := running(t, `{"kind":"ranked","sport":"x","splits":[`+strings.Join(names, ",")+`]}`)
	f.wantRefused(score.TypeResultSet, `{"competitor":"a","split":"lap","mark":1}`,
		score.InvalidEvent, "data.split", `got "lap"; want one of lap 1, lap 2, `)
	f.wantRefused(score.TypeResultSet, `{"competitor":"a","split":"lap","mark":1}`,
		score.InvalidEvent, "data.split", "lap 19, lap 20 or of 180 more")
}
