package main

import (
	"testing"
)

const boardScores = `[...document.querySelectorAll('.board-score')].map((e) => e.textContent).join(':')`

// Gaul is ahead and retires.
func TestADecisionNamesTheWinnerOnThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 1))
	s.Post(`{"type":"contest.status","contest_id":"` + match + `","data":{"schedule_status":"FINISHED"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	b.until("the side ahead", `document.querySelector('.board-side.winner .board-name').textContent.includes('Gaul')`)
	s.Post(`{"type":"contest.decide","contest_id":"` + match + `","data":{"winner":"ROM","decision":"RETIRED"}}`)
	b.until("the decided winner", `document.querySelector('.board-side.winner .board-name').textContent.includes('Rome')`)
	b.until("how it was decided", `document.querySelector('.decision').textContent.trim() === 'by retirement'`)
	b.until("the score as it was", boardScores+` === '1:0'`)
	b.until("the event", `document.querySelector('.timeline').innerText.includes('Rome wins')`)
	b.until("the announcement", hasAnnounced("Rome wins by retirement"))
	b.do(`location.hash = '#/'`)
	b.until("the list", `document.querySelector('.contests .winner').textContent.includes('Rome') &&
		document.querySelector('.contests .decision').textContent.trim() === 'by retirement'`)
	if eval[bool](b, `Boolean(document.querySelector('.badge.corrected'))`) {
		t.Error("a decision before OFFICIAL is shown as a correction")
	}
	s.Post(`{"type":"contest.decide","contest_id":"` + match + `","data":{"decision":"DRAWN"}}`)
	b.until("nobody has won", `!document.querySelector('.contests .winner') &&
		document.querySelector('.contests .decision').textContent.trim() === 'drawn'`)
}

// A status and a decision that come together are announced together.
func TestADecisionIsAnnouncedWithTheEndAlsoIfNobodyHasWon(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 1))
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	s.Post(`{"type":"contest.decide","contest_id":"`+match+`","data":{"decision":"ABANDONED"}}`,
		`{"type":"contest.status","contest_id":"`+match+`","data":{"schedule_status":"FINISHED"}}`)
	b.until("the end and the decision", hasAnnounced("finished. abandoned. Gaul 1, Rome 0."))
	s.Post(`{"type":"contest.decide","contest_id":"` + match + `","data":{}}`)
	b.until("that it is taken back", hasAnnounced("decision taken back. Gaul wins."))
}

func TestTheReasonOfAStatusOrDecisionIsShownAndIsNoCorrection(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 1))
	s.Post(`{"type":"contest.status","contest_id":"`+match+`",`+
		`"data":{"schedule_status":"INTERRUPTED","reason":"the lights went out"}}`,
		`{"type":"contest.decide","contest_id":"`+match+`",`+
			`"data":{"winner":"ROM","decision":"AWARDED","reason":"the hosts had no oil","comment":"for the jury"}}`)
	b := newTab(t, phone, nil).open(s.URL(0) + matchView).live()
	for _, text := range []string{"the lights went out", "the hosts had no oil", "for the jury"} {
		b.until(text, `document.querySelector('.timeline').innerText.includes('`+text+`')`)
	}
	if eval[bool](b, `Boolean(document.querySelector('.badge.corrected'))`) {
		t.Error("a reason before OFFICIAL is shown as a correction")
	}
}

func TestAStoppedMatchShowsTheScoreAtWhichItWas(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 1))
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	for _, status := range []string{"POSTPONED", "RESCHEDULED", "DELAYED"} {
		s.Post(`{"type":"contest.status","contest_id":"` + match + `","data":{"schedule_status":"` + status + `"}}`)
		b.until(status, `document.querySelector('.board .state').textContent.toUpperCase() === '`+status+`'`)
		if got := eval[string](b, boardScores); got != "1:0" {
			t.Errorf("%s: the board shows %s", status, got)
		}
	}
	b.do(`location.hash = '#/'`)
	b.until("the score in the list", inList(match, 1)+` === '1'`)
}

func TestAResetStrikesOutEarlierPlaysUntilItIsVoided(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(`{"type":"score.play","contest_id":"` + match + `",` +
		`"data":{"competitor":"GAU","delta":3,"period":"END1","athlete":"Statix"}}`)
	watching := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	watching.until("the play", `document.querySelector('.timeline').innerText.includes('Statix')`)
	s.Post(`{"id":"reset","type":"contest.reset","contest_id":"` + match + `","data":{"reason":"the ice broke"}}`)
	late := newTab(t, phone, nil).open(s.URL(0) + matchView).live()
	struck := `[...document.querySelectorAll('.timeline del')].some((d) => d.textContent.includes('Statix'))`
	for _, b := range []*tab{watching, late} {
		b.until("the struck play", struck)
		b.until("the reason", `document.querySelector('.timeline tr.contest-reset').innerText.includes('the ice broke')`)
		b.until("the reset in words", `document.querySelector('.timeline').innerText.includes('The contest begins anew')`)
	}
	s.Post(`{"type":"contest.status","contest_id":"`+match+`","data":{"schedule_status":"RUNNING"}}`,
		play(match, "ROM", 2))
	for _, b := range []*tab{watching, late} {
		b.until("the score after the reset", boardScores+` === '0:2'`)
	}
	s.Post(`{"type":"event.void","contest_id":"` + match + `","data":{"voids":"reset","reason":"it was no ice"}}`)
	for _, b := range []*tab{watching, late} {
		b.until("the score of both", boardScores+` === '3:2'`)
		b.until("the play again", `!(`+struck+`)`)
	}
}
