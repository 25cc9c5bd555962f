package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// countFlashes counts in window.flashes each flash that begins.
const countFlashes = `window.flashes = 0; document.addEventListener('animationstart', (e) => { if (e.animationName.startsWith('flash')) window.flashes++ }, true)`

func TestThePageIsThereBeforeAnyScript(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(games(t, 0, 100)...)
	bare := newTab(t, look{width: 1280, height: 800, noScript: true}, nil).open(s.URL(0))
	before := get(bare, chromedp.Text("main"))
	after := eval[string](newTab(t, desktop, nil).open(s.URL(0)).live(), `document.querySelector('main').innerText`)
	if text(before) != text(after) {
		t.Errorf("the first paint is\n%s\nand the script makes of it\n%s", text(before), text(after))
	}
}

func TestAChangeIsSeenWhereItHappensAndFlashesOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes)
	b.open(s.URL(0)).live()
	// What is drawn together with a resync does not flash: on a busy machine a change may have to be followed by another.
	plays := 0
	for more := true; more && plays < 5; more = !b.sees(4*time.Second, `window.flashes > 0`) {
		s.Post(play(match, "GAU", 2))
		plays++
		b.until("Gaul's points in the list", fmt.Sprintf(`%s === '%d'`, inList(match, 1), 2*plays))
	}
	b.until("one flash", `window.flashes === 1`)
	b.until("the end of the flash", `!document.querySelector('.flash-a, .flash-b')`)
	b.until("the sentence for who listens", fmt.Sprintf(`document.getElementById('said').textContent.includes('Gaul %d, Rome 0')`, 2*plays))
	if n := eval[int](b, `window.flashes`); n != 1 {
		t.Errorf("%d flashes for one change", n)
	}
	if n := eval[int](b, `document.querySelectorAll('[aria-live], [role=status], [role=alert]').length`); n != 1 {
		t.Errorf("%d live regions, want one", n)
	}
}

func TestNothingFlashesForWhoWantsLessMotion(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, look{width: 1280, height: 800, still: true}, nil)
	b.before(countFlashes)
	b.open(s.URL(0)).live()
	s.Post(play(match, "GAU", 2))
	b.until("Gaul's 2 in the list", inList(match, 1)+` === '2'`)
	b.until("the sentence for who listens", `document.getElementById('said').textContent.includes('Gaul 2')`)
	if n := eval[int](b, `window.flashes`); n != 0 {
		t.Errorf("%d flashes", n)
	}
}

func TestAVoidedEventIsStruckOutAndTheContestIsCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(`{"id":"wrong","type":"score.play","contest_id":"`+match+`","data":{"competitor":"GAU","delta":3,"period":"END1","athlete":"Statix"}}`, play(match, "ROM", 1))
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	b.until("the play", `document.querySelector('.timeline').innerText.includes('Statix')`)
	if eval[bool](b, `Boolean(document.querySelector('.timeline del, .badge.corrected'))`) {
		t.Error("struck out before it was voided")
	}
	s.Post(`{"type":"event.void","contest_id":"` + match + `","data":{"voids":"wrong","reason":"the stone was a menhir"}}`)
	b.until("the play struck out", `[...document.querySelectorAll('.timeline del')].some((d) => d.textContent.includes('Statix'))`)
	b.until("why", `document.querySelector('.voided .why').textContent === 'the stone was a menhir'`)
	b.until("CORRECTED", `document.querySelector('.headline .badge.corrected')`)
	b.until("the score without it", `[...document.querySelectorAll('.board-score')].map((e) => e.textContent).join(':') === '0:1'`)
	s.Post(`{"type":"contest.status","contest_id":"` + match + `","data":{"schedule_status":"FINISHED","result_status":"OFFICIAL"}}`)
	b.until("OFFICIAL", `document.querySelector('.headline .badge.official')`)
	b.until("the winner's sprig", `document.querySelector('.board-side.winner .board-name').textContent.includes('Rome')`)
}

func TestAnAlertIsSeenInTheTimelineThoughNoScoreChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, phone, nil).open(s.URL(0) + matchView).live()
	s.Post(`{"type":"alert","contest_id":"` + match + `","data":{"text":"The sky has not fallen."}}`)
	b.until("the alert", `document.querySelector('.timeline').innerText.includes('The sky has not fallen.')`)
}
