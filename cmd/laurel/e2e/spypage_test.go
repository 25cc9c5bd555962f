//go:build spy

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// pageReader is a reader with a browser, who has opened the page that laurel page has
// written. The frontends are at the page's URLs, the liar first. A script beside the page
// reports what it shows, several times a second.
type pageReader struct {
	t  testing.TB
	mu sync.Mutex
	// contest is what the page is to show.
	contest string
	shown   shownPage // what it showed last
	marked  int       // reports of a page with a mark
}

// shownPage is what the page shows at one moment.
type shownPage struct {
	Contest string   `json:"contest"`
	Mark    string   `json:"mark"`   // "" if what is shown is not marked as certified
	Scores  []string `json:"scores"` // of Gaul and of Rome
}

// beside is the page that holds the written page in a frame and reports what it shows.
const beside = `<!doctype html><title>a reader</title><iframe src="/scores.html" width=1200 height=900></iframe><script>
const frame = document.querySelector('iframe');
const look = async () => {
	const d = frame.contentDocument, mark = d.querySelector('p.certified.certified:not(.waiting,.warning)');
	const shown = {
		contest: frame.contentWindow.location.hash.replace('#/contest/', ''),
		mark: mark && mark.textContent.includes('\u2713') ? mark.textContent : '',
		scores: [...d.querySelectorAll('.board-score')].map((e) => e.textContent.trim()),
	};
	try {
		const res = await fetch('/seen', {method: 'POST', body: JSON.stringify(shown)});
		const want = '#/contest/' + await res.text();
		if (frame.contentWindow.location.hash !== want) frame.contentWindow.location.hash = want;
	} catch {}
	setTimeout(look, 50);
};
frame.onload = look;
</script>`

// newPageReader has Chromium open the page of a group.
func newPageReader(g *spiedGroup) *pageReader {
	g.t.Helper()
	o := commandEnv(g.t, nil, "laurel", "page", "--policy", g.policyFile, "--policy-key", g.policyKey,
		"--to", strings.Join(g.urls(), ","))
	if o.code != 0 {
		g.t.Fatal(o)
	}
	r := &pageReader{t: g.t, contest: busy}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, beside)
	})
	mux.HandleFunc("GET /scores.html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, o.out)
	})
	mux.HandleFunc("POST /seen", func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the browser was killed
		}
		var s shownPage
		if err := json.Unmarshal(body, &s); err != nil {
			g.t.Error(err)
		}
		fmt.Fprint(w, r.see(s))
	})
	server := httptest.NewServer(mux)
	g.t.Cleanup(server.Close)
	// The certificates of the frontends are of the group's own authority.
	g.t.Cleanup(browse(g.t.Context(), g.t, server.URL, "--ignore-certificate-errors"))
	return r
}

// see checks what the page shows, and returns which contest it is to show. Nobody but a liar
// has said that Rome scored.
func (r *pageReader) see(s shownPage) (contest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = s
	if s.Mark != "" {
		r.marked++
		if len(s.Scores) == 2 && s.Scores[1] != "0" {
			r.t.Errorf("the page marks %q for %s: %q", s.Scores, s.Contest, s.Mark)
		}
	}
	return r.contest
}

// expect has the page show a contest until its record, in JSON, is marked as certified.
func (r *pageReader) expect(g *spiedGroup, contest, truth string) {
	r.t.Helper()
	var record score.Record
	if err := json.Unmarshal([]byte(truth), &record); err != nil {
		r.t.Fatal(err)
	}
	var want []string
	for _, c := range record.Competitors {
		want = append(want, c.Result.String())
	}
	r.mu.Lock()
	r.contest = contest
	r.mu.Unlock()
	eventually(r.t, "the page marks the score of "+contest, func() error {
		g.revive(g.honest)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch s := r.shown; {
		case s.Contest != contest:
			return errors.New("it shows " + s.Contest)
		case s.Mark == "" || !slices.Equal(s.Scores, want):
			return fmt.Errorf("it shows %q with the mark %q; want %q", s.Scores, s.Mark, want)
		}
		return nil
	})
}
