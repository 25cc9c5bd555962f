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

// views are the views of the page. rendered is true when one is complete.
var views = []struct{ name, hash, rendered string }{
	{"scores", "#/", `document.querySelector('.contests')`},
	{"contest", "#/contest/OG50BC/BOA-M-SFNL-02", `document.querySelectorAll('.timeline tbody tr').length > 5`},
	{"race", "#/contest/OG50BC/MAR-X-FNL", `document.querySelectorAll('.timeline tbody tr').length > 5`},
	{"followed", "#/contest/OG50BC/MEN-X-FNL?around=Statix", `document.querySelector('.ranking .followed')`},
	{"medals", "#/medals", `document.querySelector('.medals')`},
	{"cluster", "#/cluster", `document.querySelectorAll('.cluster tbody tr').length === 3`},
}

func show(b *tab, hash, rendered string) {
	b.t.Helper()
	b.do(`location.hash = '` + hash + `'`)
	b.until("the view "+hash, rendered)
}

// midGames is the number of events up to the middle of the second day, when every kind of
// content exists, and midMatch up to the middle of a match.
const (
	midGames = 228
	midMatch = 106
)

func TestNoViewIsWiderThanTheScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(games(t, 0, midGames)...)
	for _, pixels := range []int64{320, 360, 600, 1280} {
		width := strconv.FormatInt(pixels, 10)
		b := newTab(t, device{width: pixels, height: 780}, nil).open(s.URL(0)).live()
		for _, v := range views {
			show(b, v.hash, v.rendered)
			// A card may clip an element, so the elements are checked one by one.
			over := eval[string](b, `[...document.querySelectorAll('main *, header *, footer *')]
				.filter((e) => e.getBoundingClientRect().right > `+width+` + 1 && !e.closest('.scroll, .hidden'))
				.map((e) => e.tagName + '.' + e.className).slice(0, 5).join() ||
				(document.documentElement.scrollWidth > `+width+` ? 'something' : '')`)
			if over != "" {
				t.Errorf("%s at %s pixels: wider than the screen: %s", v.name, width, over)
			}
		}
		b.close()
	}
}

func TestKeysWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(games(t, 0, midGames)...)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	row := `[...document.querySelectorAll('[data-row]')].indexOf(document.activeElement)`
	heading := `document.querySelector('h1').textContent`
	for _, step := range []struct{ keys, what, expression string }{
		{"j", "the first line", row + ` === 0`},
		{"j", "the second line", row + ` === 1`},
		{"k", "the first line again", row + ` === 0`},
		{"m", "the medals", `location.hash === '#/medals' && ` + heading + ` === 'Medals'`},
		{"/", "the search field", `document.activeElement.id === 'find' && location.hash === '#/'`},
		{"menhir", "the match", `document.querySelectorAll('.contests tbody tr').length === 1`},
		{kb.Escape, "no search field", `document.activeElement.id !== 'find'`},
		{"j", "the line of the match", row + ` === 0`},
		{kb.Enter, "the contest", `location.hash === '#/contest/OG50BC/MEN-X-FNL' && ` + heading +
			` === 'Menhir throw'`},
		{"?", "the help", `document.querySelector('dialog').open`},
		{kb.Escape, "the help closed", `!document.querySelector('dialog').open`},
		{"c", "the cluster", `location.hash === '#/cluster' && document.querySelector('.cluster')`},
	} {
		b.press(step.keys)
		b.until(step.what+" after "+fmt.Sprintf("%q", step.keys), step.expression)
	}
}

func TestTablesHaveCaptionsAndHeadings(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(games(t, 0, midGames)...)
	b := newTab(t, desktop, nil).open(s.URL(0)).live()
	for _, v := range views[:5] {
		show(b, v.hash, v.rendered)
		n := eval[int](b, `[...document.querySelectorAll('table')].filter(
			(t) => !t.caption?.innerText.trim() || !t.querySelector('th[scope]')).length`)
		if n != 0 {
			t.Errorf("%s: %d tables without a caption or headings", v.name, n)
		}
	}
}

// seriousFindings lists what axe finds in a page that has its script.
const seriousFindings = `axe.run({resultTypes: ['violations']}).then((r) => r.violations
	.filter((v) => v.impact !== 'minor')
	.map((v) => v.impact + ' ' + v.id + ': ' + v.nodes.slice(0, 3)
		.map((n) => n.html + ' ' + n.any.map((a) => a.message)).join('; ')))`

func TestAxeFindsNothingSerious(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(games(t, 0, midGames)...)
	axe := axeCore(t)
	darkPhone, darkDesktop := phone, desktop
	darkPhone.dark, darkDesktop.dark = true, true
	for _, d := range []device{phone, desktop, darkPhone, darkDesktop} {
		b := newTab(t, d, nil).open(s.URL(0)).live()
		b.do(axe + `; 0`)
		for _, v := range views {
			show(b, v.hash, v.rendered)
			for _, f := range eval[[]string](b, seriousFindings) {
				t.Errorf("%s, %d pixels, dark %v: %s", v.name, d.width, d.dark, f)
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

// maxPageBytes bounds the page with its assets, as transferred.
const maxPageBytes = 60 << 10

func TestPageAndAssetsAreSmall(t *testing.T) {
	s := startSite(t, 1)
	s.Post(games(t, 0, 300)...)
	html, size := fetch(t, s.URL(0)+"/")
	total := size
	for _, path := range regexp.MustCompile(`/assets/[a-z0-9.-]+`).FindAllString(html, -1) {
		_, n := fetch(t, s.URL(0)+path)
		t.Logf("%s: %d bytes", path, n)
		total += n
	}
	t.Logf("page: %d bytes, with assets %d", size, total)
	if total > maxPageBytes {
		t.Errorf("got %d bytes, want at most %d", total, maxPageBytes)
	}
}

// fetch gets a file like a browser and returns the number of transferred bytes, too.
func fetch(t testing.TB, url string) (body string, wire int) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
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

// TestScreenshots makes the screenshots of the documentation:
//
//	LAUREL_SCREENSHOTS=../../../docs/screenshots go test -run Screenshots
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("LAUREL_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	// The match is shown while it is live, just after a correction.
	during, s := newSite(t, 3), newSite(t, 3)
	during.Post(games(t, 0, midMatch)...)
	s.Post(games(t, 0, midGames)...)
	for name, d := range map[string]device{"phone": phone, "desktop": desktop} {
		for scheme, dark := range map[string]bool{"light": false, "dark": true} {
			d.dark = dark
			b := newTab(t, d, nil).open(s.URL(0)).live()
			screenshot(b, dir, "scores", name+"-"+scheme, "#/", views[0].rendered)
			screenshot(b, dir, "board", name+"-"+scheme, views[2].hash+"?around=Statix",
				`document.querySelector('.ranking .followed')`)
			screenshot(b, dir, "cluster", name+"-"+scheme, "#/cluster",
				`/\d/.test(document.querySelectorAll('.figures dd')[4]?.textContent)`)
			b.open(during.URL(0)).live()
			screenshot(b, dir, "contest", name+"-"+scheme, views[1].hash, `document.querySelector('.timeline del')`)
			b.close()
		}
	}
}

func screenshot(b *tab, dir, view, kind, hash, rendered string) {
	b.t.Helper()
	show(b, hash, rendered)
	b.until("a recent heartbeat", `parseFloat(document.querySelector('[data-of=age]').textContent) < 2`)
	file := filepath.Join(dir, view+"-"+kind+".png")
	if err := os.WriteFile(file, get(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}
