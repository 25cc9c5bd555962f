package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

func TestThePageWritesMarksAsInTheTable(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("../../../testdata/marks.json")
	if err != nil {
		t.Fatal(err)
	}
	built := api.Build(api.BuildOptions{
		EntryPoints: []string{"../app/marks.ts"},
		Bundle:      true,
		Format:      api.FormatIIFE,
		GlobalName:  "marks",
		Target:      api.ES2022,
		LogLevel:    api.LogLevelSilent,
	})
	if len(built.Errors) > 0 {
		t.Fatal(built.Errors)
	}
	b := newTab(t, desktop, nil).open("about:blank")
	wrong := eval[[]string](b, string(built.OutputFiles[0].Contents)+`;(`+string(table)+`).map((e, i) => {
		const text = marks.resultText(e, { ...e, mark: e.mark ?? null })
		const gap = e.diff === undefined ? '' : marks.gapText(e, e.mark, e.diff)
		return text === e.text && gap === (e.gap ?? '') ? '' : i + ' is written ' + text + ', gap ' + gap
	}).filter(Boolean)`)
	for _, w := range wrong {
		t.Errorf("example %s", w)
	}
}

func TestAMarathonInMinutesIsShownInHours(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const contest = "D01/MAR"
	s.Post(
		`{"type":"contest.define","contest_id":"`+contest+`","data":{"kind":"ranked","sport":"marathon",`+
			`"title":"Marathon, minutes","result_type":"TIME","unit":"min"}}`,
		`{"type":"contest.status","contest_id":"`+contest+`","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		setMark(contest, "finish", "2888", "131.52"), setMark(contest, "finish", "31", "130.983"),
		setMark(contest, "finish", "7", `"2:10:59"`))
	b := newTab(t, phone, nil).open(s.URL(0) + "/#/contest/" + contest).live()
	for competitor, want := range map[string]string{
		"31": "1 31 GAU \u00b7 M 2:10:58.98", "7": "2 7 GAU \u00b7 M 2:10:59 +0.02", "2888": "3 2888 GAU \u00b7 M 2:11:31.2 +32.22",
	} {
		b.until(competitor+" as "+want, row(competitor)+` === `+fmt.Sprintf("%q", want))
	}
	// The timeline has what the bard gave: minutes, and a time as on a clock.
	b.until("the marks of the timeline", `['2:11:31.2', '2:10:58.98', '2:10:59'].every(
		(m) => document.querySelector('.timeline').innerText.includes(m))`)
}

func TestTheMenuOffersAllCategoriesAndARunnerKeepsThem(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	var events []string
	for i := range 60 {
		events = append(events, fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":{"competitor":"%d","split":"10k",`+
			`"mark":%d,"category":"C%02d"}}`, race, i, 1800+i, i),
			fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":{"competitor":"%d","split":"20k","mark":%d}}`, race, i,
				3600+i))
	}
	s.Post(events...)
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("all categories in the menu", `document.querySelectorAll('.category option').length === 61`)
	show(b, "#/contest/"+race+"?category=C59", order+` === '59'`)
}

func TestARowSaysWhyItHasNoMarkOrIsOutElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(setMark(race, "10k", "5", "1800"), setMark(race, "10k", "1", "1700"), setMark(race, "10k", "2", "1750"),
		setMark(race, "finish", "5", "7400"), setMark(race, "finish", "1", "DSQ"), setMark(race, "finish", "2", "DNF"),
		setMark(race, "finish", "3", "DNS"), setMark(race, "finish", "4", "LAP"))
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("the order at the finish", order+` === '5,2,4,3,1'`)
	show(b, "#/contest/"+race+"?split=10k", order+` === '2,5,1'`)
	for competitor, want := range map[string]string{"2": "29:10 DNF", "1": "DSQ"} {
		got := eval[string](b, row(competitor))
		if !strings.HasSuffix(got, want) && !strings.Contains(got, want+" ") {
			t.Errorf("%s is shown as %q; want %q", competitor, got, want)
		}
	}
}

func TestEveryScoreOfAContestIsWrittenAlike(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const contest = "D16/P"
	s.Post(
		`{"type":"contest.define","contest_id":"D16/P","data":{"kind":"head_to_head","sport":"judo","title":"Gaul vs Rome","precision":1,`+
			`"competitors":[{"code":"GAU","order":1},{"code":"ROM","order":2}]}}`,
		`{"type":"contest.status","contest_id":"D16/P","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		`{"type":"score.play","contest_id":"D16/P","data":{"competitor":"GAU","delta":2,"period":"R1","result":{"GAU":2,"ROM":0}}}`,
		`{"type":"score.set","contest_id":"D16/P","data":{"result":{"GAU":1},"adjustment":true,"reason":"a fault"}}`,
	)
	b := newTab(t, desktop, nil).open(s.URL(0) + "/#/contest/" + contest).live()
	b.until("the line score", lineScore+` === 'Team R1 Adj. Total | GAU 2.0 \u22121.0 1.0 | ROM 0.0 0.0 0.0'`)
	b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length === 4`)
	text := joinFields(eval[string](b, `document.querySelector('.timeline tbody').innerText`))
	for _, want := range []string{"+2.0 2.0:0.0", "Score set: GAU 1.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("the timeline lacks %q: %s", want, text)
		}
	}
}

func TestThePageNamesTheLengthOfAStartListThatItDoesNotShow(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	const says = `[...document.querySelectorAll('.ranking .empty')].map((e) => e.innerText).join() === `
	enter := func(from, to int) {
		var events []string
		for i := from; i <= to; i++ {
			events = append(events, fmt.Sprintf(`{"type":"competitor.define","contest_id":%q,"data":{"competitor":"%d","name":"N%[2]d"}}`,
				race, i))
		}
		s.Post(events...)
	}
	enter(1, 10)
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("ten competitors", `document.querySelectorAll('.ranking tbody tr').length === 10 && `+says+`''`)
	enter(11, 30)
	b.until("a long start list", says+`'The start list has 30 competitors.'`)
	s.Post(setMark(race, "10k", "7", "1800"))
	b.until("a long start list below a mark", order+`.startsWith('N7') && `+says+`'The start list has 30 competitors.'`)
}
