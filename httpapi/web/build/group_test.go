package main

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

func TestAFrontendDiesAndThePageGoesOnAndComesHome(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes)
	b.open(s.URL(0)).live()
	b.until("a home", `/^f/.test(document.querySelector('[data-of=home]').textContent)`)
	home := b.strip("home")
	if home != b.strip("frontend") {
		t.Fatalf("home %q, served by %q", home, b.strip("frontend"))
	}
	at := int(home[1] - '1')
	s.Kill(at)
	s.Post(play(match, "GAU", 4)) // nobody could tell the page
	b.until("that another frontend serves", `document.querySelector('.strip[data-phase=live]') && document.querySelector('[data-of=frontend]').textContent !== '`+home+`'`)
	b.until("what happened meanwhile", inList(match, 1)+` === '4'`)
	if n := eval[int](b, `window.flashes`); n != 0 {
		t.Errorf("%d flashes for what a resync brought", n)
	}
	if got := b.strip("home"); got != home {
		t.Errorf("home is now %q, was %q", got, home)
	}
	s.Post(play(match, "ROM", 1))
	b.until("a change told by the other", inList(match, 2)+` === '1'`)
	s.Start(at)
	b.until("that it is home again", `document.querySelector('.strip[data-phase=live]') && document.querySelector('[data-of=frontend]').textContent === '`+home+`'`)
	s.Post(play(match, "ROM", 1))
	b.until("a change told by the home", inList(match, 2)+` === '2'`)
	eventually(t, "one stream in all", func() bool { return s.Watchers(0)+s.Watchers(1)+s.Watchers(2) == 1 })
}

func TestWithoutAnyFrontendThePageSaysSinceWhenItIsStale(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(defineMatch(match)...)
	b := newTab(t, phone, nil).open(s.URL(0)).live()
	s.Kill(0)
	s.Kill(1)
	b.until("that it is stale", `/^Stale since \d\d:\d\d . (reconnecting in \d+\ss|connecting)/.test(document.querySelector('.strip .phase').innerText)`)
	b.until("a sentence for who listens", `document.getElementById('said').textContent.includes('No frontend can be reached')`)
	if !eval[bool](b, inList(match, 1)+` === '0'`) {
		t.Error("the old scores are gone")
	}
	s.Start(0)
	s.Start(1)
	b.live()
	s.Post(play(match, "GAU", 1))
	b.until("a change told by who is back", inList(match, 1)+` === '1'`)
}

func TestASilentFrontendIsLeft(t *testing.T) {
	t.Parallel()
	s := newFakeSite(t, 2)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	b.until("a home", `/^f/.test(document.querySelector('[data-of=home]').textContent)`)
	home := b.strip("home")
	s.Mute(int(home[1] - '1'))
	s.Post(play(match, "GAU", 1))
	b.untilWithin(12*time.Second+within, "the other frontend", inList(match, 1)+` === '1'`)
	if got := b.strip("frontend"); got == home {
		t.Errorf("served by %s still", got)
	}
}

func TestTabsShareOneStreamAndPassItOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	first := newTab(t, desktop, nil).open(s.URL(0)).live()
	second := newTab(t, phone, first).open(s.URL(0) + matchView).live()
	s.Post(play(match, "GAU", 2))
	first.until("Gaul's 2", inList(match, 1)+` === '2'`)
	second.until("Gaul's 2 in the second tab", `document.querySelector('.board-score').textContent === '2'`)
	if n := s.Watchers(0); n != 1 {
		t.Fatalf("%d streams for two tabs", n)
	}
	left := time.Now()
	first.run(chromedp.Navigate("about:blank"))
	eventually(t, "the first tab has let go", func() bool { return s.Watchers(0) == 0 || time.Since(left) > time.Second })
	eventually(t, "the second tab has the stream", func() bool { return s.Watchers(0) == 1 })
	second.live()
	if d := time.Since(left); d > 10*time.Second {
		t.Errorf("the second tab took over after %s: it was not handed the stream, it lost patience", d)
	}
	s.Post(play(match, "GAU", 1))
	second.until("Gaul's 3 in the second tab", `document.querySelector('.board-score').textContent === '3'`)
}

func TestATabThatIsSeenAgainIsBroughtUpToDateWithoutAFlash(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil)
	b.before(countFlashes + `;
		window.unseen = false
		window.EventSource = class extends EventSource {
			constructor(url) { super(url); this.addEventListener('score', () => { window.told = (window.told ?? 0) + 1 }) }
		}
		Object.defineProperty(document, 'hidden', { get: () => window.unseen })
		Object.defineProperty(document, 'visibilityState', { get: () => (window.unseen ? 'hidden' : 'visible') })
		window.show = (yes) => { window.unseen = !yes; document.dispatchEvent(new Event('visibilitychange')) }`)
	b.open(s.URL(0)).live()
	b.do(`window.show(false)`)
	s.Post(play(match, "GAU", 5))
	b.until("that the hidden tab was told", `window.told === 1`)
	b.do(`window.show(true)`)
	b.until("Gaul's 5", inList(match, 1)+` === '5'`)
	if n := eval[int](b, `window.flashes`); n != 0 {
		t.Errorf("%d flashes", n)
	}
}

// An EventSource that the test speaks through instead of a frontend.
const puppet = `window.EventSource = class extends EventTarget {
	constructor(url) { super(); window.puppet = this; this.url = url; setTimeout(() => this.onopen?.({})) }
	close() {}
	say(name, data) { this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId: '1' })) }
}`

func TestALowerRevisionNeverReplacesAHigherOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 2))
	b := newTab(t, desktop, nil)
	b.before(puppet)
	b.open(s.URL(0))
	b.until("the stream", `window.puppet`)
	b.do(`window.puppet.say('heartbeat', {revision: 3, epoch: 7, mode: 'push', frontend: 'f1', store: 'one'})`)
	record := `const r = structuredClone(JSON.parse(document.getElementById('served').textContent).scores[0]); `
	put := func(name, change, wrap string) {
		b.do(`{ ` + record + change + `; window.puppet.say('` + name + `', ` + wrap + `) }`)
	}
	put("score", `r.competitors[0].result = 9; r.revision += 5`, `r`)
	b.until("the higher revision", inList(match, 1)+` === '9'`)
	put("score", `r.competitors[0].result = 1; r.revision += 4`, `r`)
	put("snapshot", `r.competitors[0].result = 1; r.revision += 4`, `{revision: r.revision, scores: [r], medals: []}`)
	put("score", `r.contest_id += '-2'; r.revision += 6`, `r`)
	b.until("what came after", inList(match+"-2", 1)+` === '2'`)
	if !eval[bool](b, inList(match, 1)+` === '9'`) {
		t.Error("a lower revision is shown over a higher one")
	}
	// A demo that was started again: at the same address, with revisions that begin anew.
	put("snapshot", `r.competitors[0].result = 1; r.revision = 1`, `{store: 'another', revision: 1, scores: [r], medals: []}`)
	b.until("the record of another store", inList(match, 1)+` === '1'`)
}

func TestThePageAsksNobodyButTheGroup(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(games(t, 0, 60)...)
	b := newTab(t, desktop, nil)
	err := chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok {
			if u := e.Request.URL; !strings.HasPrefix(u, s.URL(0)) && !strings.HasPrefix(u, s.URL(1)) && !strings.HasPrefix(u, "data:") {
				b.broken.add("the page asked for %s", u)
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
