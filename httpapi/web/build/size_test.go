package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// size is how many contests the store of the tests has: more than a page could take at
// once.
func size() int {
	if os.Getenv("LAUREL_LONG") != "" {
		return 100_000
	}
	return 10_001
}

// newBigSite starts a site with many contests, of which the last ones are live.
func newBigSite(t *testing.T, live int) *site {
	t.Helper()
	s := newSite(t, 1)
	n := size()
	for i := 0; i < n; {
		var events []string
		for ; i < n && len(events) < 1000; i++ {
			events = append(events, fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head",`+
				`"sport":"football","title":"Match %d","competitors":[{"code":"A"},{"code":"B"}]}}`, bigMatch(i), i))
		}
		s.Post(events...)
	}
	for i := n - live; i < n; i++ {
		s.Post(fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}}`, bigMatch(i)))
	}
	return s
}

func bigMatch(i int) string { return fmt.Sprintf("D05/M%06d", i) }

// caption is an expression that is true when a section of the page has a number.
func caption(title string, n int) string {
	return fmt.Sprintf(`[...document.querySelectorAll('.contests caption')].some((c) => c.innerText.replace(/\s+/g, ' ').trim() === '%s %d')`, title, n)
}

func TestThePageWorksWithMoreContestsThanItTakes(t *testing.T) {
	s := newBigSite(t, 1)
	n := size()
	last := bigMatch(n - 1)
	plain := newTab(t, device{width: 1280, height: 800, noScript: true}, nil).open(s.URL(0))
	plain.until("the live contest without a script", inListLink(last)+" && "+caption("Live", 1)+" && "+caption("Next", n-1))
	plain.close()
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	b.until("the live contest and true numbers", inListLink(last)+" && "+caption("Live", 1)+" && "+caption("Next", n-1))
	s.Post(play(last, "A", 1))
	b.until("the new score", inList(last, 1)+` === '1'`)

	// Any contest becomes live, one that the page has not heard of as well.
	middle := bigMatch(n / 2)
	s.Post(fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}}`, middle))
	b.until("another live contest", inListLink(middle))
	b.until("true numbers", caption("Live", 2)+" && "+caption("Next", n-2))

	// More is asked for, in order and without a gap.
	rows := `[...document.querySelectorAll('.contests')].at(-1).querySelectorAll('tbody tr').length`
	b.do(`[...document.querySelectorAll('button')].find((e) => e.textContent.startsWith('Show more of')).click()`)
	b.until("more of the next contests", rows+` === 250`)
	b.until("the last of them", inListLink(bigMatch(249)))

	// A search finds what is not on the page.
	b.do(`{ const find = document.getElementById('find'); find.value = 'match ` + fmt.Sprint(n-500) + `'; find.dispatchEvent(new Event('input')) }`)
	b.until("the contest that is searched", inListLink(bigMatch(n-500)))
	b.do(`{ const find = document.getElementById('find'); find.value = 'curling'; find.dispatchEvent(new Event('input')) }`)
	b.until("that nothing is found", `document.body.innerText.includes('Nothing is called curling here.')`)
}

// deaf has the page's requests of a path fail, and counts them; heard ends that.
const (
	deaf = `{
		const real = window.fetch
		window.refused = 0
		window.fetch = (url, o) => url.includes('%s') ? (window.refused++, Promise.reject(new Error('no answer'))) : real(url, o)
		window.heard = () => { window.fetch = real }
	}`
	heard = `window.heard()`
)

func TestThePageAsksAgainWhenNoFrontendAnswers(t *testing.T) {
	s := newBigSite(t, 1)
	n := size()
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	b.do(fmt.Sprintf(deaf, "find="))
	b.do(`{ const find = document.getElementById('find'); find.value = 'match ` + fmt.Sprint(n-500) + `'; find.dispatchEvent(new Event('input')) }`)
	b.until("a second try", `window.refused > 1`)
	b.until("that it searches", `document.body.innerText.includes('Searching') && !document.body.innerText.includes('Nothing is called')`)
	b.do(heard)
	b.until("the contest that is searched", inListLink(bigMatch(n-500)))

	b.do(fmt.Sprintf(deaf, "/timeline/"))
	b.do(`location.hash = '#/contest/` + bigMatch(n-1) + `'`)
	b.until("a second try", `window.refused > 1`)
	b.until("that it loads", `document.body.innerText.includes('Loading events.')`)
	b.do(heard)
	b.until("the events", `!document.body.innerText.includes('Loading events.') && document.querySelector('.timeline')`)
}

// inListLink is true when the list has a contest.
func inListLink(contest string) string {
	return fmt.Sprintf(`document.querySelector('a[href="#/contest/%s"]')`, contest)
}

func TestAContestsOwnAddressAlwaysWorks(t *testing.T) {
	s := newBigSite(t, 1)
	id := bigMatch(size() / 2)
	b := newTab(t, desktop, nil).open(s.URL(0) + "#/contest/" + id).live()
	b.until("the contest", `document.querySelector('h1').textContent.includes('Match `+fmt.Sprint(size()/2)+`')`)
	s.Post(fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}}`, id), play(id, "B", 2))
	b.until("its score", `document.querySelector('main').innerText.includes('2')`)
	b.do(`location.hash = '#/contest/D05/NOPE'`)
	b.until("that there is no such contest", `document.querySelector('h1').textContent === 'No such contest'`)
	s.Post(defineMatch("D05/NOPE")...)
	b.until("the contest that is announced", `document.querySelector('h1').textContent !== 'No such contest'`)
}

func TestAMedalTableWithoutContestsIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(`{"type":"medal.award","contest_id":"D10/JUD-M60","data":{"award_id":"JUD-M60#GOLD","medal":"GOLD","organisation":"GAU"}}`)
	plain := newTab(t, device{width: 1280, height: 800, noScript: true}, nil).open(s.URL(0))
	plain.until("the table without a script", `document.querySelector('.medals .org')?.textContent === 'GAU'`)
	plain.close()
	for _, hash := range []string{"#/", "#/medals", "#/medals/D10"} {
		b := newTab(t, desktop, nil).open(s.URL(0) + hash).live()
		b.until("the table at "+hash, `document.querySelector('.medals .org')?.textContent === 'GAU'`)
		b.close()
	}
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	s.Post(`{"type":"medal.award","contest_id":"D10/JUD-W48","data":{"award_id":"2","medal":"GOLD","organisation":"ROM"}}`)
	b.until("the next medal", `[...document.querySelectorAll('.medals .org')].some((e) => e.textContent === 'ROM')`)
}

// TestThePageIsUsableInASecondOnASlowPhone measures a phone of a quarter of the speed on a
// network as 4G, with 50 live contests.
func TestThePageIsUsableInASecondOnASlowPhone(t *testing.T) {
	if os.Getenv("LAUREL_LONG") == "" {
		t.Skip("measures time; set LAUREL_LONG=1")
	}
	s := newBigSite(t, 50)
	b := newTab(t, phone, nil)
	b.run(
		command(emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: 4}),
		command(network.Enable, network.EnableParams{}),
		command(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{
				{Latency: 60, DownloadThroughput: 9e6 / 8, UploadThroughput: 9e6 / 8},
			},
		}),
	)
	b.before(`addEventListener('DOMContentLoaded', () => {
		const poll = () => document.getElementById('find')?.disabled === false && document.querySelectorAll('tr.live').length === 50
			? (window.usable = performance.now()) : setTimeout(poll, 5)
		poll()
	})`)
	b.run(chromedp.Navigate(s.URL(0)))
	b.until("that the page is usable", `window.usable`)
	if ms := eval[float64](b, `window.usable`); ms > 1000 {
		t.Errorf("the page was usable after %.0f ms; want 1 s", ms)
	} else {
		t.Logf("the page was usable after %.0f ms", ms)
	}
	b.live()
}
