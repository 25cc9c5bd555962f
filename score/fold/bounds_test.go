package fold_test

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// crowd returns the definition of a match of n competitors.
func crowd(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"code":"c%d"}`, i))
	}
	return `{"kind":"head_to_head","sport":"golf","competitors":[` + strings.Join(list, ",") + `]}`
}

// stats returns statistics with the numbers from to from+n-1.
func stats(from, n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"s%d":1`, from+i))
	}
	return strings.Join(list, ",")
}

// Every competitor has a number for every period, also for one in which it did not score.
func TestTheNumbersOfAContestAreBounded(t *testing.T) {
	const each, competitors = 200, 50
	f := running(t, crowd(competitors)) // in the period H1
	for i := range competitors {
		f.mustFold(score.TypeScorePlay, fmt.Sprintf(`{"competitor":"c%d","delta":1,"stats_delta":{%s}}`,
			i, stats(0, each-1)))
	}
	const detail = "the most of one contest is 10000"
	f.wantRefused(score.TypeScorePlay, `{"competitor":"c0","delta":1,"period":"P"}`, score.TooLarge, "data", detail)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"c0","delta":1,"stats_delta":{"more":1}}`, score.TooLarge, "data",
		detail)
	f.wantRefused(score.TypeScoreSet, `{"result":{"c0":1},"period":"P"}`, score.TooLarge, "data", detail)
	f.wantRefused(score.TypeContestStatus, `{"period":"P"}`, score.TooLarge, "data", detail)
	f.wantRefused(score.TypeContestDefine, crowd(competitors+1), score.TooLarge, "data", detail)
	f.wantRefused(score.TypeCompetitorDefine, `{"competitor":"late"}`, score.TooLarge, "data", detail)
	f.mustFold(score.TypeScorePlay, `{"competitor":"c0","delta":1,"stats_delta":{"s1":1}}`)
	f.mustFold(score.TypeScoreSet, `{"result":{"c0":1,"c1":7},"period":"H1"}`)
	// What was accepted once is accepted when it is folded again.
	if p := f.fold(score.TypeScorePlay, `{"competitor":"c0","delta":1,"period":"P"}`, fold.Replay); p != nil {
		t.Errorf("a replay is refused: %v", p)
	}
}

func TestTheCompetitorsOfAMatchAreBounded(t *testing.T) {
	f := running(t, crowd(1000))
	f.wantRefused(score.TypeCompetitorDefine, `{"competitor":"more"}`, score.TooLarge, "data.competitor",
		"has 1000 competitors")
}

// A list of codes is looked up in another way than a few of them.
func TestALongListOfCompetitorsIsScoredAsAShortOne(t *testing.T) {
	const n = 100
	f := running(t, crowd(n))
	var results []string
	for i := range n {
		results = append(results, fmt.Sprintf(`"c%d":%d`, i, i))
	}
	all := strings.Join(results, ",")
	f.mustFold(score.TypeScoreSet, `{"result":{`+all+`},"period":"P"}`)
	for _, i := range []int{0, 1, 99} {
		if got, want := f.member(fmt.Sprint("c", i), "result"), fmt.Sprint(i); got != want {
			t.Errorf("c%d has %s; want %s", i, got, want)
		}
	}
	f.mustFold(score.TypeScorePlay, `{"competitor":"c0","delta":0,"result":{`+all+`}}`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"c0","delta":1,"result":{`+all+`}}`, score.TotalMismatch,
		"data.result.c0", "the event gives 0")
	f.wantRefused(score.TypeScoreSet, `{"result":{`+all+`,"x":1}}`, score.InvalidEvent, "data.result",
		`"x" does not compete here`)
	f.wantRefused(score.TypeScorePlay, `{"competitor":"c0","delta":0,"result":{`+all+`,"x":1}}`, score.InvalidEvent,
		"data.result", `"x" does not compete here`)
	f.wantRefused(score.TypeContestDefine, crowd(n-1), score.StatusConflict, "data.competitors",
		`"c99" is missing from the list but has a score`)
	f.mustFold(score.TypeContestDefine, crowd(n+1))
	if got := f.member("c99", "result"); got != "99" {
		t.Errorf("after another definition c99 has %s", got)
	}
}

// countedMarks counts the marks that are read.
type countedMarks struct {
	*memMarks
	read int
}

func (m *countedMarks) First(split string, n int) ([]ranking.Mark, int) {
	first, total := m.memMarks.First(split, n)
	m.read += len(first)
	return first, total
}

func TestAMarkHasOnlyItsOwnSplitRead(t *testing.T) {
	const splits, competitors = 200, 20
	var names []string
	for i := range splits {
		names = append(names, fmt.Sprintf(`"s%d"`, i))
	}
	f := running(t, `{"kind":"ranked","sport":"x","splits":[`+strings.Join(names, ",")+`]}`)
	for i := range splits * competitors {
		f.irm(fmt.Sprint("c", i%competitors), fmt.Sprint("s", i/competitors), "DNF")
	}
	counted := &countedMarks{memMarks: f.m}
	fold := func(data string) (read int) {
		t.Helper()
		counted.read = 0
		e := event(t, fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":%s}`, f.c.ID, data))
		if p := f.c.Fold(e, counted, fold.Live); p != nil {
			t.Fatal(p)
		}
		return counted.read
	}
	for _, c := range []struct {
		data string
		most int
	}{
		{`{"competitor":"c1","split":"s0","irm":"DNS"}`, 0},
		{`{"competitor":"c1","split":"s199","irm":"DNS"}`, 10},
		{`{"competitor":"c1","split":"s100","mark":5}`, 10},
		{`{"competitor":"c2","split":"s150","irm":"DNS"}`, 0},
		{`{"competitor":"c2","split":"s100","irm":"DNS"}`, 10},
		{`{"competitor":"c1","split":"s100","irm":"DNS"}`, 10 + splits + 10}, // the last mark is gone
	} {
		if read := fold(c.data); read > c.most {
			t.Errorf("%s has %d marks read; want at most %d", c.data, read, c.most)
		}
	}
	if f.c.Split != "s199" || f.c.Total != competitors || len(f.c.Leaders) != 10 {
		t.Errorf("after the last mark is gone: split %s, %d marks, leaders %v", f.c.Split, f.c.Total, f.c.Leaders)
	}
}
