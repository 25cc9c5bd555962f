package main

import (
	"fmt"
	"testing"
)

// TestATabThatIsShownAgainLeavesNothingOut has a tab take the state of the tab with the
// stream, which does not have what the tab itself had asked for.
func TestATabThatIsShownAgainLeavesNothingOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const n = 600
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head",`+
			`"sport":"football","title":"Match %d","competitors":[{"code":"A"},{"code":"B"}]}}`, bigMatch(i), i))
	}
	s.Post(events...)
	leader := newTab(t, desktop, nil).open(s.URL(0)).live()
	b := newTab(t, desktop, leader)
	b.before(`window.states = 0
		new BroadcastChannel('laurel').onmessage = (e) => { if (e.data.kind === 'all') window.states++ }`)
	b.open(s.URL(0)).live()
	b.until("the state of the other tab", `window.states > 0`)
	shown := `[...document.querySelectorAll('.contests a')].map((a) => Number(a.hash.slice(-6)))`
	more := func() {
		b.do(`[...document.querySelectorAll('button')].find((e) => e.textContent.startsWith('Show more of')).click()`)
	}
	showAgain := func() {
		b.do(`window.states = 0; document.dispatchEvent(new Event('visibilitychange'))`)
		b.until("the state of the other tab, again", `window.states > 0`)
	}
	more()
	b.until("more contests", shown+`.length >= 250`)
	showAgain()
	b.until("those that the other tab has", shown+`.length === 50`)
	more()
	b.until("more contests without a gap", shown+`.length >= 250 && `+shown+`.every((n, i) => n === i)`)

	b.do(`{ const find = document.getElementById('find'); find.value = 'match 599'; find.dispatchEvent(new Event('input')) }`)
	b.until("what is searched", inListLink(bigMatch(599)))
	showAgain()
	b.until("what is searched, again", inListLink(bigMatch(599))+` && !document.body.innerText.includes('Searching')`)
}
