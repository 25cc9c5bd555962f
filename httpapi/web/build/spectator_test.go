package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// oddContests are contests with titles, names and times that lists have shown wrongly.
var oddContests = []string{
	`{"type":"contest.define","contest_id":"ODD/A","data":{"kind":"head_to_head","sport":"football","title":"A home vs A away",` +
		`"competitors":[{"code":"AH","name":"A home","order":1},{"code":"AA","name":"A away","order":2}],` +
		`"start_time":"2026-07-20T09:00:00+09:00"}}`,
	`{"type":"contest.define","contest_id":"ODD/B","data":{"kind":"head_to_head","sport":"football","title":"B home vs B away",` +
		`"competitors":[{"code":"BH","name":"B home","order":1},{"code":"BA","name":"B away","order":2}],` +
		`"start_time":"2026-07-19T20:00:00-05:00"}}`,
	`{"type":"contest.define","contest_id":"ODD/C","data":{"kind":"head_to_head","sport":"football","title":"C home vs C away",` +
		`"competitors":[{"code":"CH","name":"C home","order":1},{"code":"CA","name":"C away","order":2}],` +
		`"start_time":"2026-07-20T01:30:00Z"}}`,
	`{"type":"contest.define","contest_id":"ODD/D","data":{"kind":"head_to_head","sport":"football","title":"No time yet"}}`,
	`{"type":"contest.define","contest_id":"ODD/W","data":{"kind":"ranked","sport":"athletics","title":"Women 100 m",` +
		`"result_type":"TIME","unit":"s"}}`,
	`{"type":"contest.status","contest_id":"ODD/W","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
	`{"type":"result.set","contest_id":"ODD/W","data":{"competitor":"1","split":"finish","mark":10.8}}`,
	`{"type":"contest.define","contest_id":"ODD/M","data":{"kind":"ranked","sport":"athletics","title":"Men 100 m",` +
		`"result_type":"TIME","unit":"s"}}`,
	`{"type":"contest.status","contest_id":"ODD/M","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
	`{"type":"result.set","contest_id":"ODD/M","data":{"competitor":"1","split":"finish","irm":"DNS"}}`,
	`{"type":"contest.define","contest_id":"ODD/S","data":{"kind":"head_to_head","sport":"hockey","title":"Final: Canada vs USA",` +
		`"competitors":[{"code":"CAN","name":"Canada","order":1},{"code":"USA","name":"United States","order":2}]}}`,
	`{"type":"contest.define","contest_id":"ODD/E","data":{"kind":"head_to_head","sport":"football","title":"\u202eevil vs Rome",` +
		`"competitors":[{"code":"EVI","name":"\u202eevil","order":1},{"code":"ROM","name":"Rome","order":2}]}}`,
	`{"type":"contest.define","contest_id":"ODD/H","data":{"kind":"head_to_head","sport":"football","title":"שלום vs عمان",` +
		`"event":"ליגה 1","competitors":[{"code":"SHA","name":"שלום","order":1},{"code":"OMA","name":"عمان","order":2}]}}`,
	`{"type":"contest.define","contest_id":"ODD/G","data":{"kind":"head_to_head","sport":"football",` +
		`"title":"Guinea-Bissau vs Guinea","competitors":[{"code":"GBS","name":"Guinea-Bissau","order":1},` +
		`{"code":"GUI","name":"Guinea","order":2}]}}`,
	`{"type":"contest.define","contest_id":"ODD/J","data":{"kind":"head_to_head","sport":"stone-curling","title":"José vs Jokić",` +
		`"competitors":[{"code":"JOS","name":"José","order":1},{"code":"JOK","name":"Jokić","order":2}]}}`,
}

func TestOddContestsAreTheSameWithoutScripts(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(oddContests...)
	bare := newTab(t, device{width: 1280, height: 800, noScript: true}, nil).open(s.URL(0))
	before := joinFields(get(bare, chromedp.Text("main")))
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	if after := joinFields(eval[string](b, `document.querySelector('main').innerText`)); before != after {
		t.Errorf("without scripts the page is\n%s\nwith scripts\n%s", before, after)
	}
	for _, want := range []string{"Women 100 m", "Men 100 m", "Final: Canada vs USA", "20 Jul 2026 09:00 UTC+9",
		"19 Jul 2026 20:00 UTC\u22125", "20 Jul 2026 01:30 UTC", "DNS"} {
		if !strings.Contains(before, want) {
			t.Errorf("the list lacks %q:\n%s", want, before)
		}
	}
	next := `[...document.querySelectorAll('.contests a')].map((a) => a.hash.split('/').at(-1)).filter((id) => 'ABCD'.includes(id)).join('')`
	if got := eval[string](b, next); got != "ABCD" {
		t.Errorf("the order of Next is %s", got)
	}
}

func TestTheHeadlineSaysWhatTheContestIsCalled(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(oddContests...)
	b := newTab(t, phone, nil).open(s.URL(0)).live()
	for id, want := range map[string]string{
		"S": "Final: Canada vs USA", "G": "Guinea-Bissau – Guinea", "W": "Women 100 m", "D": "No time yet",
	} {
		show(b, "#/contest/ODD/"+id, fmt.Sprintf(`document.querySelector('h1').textContent === %q`, want))
		b.until("the title of the page", fmt.Sprintf(`document.title.startsWith(%q)`, want))
	}
}

func TestANameDoesNotTurnTheOtherSideRound(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(oddContests...)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	for id, names := range map[string][2]string{"E": {"evil", "Rome"}, "H": {"שלום", "عمان"}} {
		show(b, "#/contest/ODD/"+id, `document.querySelectorAll('h1 bdi').length === 2`)
		b.until("the names in their order", fmt.Sprintf(`(() => {
			const [a, b] = [...document.querySelectorAll('h1 bdi')].map((e) => e.getBoundingClientRect())
			const [c, d] = [...document.querySelectorAll('h1 bdi')].map((e) => e.textContent)
			return c === %q && d === %q && a.right < b.left
		})()`, names[0], names[1]))
	}
	// The letters of the second name are in the order in which they are written.
	show(b, "#/contest/ODD/E", `document.querySelector('h1').textContent === 'evil – Rome'`)
	b.until("Rome from left to right", `(() => {
		const text = document.querySelectorAll('h1 bdi')[1].firstChild
		const left = (i) => {
			const range = document.createRange()
			range.setStart(text, i)
			range.setEnd(text, i + 1)
			return range.getBoundingClientRect().left
		}
		return left(0) < left(1) && left(1) < left(2)
	})()`)
}

func TestSearchIgnoresAccentsHyphensAndCase(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(oddContests...)
	s.Post(defineMatch("CUR26/CUR-M-GPA-01")...)
	s.Post(`{"type":"contest.define","contest_id":"ODD/O","data":{"kind":"head_to_head","sport":"hurling","title":"t",`+
		`"competitors":[{"code":"OBR","name":"O’Brien","order":1},{"code":"STR","name":"Łódź Straße Ærø","order":2}]}}`,
		`{"type":"medal.award","contest_id":"CUR26/CUR-M-GPA-01","data":{"award_id":"1","medal":"GOLD","organisation":"GAU"}}`,
		`{"type":"contest.define","contest_id":"OTH26/1","data":{"kind":"ranked","sport":"row","title":"other"}}`,
		`{"type":"medal.award","contest_id":"OTH26/1","data":{"award_id":"1","medal":"GOLD","organisation":"ROM"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	for find, want := range map[string]string{
		"Guinea-Bissau":   "ODD/G",
		"guinea bissau":   "ODD/G",
		"BISSAU":          "ODD/G",
		"jokic":           "ODD/J",
		"Jokić":           "ODD/J",
		"Jokic\u0301":     "ODD/J",
		"jose":            "ODD/J",
		"CUR-M-GPA-01":    "CUR26/CUR-M-GPA-01",
		"cur26/cur-m-gpa": "CUR26/CUR-M-GPA-01",
		"obrien":          "ODD/O",
		"o'brien":         "ODD/O",
		"lodz strasse":    "ODD/O",
		"aero":            "ODD/O",
		"שלום":            "ODD/H",
	} {
		b.do(fmt.Sprintf(`{
			const field = document.getElementById('find')
			field.value = %q
			field.dispatchEvent(new Event('input', { bubbles: true }))
		}`, find))
		b.until(fmt.Sprintf("%s for %q", want, find),
			fmt.Sprintf(`[...document.querySelectorAll('.contests a')].map((a) => a.hash).join() === '#/contest/%s'`, want))
	}
	b.do(`{
		const field = document.getElementById('find')
		field.value = 'CUR26'
		field.dispatchEvent(new Event('input', { bubbles: true }))
	}`)
	b.until("the medal table of the competition alone",
		`[...document.querySelectorAll('.medals .sub')].map((e) => e.textContent).join() === 'CUR26'`)
}

func TestATimelineNamesItsDaysAndWhoseMedalWasTakenBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(
		`{"type":"contest.define","contest_id":"D29/A","time":"2012-08-10T19:50:00Z","data":{"kind":"ranked","sport":"athletics",`+
			`"title":"1500 m","result_type":"TIME","unit":"s","start_time":"2012-08-10T20:55:00+01:00",`+
			`"competitors":[{"code":"1","name":"Aslı","organisation":"TUR"}]}}`,
		`{"type":"contest.status","contest_id":"D29/A","time":"2012-08-10T19:55:00Z","data":{"schedule_status":"RUNNING"}}`,
		`{"type":"result.set","contest_id":"D29/A","time":"2012-08-10T19:59:00Z","data":{"competitor":"1","split":"finish",`+
			`"mark":250.23,"organisation":"TUR"}}`,
		`{"type":"medal.award","contest_id":"D29/A","time":"2012-08-10T20:55:00Z","data":{"award_id":"d29","medal":"GOLD",`+
			`"competitor":"1","organisation":"TUR"}}`,
		`{"type":"medal.revoke","contest_id":"D29/A","time":"2024-06-20T10:00:00+02:00","data":{"award_id":"d29",`+
			`"reason":"doping"}}`,
		`{"id":"rain","type":"alert","contest_id":"D29/A","time":"2024-06-20T23:30:00Z","data":{"text":"rain"}}`,
		`{"type":"event.void","contest_id":"D29/A","time":"2024-06-20T23:40:00Z","data":{"voids":"rain","reason":"sun"}}`,
	)
	b := newTab(t, phone, nil).open(s.URL(0) + "/#/contest/D29/A").live()
	b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length === 7`)
	when := strings.Split(eval[string](b, `[...document.querySelectorAll('.timeline .when')].map((e) =>
		e.innerText.split(/\s+/).join(' ').trim()).join('|')`), "|")
	want := []string{"21 Jun 2024 00:40 UTC+1", "00:30 UTC+1", "20 Jun 2024 09:00 UTC+1",
		"10 Aug 2012 21:55 UTC+1", "20:59 UTC+1", "20:55 UTC+1", "20:50 UTC+1"}
	if strings.Join(when, "|") != strings.Join(want, "|") {
		t.Errorf("got %q; want %q", when, want)
	}
	text := eval[string](b, `document.querySelector('.timeline').innerText`)
	for _, want := range []string{"Gold taken back from Aslı, TUR", "Gold for Aslı, TUR", "Voided: rain"} {
		if !strings.Contains(text, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, text)
		}
	}
	b.until("the zone of the start", `document.querySelector('.facts').textContent === '10 Aug 2012, 20:55 UTC+1'`)
}

func TestAGoalThatStandsIsNotStruckOutForItsID(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(
		`{"type":"contest.define","contest_id":"D21/A","data":{"kind":"head_to_head","sport":"football","title":"Aa vs Bb",`+
			`"competitors":[{"code":"AA","order":1},{"code":"BB","order":2}]}}`,
		`{"type":"contest.status","contest_id":"D21/A","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`)
	goal := func(competitor, source string) string {
		return fmt.Sprintf(`{"type":"score.play","contest_id":"D21/A","id":"g1","source":%q,"seq":1,`+
			`"data":{"competitor":%q,"delta":1,"period":"H1"}}`, source, competitor)
	}
	s.Post(goal("AA", "d21/main"))
	s.Post(goal("BB", "d21/other"))
	s.Post(`{"type":"event.void","contest_id":"D21/A","source":"d21/other","seq":2,"data":{"voids":"g1","reason":"offside"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + "/#/contest/D21/A").live()
	b.until("the goal that was voided, alone", `[...document.querySelectorAll('.timeline tr.score-play')].map((r) =>
		r.querySelectorAll('td')[1].innerText.slice(0, 2) + r.classList.contains('voided')).join() === 'votrue,AAfalse' ||
		[...document.querySelectorAll('.timeline tr.score-play.voided')].map((r) => r.textContent.includes('BB')).join() === 'true'`)
	b.until("the score", `[...document.querySelectorAll('.board-score')].map((e) => e.textContent).join(':') === '1:0'`)
}
