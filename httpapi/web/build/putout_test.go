package main

import (
	"net/http"
	"testing"
)

func TestThePageSaysWhoWasPutOutAndDoesNotChooseIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	n := newNotarized(t, s)
	putOut := func(forGood string) {
		n.proxies[0].lie(nil, [2]string{`"id":"f2"`, `"id":"f2","put_out":{"reason":"diverged",` +
			`"text":"reported another history","since":"2026-02-09T14:05:00.25Z","for_good":` + forGood + `}`})
	}
	putOut("false")
	// The only other one that it can choose has more watchers.
	resp, err := http.Get(s.URL(2) + "/v1/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	eventually(t, "f3 has a watcher", func() bool { return s.Watchers(2) == 1 })
	b := newTab(t, phone, nil)
	b.before(`window.tried = []
		window.EventSource = class extends EventSource {
			constructor(url) { super(url); window.tried.push(new URL(url, location.href).origin) }
		}`)
	b.open(n.proxies[0].url + "/#/cluster").live()
	text := `document.querySelector('.warning')?.innerText.replace(/ at \d\d:\d\d /, ' at 14:05 ')`
	b.until("who was put out", text+` === 'f2 was put out at 14:05 by f1: it reported another history.'`)
	b.until("its row", `document.querySelectorAll('.cluster tbody tr')[1].innerText.includes('serving, put out')`)
	putOut("true")
	b.until("that it is for good", text+`.endsWith(', for good.')`)
	b.do(`location.hash = '#/'`)
	s.Kill(0)
	b.until("another frontend", isLive+` && document.querySelector('[data-of=frontend]').textContent !== 'f1'`)
	// If f3 is slow the page goes on to f2, the last one.
	if got := eval[string](b, `window.tried.find((origin) => origin !== location.origin)`); got != s.URL(2) {
		t.Errorf("the page has chosen %s; want f3 at %s", got, s.URL(2))
	}
	b.do(`location.hash = '#/cluster'`)
	b.until("what another one says", `document.querySelector('.cluster .sub').innerText.includes(
		document.querySelector('[data-of=frontend]').textContent) && !document.querySelector('.warning')`)
}
