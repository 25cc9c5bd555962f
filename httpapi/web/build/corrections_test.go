package main

import (
	"testing"
)

// corrected is true if a row with the text has the badge CORRECTED.
func corrected(rows, text string) string {
	return `[...document.querySelectorAll('` + rows + `')].some((r) => r.innerText.includes('` + text + `') &&
		r.querySelector('.badge.corrected')?.textContent === 'CORRECTED')`
}

func TestVoidedMarkIsCorrectedOnTheLeaderboardAndInTheTimeline(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(2)...)
	s.Post(`{"id":"wrong","type":"result.set","contest_id":"` + race + `",` +
		`"data":{"competitor":"2","split":"finish","mark":99,"category":"M","organisation":"GAU"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("the wrong mark", order+` === '2,1'`)
	b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length === 5`)
	if eval[bool](b, `Boolean(document.querySelector('.badge.corrected'))`) {
		t.Error("corrected too early: a mark that replaces another is no correction")
	}
	s.Post(`{"type":"event.void","contest_id":"` + race + `",` +
		`"data":{"voids":"wrong","reason":"it was another sandal"}}`)
	b.until("the old mark with the badge", order+` === '1,2' && `+corrected(".ranking tbody tr", "1:42"))
	b.until("the badge of the contest", `document.querySelector('.headline .badge.corrected')`)
	b.until("the voided event", corrected(".timeline tr.voided", "1:39"))
	b.until("the correction", corrected(".timeline tr.event-void", "it was another sandal"))
	b.until("the announcement", hasAnnounced("Corrected: it was another sandal"))
	if eval[bool](b, `Boolean(document.querySelector('.ranking tbody tr:first-child .badge.corrected'))`) {
		t.Error("a row without a correction has the badge")
	}
	b.do(`location.hash = '#/'`)
	b.until("the badge in the list", corrected(".contests tr", "Marathon"))
}

// The test adds the reason to the answer for the timeline.
func TestMarkWithAReasonIsACorrection(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(2)...)
	s.Post(setMark(race, "finish", "1", "DSQ"))
	b := newTab(t, desktop, nil)
	b.before(`const fetchBefore = window.fetch
		window.fetch = async (url, options) => {
			const answer = await fetchBefore(url, options)
			if (!url.includes('/v1/timeline/')) return answer
			const page = await answer.json()
			for (const e of page.events) if (e.data.irm) e.data.reason = 'pushed a druid'
			return new Response(JSON.stringify(page), { status: answer.status })
		}`)
	b.open(s.URL(0) + raceView).live()
	b.until("the row with the badge", corrected(".ranking tbody tr", "DSQ"))
	b.until("the event with the reason", corrected(".timeline tr", "pushed a druid"))
	b.until("the badge of the contest", `document.querySelector('.headline .badge.corrected')`)
}

// Ids are not unique, so the page goes by the revision that a void names.
func TestVoidOfAnAlertDoesNotStrikeOutAMarkWithTheSameID(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(2)...)
	s.Post(`{"id":"same","source":"feed/a","seq":1,"type":"result.set","contest_id":"` + race + `",` +
		`"data":{"competitor":"2","split":"finish","mark":99,"category":"M","organisation":"GAU"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	s.Post(`{"id":"same","source":"feed/b","seq":1,"type":"alert","contest_id":"` + race + `","data":{"text":"rain"}}`)
	s.Post(`{"source":"feed/b","seq":2,"type":"event.void","contest_id":"` + race + `",` +
		`"data":{"voids":"same","reason":"the sun came out"}}`)
	b.until("the voided alert", corrected(".timeline tr.voided", "rain"))
	if eval[bool](b, corrected(".timeline tr.voided", "1:39")) {
		t.Error("the mark is struck out, too")
	}
}

func TestTotalsWithAReasonAreACorrectionAfterTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(defineMatch(match + "W")[0])
	set := func(contest, reason string) {
		s.Post(`{"type":"score.set","contest_id":"` + contest + `",` +
			`"data":{"result":{"GAU":3},"adjustment":true,"reason":"` + reason + `"}}`)
	}
	set(match+"W", "walk-over")
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	set(match, "counted again")
	b.until("the badge of the contest", `document.querySelector('.headline .badge.corrected')`)
	b.until("the event with the reason", corrected(".timeline tr", "counted again"))
	b.do(`location.hash = '` + matchView[1:] + `W'`)
	b.until("the walk-over", `document.querySelector('.timeline')?.innerText.includes('Score set: GAU 3')`)
	if eval[bool](b, `Boolean(document.querySelector('.badge.corrected'))`) {
		t.Error("a walk-over is no correction")
	}
}

func TestRevokedMedalIsCorrectedInTheTable(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	award := func(id, organisation string) {
		s.Post(`{"type":"medal.award","contest_id":"` + match + `",` +
			`"data":{"award_id":"` + id + `","medal":"GOLD","organisation":"` + organisation + `"}}`)
	}
	award("gold", "ROM")
	award("other", "ROM")
	award("silver", "EGY")
	watching := newTab(t, phone, nil).open(s.URL(0) + "/#/medals").live()
	watching.until("the medals", `document.querySelectorAll('.medals tbody tr').length === 2`)
	s.Post(`{"type":"medal.revoke","contest_id":"` + match + `",` +
		`"data":{"award_id":"gold","reason":"magic potion"}}`)
	award("gold-2", "GAU")
	watching.until("the medal of the new winner", `document.querySelector('.medals').innerText.includes('GAU')`)
	watching.until("the badge of the table", corrected(".medals caption", "Medals"))
	watching.until("the badge of the organisation that lost a medal", corrected(".medals tr", "ROM"))
	if eval[bool](watching, corrected(".medals tr", "EGY")) || eval[bool](watching, corrected(".medals tr", "GAU")) {
		t.Error("an organisation that lost no medal has the badge")
	}
	late := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	late.until("the revoked award", corrected(".timeline tr.voided", "magic potion"))
	late.until("the revocation", corrected(".timeline tr.medal-revoke", "magic potion"))
}
