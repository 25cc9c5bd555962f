package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// countFlashes counts the flashes in window.flashes.
const countFlashes = `window.flashes = 0
	document.addEventListener('animationstart', (e) => {
		if (e.animationName.startsWith('flash')) window.flashes++
	}, true);`

// flashesSoon reports whether a change that is shown has flashed, or does in the next frames.
func (b *tab) flashesSoon() bool {
	b.t.Helper()
	soon, _ := b.becomesTrue(time.Second, `window.flashes > 0 || Boolean(document.querySelector('.flash-a, .flash-b'))`)
	return soon
}

func TestPageWithoutScriptsIsTheSame(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(games(t, 0, 100)...)
	bare := newTab(t, device{width: 1280, height: 800, noScript: true}, nil).open(s.URL(0))
	before := get(bare, chromedp.Text("main"))
	after := eval[string](newTab(t, desktop, nil).open(s.URL(0)).live(), `document.querySelector('main').innerText`)
	if joinFields(before) != joinFields(after) {
		t.Errorf("without scripts the page is\n%s\nwith scripts\n%s", joinFields(before), joinFields(after))
	}
}

func TestChangeFlashesOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes)
	b.open(s.URL(0)).live()
	// A change that is rendered together with a resync does not flash: on a busy machine it
	// may take another change.
	plays := 0
	for more := true; more && plays < 5; more = !b.flashesSoon() {
		s.Post(play(match, "GAU", 2))
		plays++
		b.until("Gaul's points in the list", fmt.Sprintf(`%s === '%d'`, inList(match, 1), 2*plays))
	}
	b.until("a flash", `window.flashes > 0`)
	b.until("the end of the flash", `!document.querySelector('.flash-a, .flash-b')`)
	b.until("the announcement", hasAnnounced(fmt.Sprintf("Gaul %d, Rome 0", 2*plays)))
	if n := eval[int](b, `window.flashes`); n > plays {
		t.Errorf("got %d flashes for %d changes", n, plays)
	}
	if n := eval[int](b, `document.querySelectorAll('[aria-live], [role=status], [role=alert]').length`); n != 1 {
		t.Errorf("got %d live regions, want one", n)
	}
}

func TestNothingFlashesWithReducedMotion(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, device{width: 1280, height: 800, reducedMotion: true}, nil)
	b.before(countFlashes)
	b.open(s.URL(0)).live()
	s.Post(play(match, "GAU", 2))
	b.until("Gaul's 2 in the list", inList(match, 1)+` === '2'`)
	b.until("the announcement", hasAnnounced("Gaul 2"))
	if n := eval[int](b, `window.flashes`); n != 0 {
		t.Errorf("%d flashes", n)
	}
}

func TestVoidedEventIsStruckThroughAndTheContestIsCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	wrong := `{"id":"wrong","type":"score.play","contest_id":"` + match + `",` +
		`"data":{"competitor":"GAU","delta":3,"period":"END1","athlete":"Statix"}}`
	s.Post(wrong, play(match, "ROM", 1))
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	b.until("the play", `document.querySelector('.timeline').innerText.includes('Statix')`)
	if eval[bool](b, `Boolean(document.querySelector('.timeline del, .badge.corrected'))`) {
		t.Error("the event is struck through before it was voided")
	}
	s.Post(`{"type":"event.void","contest_id":"` + match + `",` +
		`"data":{"voids":"wrong","reason":"the stone was a menhir"}}`)
	b.until("the voided play",
		`[...document.querySelectorAll('.timeline del')].some((d) => d.textContent.includes('Statix'))`)
	b.until("the reason", `document.querySelector('.voided .why').textContent === 'the stone was a menhir'`)
	b.until("CORRECTED", `document.querySelector('.headline .badge.corrected')`)
	b.until("the score without it",
		`[...document.querySelectorAll('.board-score')].map((e) => e.textContent).join(':') === '0:1'`)
	s.Post(`{"type":"contest.status","contest_id":"` + match + `",` +
		`"data":{"schedule_status":"FINISHED","result_status":"OFFICIAL"}}`)
	b.until("OFFICIAL", `document.querySelector('.headline .badge.official')`)
	b.until("the winner's icon",
		`document.querySelector('.board-side.winner .board-name').textContent.includes('Rome')`)
}

func TestAlertAppearsInTheTimeline(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, phone, nil).open(s.URL(0) + matchView).live()
	s.Post(`{"type":"alert","contest_id":"` + match + `","data":{"text":"The sky has not fallen."}}`)
	b.until("the alert", `document.querySelector('.timeline').innerText.includes('The sky has not fallen.')`)
}
