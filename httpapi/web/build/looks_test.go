package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// views are what there is to be looked at, and what tells that it is drawn.
var views = []struct{ name, hash, drawn string }{
	{"scores", "#/", `document.querySelector('.contests')`},
	{"contest", "#/contest/OG50BC/BOA-M-SFNL-02", `document.querySelectorAll('.timeline tbody tr').length > 5`},
	{"race", "#/contest/OG50BC/MAR-X-FNL", `document.querySelectorAll('.timeline tbody tr').length > 5`},
	{"followed", "#/contest/OG50BC/MEN-X-FNL?around=Statix", `document.querySelector('.ranking .followed')`},
	{"medals", "#/medals", `document.querySelector('.medals')`},
	{"cluster", "#/cluster", `document.querySelectorAll('.cluster tbody tr').length === 3`},
}

func show(b *tab, hash, drawn string) {
	b.t.Helper()
	b.do(`location.hash = '` + hash + `'`)
	b.until("the view "+hash, drawn)
}

// midGames is a site in the middle of the second day, when there is something of everything.
const midGames = 228

// midMatch is in the middle of a match of theirs.
const midMatch = 106

func TestNothingScrollsSidewaysFrom360PixelsOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(games(t, 0, midGames)...)
	for _, pixels := range []int64{320, 360, 600, 1280} {
		width := strconv.FormatInt(pixels, 10)
		b := newTab(t, look{width: pixels, height: 780}, nil).open(s.URL(0)).live()
		for _, v := range views {
			show(b, v.hash, v.drawn)
			// What a card clips is lost too, so each element is looked at.
			if over := eval[string](b, `[...document.querySelectorAll('main *, header *, footer *')].filter((e) => e.getBoundingClientRect().right > `+width+` + 1 && !e.closest('.scroll, .hidden')).map((e) => e.tagName + '.' + e.className).slice(0, 5).join() || (document.documentElement.scrollWidth > `+width+` ? 'something' : '')`); over != "" {
				t.Errorf("%s at %s pixels: wider than the screen: %s", v.name, width, over)
			}
		}
		b.close()
	}
}

func TestKeysGoWhereTheySay(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(games(t, 0, midGames)...)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	row := `[...document.querySelectorAll('[data-row]')].indexOf(document.activeElement)`
	for _, step := range []struct{ keys, what, expression string }{
		{"j", "the first line", row + ` === 0`},
		{"j", "the second line", row + ` === 1`},
		{"k", "the first line again", row + ` === 0`},
		{"m", "the medals", `location.hash === '#/medals' && document.querySelector('h1').textContent === 'Medals'`},
		{"/", "the field to find in", `document.activeElement.id === 'find' && location.hash === '#/'`},
		{"menhir", "what was looked for", `document.querySelectorAll('.contests tbody tr').length === 1`},
		{kb.Escape, "no field", `document.activeElement.id !== 'find'`},
		{"j", "the line that was found", row + ` === 0`},
		{kb.Enter, "the contest", `location.hash === '#/contest/OG50BC/MEN-X-FNL' && document.querySelector('h1').textContent === 'Menhir throw'`},
		{"?", "the help", `document.querySelector('dialog').open`},
		{kb.Escape, "the end of the help", `!document.querySelector('dialog').open`},
		{"c", "the cluster", `location.hash === '#/cluster' && document.querySelector('.cluster')`},
	} {
		b.press(step.keys)
		b.until(step.what+" after "+fmt.Sprintf("%q", step.keys), step.expression)
	}
}

func TestEverythingInATableHasACaption(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(games(t, 0, midGames)...)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	for _, v := range views[:5] {
		show(b, v.hash, v.drawn)
		if n := eval[int](b, `[...document.querySelectorAll('table')].filter((t) => !t.caption?.innerText.trim() || !t.querySelector('th[scope]')).length`); n != 0 {
			t.Errorf("%s: %d tables without a caption or headings", v.name, n)
		}
	}
}

func TestAxeFindsNothingSerious(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(games(t, 0, midGames)...)
	axe := axeCore(t)
	for _, l := range []look{phone, desktop, {width: 360, height: 780, dark: true}, {width: 1280, height: 800, dark: true}} {
		b := newTab(t, l, nil).open(s.URL(0)).live()
		b.do(axe + `; 0`)
		for _, v := range views {
			show(b, v.hash, v.drawn)
			found := eval[[]string](b, `axe.run({resultTypes: ['violations']}).then((r) => r.violations.filter((v) => v.impact !== 'minor').map((v) => v.impact + ' ' + v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.any.map((a) => a.message)).join('; ')))`)
			for _, f := range found {
				t.Errorf("%s, %d pixels, dark %v: %s", v.name, l.width, l.dark, f)
			}
		}
		b.close()
	}
}

func axeCore(t testing.TB) string {
	f, err := os.Open("testdata/axe-core-4.14.1.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mostBytes is what the page may weigh on the wire, with everything it needs.
const mostBytes = 60 << 10

func TestTheWholePageIsSmall(t *testing.T) {
	s := newFakeSite(t, 1)
	s.Post(games(t, 0, 300)...)
	html, size := fetch(t, s.URL(0)+"/")
	total := size
	for _, path := range regexp.MustCompile(`/assets/[a-z0-9.-]+`).FindAllString(html, -1) {
		_, n := fetch(t, s.URL(0)+path)
		t.Logf("%s: %d bytes", path, n)
		total += n
	}
	t.Logf("the page: %d bytes, in all %d", size, total)
	if total > mostBytes {
		t.Errorf("%d bytes, want at most %d", total, mostBytes)
	}
}

// fetch gets a file as a browser would, and tells what it weighed on the wire.
func fetch(t testing.TB, url string) (body string, wire int) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%s: %s, %s, %v", url, resp.Status, resp.Header.Get("Content-Encoding"), err)
	}
	z, err := gzip.NewReader(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain), len(b)
}

// LAUREL_SCREENSHOTS=../../../docs/screenshots go test -run Screenshots
func TestScreenshotsForTheDocumentation(t *testing.T) {
	dir := os.Getenv("LAUREL_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	// The match is shown while it goes on, a moment after a correction.
	during, s := newFakeSite(t, 3), newFakeSite(t, 3)
	during.Post(games(t, 0, midMatch)...)
	s.Post(games(t, 0, midGames)...)
	for name, l := range map[string]look{"phone": phone, "desktop": desktop} {
		for scheme, dark := range map[string]bool{"light": false, "dark": true} {
			l.dark = dark
			b := newTab(t, l, nil).open(s.URL(0)).live()
			shoot(b, dir, "scores", name+"-"+scheme, "#/", views[0].drawn)
			shoot(b, dir, "board", name+"-"+scheme, views[2].hash+"?around=Statix", `document.querySelector('.ranking .followed')`)
			shoot(b, dir, "cluster", name+"-"+scheme, "#/cluster", `/\d/.test(document.querySelectorAll('.figures dd')[4]?.textContent)`)
			b.open(during.URL(0)).live()
			shoot(b, dir, "contest", name+"-"+scheme, views[1].hash, `document.querySelector('.timeline del')`)
			b.close()
		}
	}
}

func shoot(b *tab, dir, view, kind, hash, drawn string) {
	b.t.Helper()
	show(b, hash, drawn)
	b.until("fresh figures", `parseFloat(document.querySelector('[data-of=age]').textContent) < 2`)
	file := filepath.Join(dir, view+"-"+kind+".png")
	if err := os.WriteFile(file, get(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}
