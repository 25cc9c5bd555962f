package main

import (
	"fmt"
	"testing"
)

const removeMatch = `{"type":"event.void","contest_id":"` + match + `","data":{"voids":"define","reason":"it was called off"}}`

func defineMatchAs(id string) string {
	return `{"id":"` + id + `","type":"contest.define","contest_id":"` + match + `","data":{"kind":"head_to_head",` +
		`"sport":"stone-curling","competitors":[{"code":"GAU"},{"code":"ROM"}]}}`
}

// The stream begins again, as after a long sleep, and what happened meanwhile is not told.
func TestAContestThatWentWhileThePageWasAwayIsNotShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatchAs("define"))
	b := newTab(t, desktop, nil)
	b.before(puppet)
	b.open(s.URL(0) + matchView)
	b.until("the contest", `window.puppet && document.querySelector('.board')`)
	s.Post(removeMatch)
	b.do(`window.puppet.say('snapshot', {revision: 2, scores: [], medals: [], sections: {live: 0, next: 0, finished: 0}})`)
	b.until("that there is no such contest", `document.querySelector('h1').textContent === 'No such contest'`)
}

func TestALateAnswerDoesNotBringARemovedContestBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	b := newTab(t, desktop, nil)
	b.before(puppet)
	b.before(`window.fetch = ((fetch) => async (url, options) => {
		const answer = await fetch(url, options)
		if (url.includes('/v1/scores/')) await new Promise((resolve) => (window.release = resolve))
		return answer
	})(window.fetch)`)
	b.open(s.URL(0))
	b.until("the stream", `window.puppet`)
	s.Post(defineMatchAs("define"))
	b.do(`location.hash = '` + matchView[1:] + `'`)
	b.until("the answer", `window.release`)
	s.Post(removeMatch)
	b.do(`window.puppet.say('removed', {contest_id: '` + match + `', revision: 2}); window.release();
		document.getElementById('find') ?? (location.hash = '#/')`)
	b.until("the list", `document.getElementById('find')`)
	b.do(`new Promise((r) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(r))))`)
	if eval[bool](b, `Boolean(`+inListLink(match)+`)`) {
		t.Error("the contest that was removed is in the list again")
	}
}

func TestASearchGoesOnWhenTheStreamBeginsAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	n := 60
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head",`+
			`"sport":"football","title":"Match %d","competitors":[{"code":"A"},{"code":"B"}]}}`, bigMatch(i), i))
	}
	s.Post(events...)
	b := newTab(t, desktop, nil)
	b.before(puppet)
	b.open(s.URL(0))
	b.until("the stream", `window.puppet`)
	b.do(`{ const find = document.getElementById('find'); find.value = 'match 55'; find.dispatchEvent(new Event('input')) }`)
	b.until("the contest that is searched", inListLink(bigMatch(55)))
	b.do(fmt.Sprintf(`window.puppet.say('snapshot', {revision: %d, scores: [], medals: [], sections: {live: 0, next: %[1]d, finished: 0}})`, n))
	b.until("the list without it or with it again", `new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
	b.until("the contest that is searched", inListLink(bigMatch(55)))
}
