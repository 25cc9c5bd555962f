package main

import (
	"testing"
)

// corrected tells that the word stands in a row.
func corrected(rows, text string) string {
	return `[...document.querySelectorAll('` + rows + `')].some((r) => r.innerText.includes('` + text + `') && r.querySelector('.badge.corrected')?.textContent === 'CORRECTED')`
}

func TestAMarkThatDidNotStandIsCorrectedOnTheBoardAndInTheTimeline(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(field(2)...)
	s.Post(`{"id":"wrong","type":"result.set","contest_id":"` + race + `","data":{"competitor":"2","split":"finish","mark":99,"category":"M","organisation":"GAU"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("the wrong mark", order+` === '2,1'`)
	b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length === 5`)
	if eval[bool](b, `Boolean(document.querySelector('.badge.corrected'))`) {
		t.Error("corrected before anything was; a mark that replaces another is none")
	}
	s.Post(`{"type":"event.void","contest_id":"` + race + `","data":{"voids":"wrong","reason":"it was another sandal"}}`)
	b.until("the row where it was, and the word", order+` === '1,2' && `+corrected(".ranking tbody tr", "1:42"))
	b.until("the word at the contest", `document.querySelector('.headline .badge.corrected')`)
	b.until("the event, struck out", corrected(".timeline tr.voided", "1:39"))
	b.until("the correction", corrected(".timeline tr.event-void", "it was another sandal"))
	b.until("a sentence for who listens", `document.getElementById('said').textContent.includes('Corrected: it was another sandal')`)
	if eval[bool](b, `Boolean(document.querySelector('.ranking tbody tr:first-child .badge.corrected'))`) {
		t.Error("who was not touched is corrected too")
	}
	b.do(`location.hash = '#/'`)
	b.until("the word in the list", corrected(".contests tr", "Marathon"))
}

// A frontend that takes a reason with a mark tells it in the timeline; this one is told so by the test.
func TestAMarkThatIsSetWithAReasonIsACorrection(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(field(2)...)
	s.Post(setMark(race, "finish", "1", "DSQ"))
	b := newTab(t, desktop, nil)
	b.before(`const ask = window.fetch
		window.fetch = async (url, how) => {
			const answer = await ask(url, how)
			if (!url.includes('/v1/timeline/')) return answer
			const told = await answer.json()
			for (const e of told.events) if (e.data.irm) e.data.reason = 'pushed a druid'
			return new Response(JSON.stringify(told), { status: answer.status })
		}`)
	b.open(s.URL(0) + raceView).live()
	b.until("the row and the word", corrected(".ranking tbody tr", "DSQ"))
	b.until("the event and why", corrected(".timeline tr", "pushed a druid"))
	b.until("the word at the contest", `document.querySelector('.headline .badge.corrected')`)
}

func TestTotalsThatAreSetWithAReasonAreACorrectionOnceThereWereAny(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(defineMatch(match + "W")[0])
	set := func(contest, reason string) {
		s.Post(`{"type":"score.set","contest_id":"` + contest + `","data":{"result":{"GAU":3},"reason":"` + reason + `"}}`)
	}
	set(match+"W", "walk-over")
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	set(match, "counted again")
	b.until("the word at the contest", `document.querySelector('.headline .badge.corrected')`)
	b.until("the event and why", corrected(".timeline tr", "counted again"))
	b.do(`location.hash = '` + matchView[1:] + `W'`)
	b.until("the walk-over", `document.querySelector('.timeline')?.innerText.includes('Score set: GAU 3')`)
	if eval[bool](b, `Boolean(document.querySelector('.badge.corrected'))`) {
		t.Error("a walk-over corrects nothing")
	}
}

func TestAMedalThatIsTakenBackIsSaidInTheTable(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	award := func(id, organisation string) {
		s.Post(`{"type":"medal.award","contest_id":"` + match + `","data":{"award_id":"` + id + `","medal":"GOLD","organisation":"` + organisation + `"}}`)
	}
	award("gold", "ROM")
	award("other", "ROM")
	award("silver", "EGY")
	watching := newTab(t, phone, nil).open(s.URL(0) + "/#/medals").live()
	watching.until("the medals", `document.querySelectorAll('.medals tbody tr').length === 2`)
	s.Post(`{"type":"medal.revoke","contest_id":"` + match + `","data":{"award_id":"gold","reason":"magic potion"}}`)
	award("gold-2", "GAU")
	watching.until("the medal where it belongs now", `document.querySelector('.medals').innerText.includes('GAU')`)
	watching.until("the word", corrected(".medals caption", "Medals"))
	watching.until("the word for who has fewer", corrected(".medals tr", "ROM"))
	if eval[bool](watching, corrected(".medals tr", "EGY")) || eval[bool](watching, corrected(".medals tr", "GAU")) {
		t.Error("who lost nothing is corrected too")
	}
	late := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	late.until("the award, struck out", corrected(".timeline tr.voided", "magic potion"))
	late.until("the revocation", corrected(".timeline tr.medal-revoke", "magic potion"))
}
