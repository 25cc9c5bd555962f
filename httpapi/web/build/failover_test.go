package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"laurel/internal/testgroup"
	"laurel/score"
)

func TestPageMovesToAnotherFrontendAndReturnsHome(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes)
	b.open(s.URL(0)).live()
	b.until("a home", `/^f/.test(document.querySelector('[data-of=home]').textContent)`)
	home := b.status("home")
	if home != b.status("frontend") {
		t.Fatalf("home %q, served by %q", home, b.status("frontend"))
	}
	at := int(home[1] - '1')
	s.Inject(func(_ *testgroup.Frontend, r *http.Request, _ *score.Event) testgroup.Fault {
		if r.URL.Path == "/v1/watch" {
			return testgroup.Unavailable
		}
		return testgroup.None
	})
	s.Kill(at)
	s.Post(play(match, "GAU", 4)) // the page has no stream now
	s.Inject(nil)
	b.until("another frontend", isLive+` && document.querySelector('[data-of=frontend]').textContent !== '`+home+`'`)
	b.until("the change meanwhile", inList(match, 1)+` === '4'`)
	if n := eval[int](b, `window.flashes`); n != 0 {
		t.Errorf("got %d flashes for changes of a resync", n)
	}
	if got := b.status("home"); got != home {
		t.Errorf("home is now %q, was %q", got, home)
	}
	s.Post(play(match, "ROM", 1))
	b.until("a change from the other frontend", inList(match, 2)+` === '1'`)
	s.Start(at)
	b.until("the home again", isLive+` && document.querySelector('[data-of=frontend]').textContent === '`+home+`'`)
	s.Post(play(match, "ROM", 1))
	b.until("a change from the home", inList(match, 2)+` === '2'`)
	eventually(t, "one stream in all", func() bool { return s.Watchers(0)+s.Watchers(1)+s.Watchers(2) == 1 })
}

// The page's clock goes on for an hour between the beginning of the stream and its first change.
func TestChangesBeforeTheFirstHeartbeatOfAStreamDoNotFlash(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes + puppet + `;
		window.later = 0
		const now = Date.now.bind(Date)
		Date.now = () => now() + window.later`)
	b.open(s.URL(0))
	b.until("the stream", `window.puppet`)
	b.do(`new Promise((r) => setTimeout(r))`) // it is open
	b.do(`window.later = 3600_000`)
	points := 0
	change := func(before string) {
		points++
		b.do(fmt.Sprintf(`{
			%s
			const r = structuredClone(JSON.parse(document.getElementById('served').textContent).scores[0])
			r.competitors[0].result = %d
			r.revision += %[2]d
			window.puppet.say('score', r)
		}`, before, points))
		b.until("the change", fmt.Sprintf(`%s === '%d'`, inList(match, 1), points))
	}
	change("")
	if !eval[bool](b, `window.flashes === 0 && !document.querySelector('.flash-a, .flash-b')`) {
		t.Error("a change from before the heartbeat flashes")
	}
	flashes := false
	for !flashes && points < 5 { // one that is rendered together with a resync does not flash
		// Each time, for the page opens another stream after 12 s without a message.
		change(`window.puppet.say('heartbeat', {revision: 2, epoch: 7, mode: 'push', frontend: 'f1'})`)
		flashes = b.flashesSoon()
	}
	if !flashes {
		t.Error("no change after the heartbeat flashes")
	}
}

func TestPageSaysSinceWhenItIsStale(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(defineMatch(match)...)
	b := newTab(t, phone, nil).open(s.URL(0)).live()
	s.Kill(0)
	s.Kill(1)
	b.until("that the page is stale", `/^Stale since \d\d:\d\d . (reconnecting in \d+\ss|connecting)/.test(
		document.querySelector('.strip .phase').innerText)`)
	b.until("the announcement", hasAnnounced("No frontend can be reached"))
	if !eval[bool](b, inList(match, 1)+` === '0'`) {
		t.Error("the old scores are not shown")
	}
	s.Start(0)
	s.Start(1)
	b.live()
	s.Post(play(match, "GAU", 1))
	b.until("a change after the restart", inList(match, 1)+` === '1'`)
}

func TestPageLeavesASilentFrontend(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(mutable)
	b.open(s.URL(0)).live()
	b.until("a home", `/^f/.test(document.querySelector('[data-of=home]').textContent)`)
	home := b.status("home")
	b.do(`window.mute()`)
	s.Post(play(match, "GAU", 1))
	b.untilWithin(12*time.Second+within, "the change from the other frontend", inList(match, 1)+` === '1' &&
		document.querySelector('[data-of=frontend]').textContent !== '`+home+`'`)
}

// mutable has window.mute drop all further events of the frontend that serves the stream.
const mutable = `{
	let latest = '', muted = ''
	window.mute = () => { muted = latest }
	window.EventSource = class extends EventSource {
		constructor(url) {
			super(url)
			latest = this.origin = new URL(url, location.href).origin
		}
		addEventListener(name, f) {
			super.addEventListener(name, (e) => { if (this.origin !== muted) f(e) })
		}
	}
}`

// stealsNothing has the page never take the stream from a tab that is silent, as one on a busy
// machine may be: it gets the stream only when that tab releases it.
const stealsNothing = `{
	const request = navigator.locks.request.bind(navigator.locks)
	navigator.locks.request = (name, options, callback) => {
		if (options?.steal) return new Promise(() => {})
		return callback ? request(name, options, callback) : request(name, options)
	}
}`

func TestTabsShareOneStreamAndPassItOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	first := newTab(t, desktop, nil).open(s.URL(0)).live()
	second := newTab(t, phone, first)
	second.before(stealsNothing)
	second.open(s.URL(0) + matchView).live()
	s.Post(play(match, "GAU", 2))
	first.until("Gaul's 2", inList(match, 1)+` === '2'`)
	second.until("Gaul's 2 in the second tab", `document.querySelector('.board-score').textContent === '2'`)
	eventually(t, "one stream for two tabs", func() bool { return s.Watchers(0) == 1 })
	first.run(chromedp.Navigate("about:blank"))
	s.Post(play(match, "GAU", 1))
	second.until("Gaul's 3 in the second tab", `document.querySelector('.board-score').textContent === '3'`)
	eventually(t, "one stream", func() bool { return s.Watchers(0) == 1 })
}

func TestTabThatBecomesVisibleIsUpToDateWithoutFlashing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes + `;
		window.isHidden = false
		window.EventSource = class extends EventSource {
			constructor(url) { super(url); this.addEventListener('score', () => { window.received = (window.received ?? 0) + 1 }) }
		}
		Object.defineProperty(document, 'hidden', { get: () => window.isHidden })
		Object.defineProperty(document, 'visibilityState', { get: () => (window.isHidden ? 'hidden' : 'visible') })
		window.show = (yes) => { window.isHidden = !yes; document.dispatchEvent(new Event('visibilitychange')) }`)
	b.open(s.URL(0)).live()
	b.do(`window.show(false)`)
	s.Post(play(match, "GAU", 5))
	b.until("the event in the hidden tab", `window.received === 1`)
	b.do(`window.show(true)`)
	b.until("Gaul's 5", inList(match, 1)+` === '5'`)
	if n := eval[int](b, `window.flashes`); n != 0 {
		t.Errorf("%d flashes", n)
	}
}

// puppet is an EventSource whose events the test sends.
const puppet = `window.EventSource = class extends EventTarget {
	constructor(url) { super(); window.puppet = this; this.url = url; setTimeout(() => this.onopen?.({})) }
	close() {}
	say(name, data) { this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId: '1' })) }
}`

func TestLowerRevisionNeverReplacesAHigherOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 2))
	b := newTab(t, desktop, nil)
	b.before(puppet)
	b.open(s.URL(0))
	b.until("the stream", `window.puppet`)
	b.do(`window.puppet.say('heartbeat', {revision: 3, epoch: 7, mode: 'push', frontend: 'f1', incarnation: 'one'})`)
	record := `const r = structuredClone(JSON.parse(document.getElementById('served').textContent).scores[0]); `
	put := func(name, change, wrap string) {
		b.do(`{ ` + record + change + `; window.puppet.say('` + name + `', ` + wrap + `) }`)
	}
	put("score", `r.competitors[0].result = 9; r.revision += 5`, `r`)
	b.until("the higher revision", inList(match, 1)+` === '9'`)
	put("score", `r.competitors[0].result = 1; r.revision += 4`, `r`)
	put("snapshot", `r.competitors[0].result = 1; r.revision += 4`, `{revision: r.revision, scores: [r], medals: []}`)
	put("score", `r.contest_id += '-2'; r.revision += 6`, `r`)
	b.until("the next contest", inList(match+"-2", 1)+` === '2'`)
	if !eval[bool](b, inList(match, 1)+` === '9'`) {
		t.Error("a lower revision is shown over a higher one")
	}
	// A demo that was restarted has the same address, and revisions that start over.
	put("snapshot", `r.competitors[0].result = 1; r.revision = 1`,
		`{incarnation: 'another', revision: 1, scores: [r], medals: []}`)
	b.until("the record of another store", inList(match, 1)+` === '1'`)
}

func TestPageConnectsOnlyToTheGroup(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(games(t, 0, 60)...)
	b := newTab(t, desktop, nil)
	err := chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok {
			allowed := func(prefix string) bool { return strings.HasPrefix(e.Request.URL, prefix) }
			if !slices.ContainsFunc([]string{s.URL(0), s.URL(1), "data:"}, allowed) {
				b.faults.add("the page requested %s", e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.run(command(network.Enable, network.EnableParams{}))
	b.open(s.URL(0)).live()
	for _, view := range []string{"#/medals", "#/cluster", "#/contest/" + match} {
		b.do(`location.hash = '` + view + `'; new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))`)
	}
	b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length > 3`)
}
