package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"laurel/internal/testwitness"
	"laurel/witness"
)

const (
	certifiedMark = `/^\u2713 certified \d\d:\d\d:\d\d by f\d, f\d, f\d/.test(document.querySelector('.certified')?.innerText)`
	doubtfulMark  = `document.querySelector('.certified.warning[role=alert]')`
	boardScore    = `document.querySelector('.board-score')?.textContent`
)

// openFile opens the page of a group from a file, at the address of a contest.
func (n *notarized) openFile(b *tab, view string) *tab {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "scores.html")
	if err := os.WriteFile(path, n.page(), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return b.open("file://" + path + strings.TrimPrefix(view, "/")).live()
}

func warns(text string) string {
	return `[...document.querySelectorAll('.warning')].some((e) => e.innerText.includes('` + text + `'))`
}

func TestAWrittenPageMarksWhatIsCertified(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	s.Post(`{"type":"medal.award","contest_id":"OG50BC/JUD","data":{"award_id":"1","medal":"GOLD","organisation":"GAU"}}`)
	n := newNotarized(t, s, "scores/"+match, "medals/OG50BC")
	b := n.openFile(newTab(t, desktop, nil), matchView)
	b.until("the mark", certifiedMark)
	if got := b.status("certificates"); got != "3 of 4" {
		t.Errorf("the status bar says %q", got)
	}
	s.Post(play(match, "GAU", 3))
	b.until("the score", boardScore+` === '3'`)
	b.until("its mark", certifiedMark)
	b.do(`location.hash = '#/medals/OG50BC'`)
	b.until("the mark of the medals", certifiedMark)
	b.do(`location.hash = '#/'`)
	b.until("the list", inList(match, 1)+` === '3'`)
	if eval[bool](b, `Boolean(document.querySelector('.certified'))`) {
		t.Error("the list has a mark")
	}
}

func TestAWrittenPageWarnsWhenCertificatesStop(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	b := n.openFile(newTab(t, phone, nil), matchView)
	b.until("the mark", certifiedMark)
	n.stop(true)
	s.Post(play(match, "GAU", 3))
	b.until("the score", boardScore+` === '3'`)
	if eval[bool](b, certifiedMark) {
		t.Error("the new score has the mark of the old one")
	}
	b.until("the warning", doubtfulMark+` && `+warns("too old"))
	n.stop(false)
	b.until("the mark again", certifiedMark)
	if eval[bool](b, `Boolean(document.querySelector('.warning'))`) {
		t.Error("the page still warns")
	}
}

func TestAWrittenPageAsksAnotherFrontendAndNamesWhoseProofDoesNotVerify(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	b := newTab(t, desktop, nil)
	// The page shows the lie for some seconds only.
	b.before(`new MutationObserver(() => { window.lied ||= ` + boardScore + ` === '4' }).observe(
		document, { childList: true, characterData: true, subtree: true })`)
	n.openFile(b, matchView)
	b.until("the mark", certifiedMark)
	at := b.status("frontend")
	for _, l := range n.proxies {
		if strings.HasSuffix(l.url, at) {
			l.lie(func(p *witness.Proven) {
				lie := strings.Replace(*p.Answer, `"result":3`, `"result":4`, 1)
				p.Answer = &lie
			}, [2]string{`"result":3`, `"result":4`})
		}
	}
	s.Post(play(match, "GAU", 3))
	b.until("the lie", `window.lied`)
	b.until("who lies", warns(at+" gave what does not verify"))
	b.until("the truth", boardScore+` === '3' && `+certifiedMark)
	b.until("why", warns(at+" did not send what is certified"))
	b.until("another frontend", isLive+` && document.querySelector('[data-of=frontend]').textContent !== '`+at+`'`)
	s.Post(play(match, "ROM", 1))
	b.until("what comes from there", `document.querySelectorAll('.board-score')[1].textContent === '1' && `+certifiedMark)
}

// What is certified is then what the page showed before, and stays so.
func TestAWrittenPageLeavesAFrontendWhoseNewAnswerIsNeverCertified(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 3))
	n := newNotarized(t, s, "scores/"+match, "medals/OG50BC")
	b := n.openFile(newTab(t, desktop, nil), matchView)
	b.until("the mark", boardScore+` === '3' && `+certifiedMark)
	n.keep("scores/" + match)
	s.Post(play(match, "GAU", 1))
	b.until("what is not certified", boardScore+` === '4'`)
	for medal, deadline := 1, time.Now().Add(within); ; medal++ {
		if left, _ := b.becomesTrue(2*time.Second, warns("did not send what is certified")); left {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the page has not left a frontend whose answer is never certified")
		}
		s.Post(fmt.Sprintf(`{"type":"medal.award","contest_id":"OG50BC/JUD","data":{"award_id":"%d","medal":"GOLD",`+
			`"organisation":"GAU"}}`, medal)) // there are certificates
	}
}

func TestAPageWithoutEd25519SaysSoOnceAndShowsScores(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	for name, c := range map[string]struct{ script, says string }{
		"no Ed25519": {
			`SubtleCrypto.prototype.importKey = () => Promise.reject(new DOMException('', 'NotSupportedError'))`, "no Ed25519",
		},
		"not secure context": {`Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })`, "https"},
	} {
		b := newTab(t, desktop, nil)
		b.before(c.script)
		n.openFile(b, matchView)
		b.until(name, `document.querySelector('[data-of=certificates]').textContent.includes('`+c.says+`')`)
		s.Post(play(match, "GAU", 1))
		b.until("the score", `/[1-9]/.test(`+boardScore+`)`)
		if eval[bool](b, `Boolean(document.querySelector('.certified, .warning'))`) {
			t.Errorf("%s: the page has a mark or a warning", name)
		}
		b.close()
	}
}

func TestAPageThatAFrontendServesMarksNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	asked := make(chan struct{}, 1)
	n.proxies[0].lie(func(*witness.Proven) {
		select {
		case asked <- struct{}{}:
		default:
		}
	}, [2]string{})
	b := newTab(t, desktop, nil).open(n.proxies[0].url + matchView).live()
	s.Post(play(match, "GAU", 3))
	b.until("the score", boardScore+` === '3'`)
	if eval[bool](b, `Boolean(document.querySelector('.certified, [data-of=certificates]'))`) {
		t.Error("the page has a mark")
	}
	select {
	case <-asked:
		t.Error("the page asks for a proof")
	default:
	}
}

// Both certificates are shown, because they prove to anybody that several frontends lie.
func TestAWrittenPageBelievesNothingAfterTwoHistories(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	b := n.openFile(newTab(t, desktop, nil), matchView)
	b.until("the mark", certifiedMark)
	n.stop(true)
	forked := testwitness.New(t, n.Policy.Store)
	for key := "scores/" + match; ; {
		forked.Certify(map[string]string{key: "{}\n"})
		mine, _, err := forked.Proof(key)
		good, _, errGood := n.Proof(key)
		if err != nil || errGood != nil {
			t.Fatal(err, errGood)
		}
		if mine.Round.Number == good.Round.Number {
			break
		}
	}
	n.proxies[0].lie(func(p *witness.Proven) {
		body, proof, err := forked.Prove(t.Context(), "scores/"+match)
		if err != nil {
			t.Error(err)
			return
		}
		text := string(body)
		p.Answer, p.Proof = &text, proof
	}, [2]string{})
	b.until("the warning", doubtfulMark+` && `+warns("contradict each other"))
	b.until("both certificates", `document.querySelectorAll('details pre').length === 2`)
}

// What frontends say of each other may be a lie, which hides the honest ones.
func TestAWrittenPageAsksOnlyTheFrontendsThatItWasGiven(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	b := n.openFile(newTab(t, desktop, nil), "/#/cluster")
	b.until("what the frontends say", `document.querySelectorAll('.cluster tbody tr').length === 3`)
	at := b.status("frontend")
	for i, l := range n.proxies {
		if strings.HasSuffix(l.url, at) {
			s.Kill(i)
		}
	}
	b.until("another one that it was given", isLive+` && document.querySelector('[data-of=frontend]').textContent !== '`+at+`'`)
	asked := eval[[]string](b, `performance.getEntriesByType('resource').map((e) => new URL(e.name).host)`)
	for _, host := range asked {
		if !slices.ContainsFunc(n.proxies, func(l *liar) bool { return strings.HasSuffix(l.url, host) }) {
			t.Errorf("the page asks %s", host)
		}
	}
}

// A page on a host for files is one of another origin.
func TestAWrittenPageWorksFromAHostForFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.Post(defineMatch(match)...)
	n := newNotarized(t, s, "scores/"+match)
	text := n.page()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(text)
	}))
	endWithTest(t, host)
	first := newTab(t, desktop, nil).open(host.URL + "/games/scores.html#/contest/" + match).live()
	second := newTab(t, desktop, first).open(host.URL + "/games/scores.html#/contest/" + match).live()
	for _, b := range []*tab{first, second} {
		b.until("the mark", certifiedMark)
	}
	s.Post(play(match, "GAU", 3))
	for _, b := range []*tab{first, second} {
		b.run(chromedp.Navigate(host.URL + "/games/scores.html?again#/contest/" + match))
		b.until("the score and its mark", boardScore+` === '3' && `+certifiedMark)
	}
}

// The marks are seen and heard by everybody, on every screen.
func TestMarksFitAndAreAccessible(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(games(t, 0, midGames)...)
	n := newNotarized(t, s, "scores/OG50BC/BOA-M-SFNL-02", "scores/OG50BC/MAR-X-FNL", "medals/OG50BC")
	axe := axeCore(t)
	narrow, dark := device{width: 320, height: 700}, desktop
	dark.dark = true
	for i, d := range []device{narrow, dark} {
		b := n.openFile(newTab(t, d, nil), "/")
		b.do(axe + `; 0`)
		check := func(mark string, which ...int) {
			for _, v := range which {
				show(b, views[v].hash, views[v].rendered+` && `+mark)
				for _, f := range eval[[]string](b, seriousFindings) {
					t.Errorf("%s, %d pixels: %s", views[v].name, d.width, f)
				}
				if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > int(d.width) {
					t.Errorf("%s, %d pixels: it is %d pixels wide", views[v].name, d.width, wide)
				}
			}
		}
		check(certifiedMark, 1, 2, 4)
		n.proxies[0].lie(func(p *witness.Proven) { p.Proof += "x" }, [2]string{})
		n.stop(true)
		check(doubtfulMark, 1, 4)
		n.stop(i == 1)
		n.proxies[0].lie(nil, [2]string{})
		b.close()
	}
}
