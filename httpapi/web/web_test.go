package web

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
)

func renderPage(t *testing.T, d Data) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := Page(w, httptest.NewRequest(http.MethodGet, "/", nil), d, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return w.Body.String()
}

func points(n int64) *mark.Decimal {
	d := mark.Points(n)
	return &d
}

var match = score.Record{
	ContestID:      "OG50BC/CUR-M-GPA-01",
	Competition:    "OG50BC",
	Sport:          "stone-curling",
	Kind:           score.HeadToHead,
	Title:          "GAU vs ROM",
	Phase:          "Semi-final",
	ScheduleStatus: "RUNNING",
	ResultStatus:   "LIVE",
	Period:         "END2",
	StartTime:      time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC),
	Revision:       12,
	Competitors: []score.Standing{
		{Code: "GAU", Name: "Gaul", Organisation: "GAU", Result: points(2), Rank: 1, SortOrder: 1},
		{Code: "ROM", Name: "Rome", Organisation: "ROM", Result: points(0), Rank: 2, SortOrder: 2},
	},
}

func TestLiveContestsComeFirst(t *testing.T) {
	next, over := match, match
	next.ContestID, next.ScheduleStatus = "OG50BC/A", "SCHEDULED"
	next.StartTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	over.ContestID, over.ScheduleStatus, over.ResultStatus, over.Winner = "OG50BC/B", "FINISHED", "OFFICIAL", "GAU"
	html := renderPage(t, Data{Scores: []score.Record{next, over, match}})
	at := -1
	for _, want := range []string{
		"<h2>Live</h2>", "#/contest/OG50BC/CUR-M-GPA-01",
		"<h2>Next</h2>", "#/contest/OG50BC/A",
		"<h2>Finished</h2>", "#/contest/OG50BC/B", "OFFICIAL",
	} {
		found := strings.Index(html[:strings.Index(html, `id="served"`)], want)
		if found < at {
			t.Errorf("%s is at %d, want it after %d", want, found, at)
		}
		at = found
	}
}

func TestTextOfBardsIsEscaped(t *testing.T) {
	evil := match
	const markup = `</script><script>alert(1)</script><img src=x onerror=alert(1)>`
	evil.Title, evil.Event, evil.Period, evil.ContestID = markup, markup, markup, "OG50BC/~a"
	evil.Competitors = []score.Standing{{Code: markup, Name: markup, Organisation: `"><b>`, Result: points(1)}}
	d := Data{
		Scores:   []score.Record{evil},
		Medals:   []medal.Standings{{Competition: markup, Name: markup, Rows: []medal.Row{{Organisation: markup}}}},
		Frontend: markup,
	}
	html := renderPage(t, d)
	if n := strings.Count(html, "<script"); n != 2 {
		t.Errorf("got %d script elements, want the page's two", n)
	}
	if strings.Contains(html, "<img") || strings.Contains(html, "<b>") {
		t.Error("the page has markup of a bard")
	}
	var back Data
	served := regexp.MustCompile(`(?s)id="served">(.*?)</script>`).FindStringSubmatch(html)
	if err := json.Unmarshal([]byte(served[1]), &back); err != nil || back.Scores[0].Title != markup {
		t.Errorf("the script reads %+v, %v", back.Scores, err)
	}
}

func TestPageMayLoadOnlyItsOwnFiles(t *testing.T) {
	w := httptest.NewRecorder()
	if err := Page(w, httptest.NewRequest(http.MethodGet, "/", nil), Data{}, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	forbidden := regexp.MustCompile(`(?i)<style|style="| on[a-z]+="|https?://`)
	if html := w.Body.String(); forbidden.MatchString(html) {
		t.Errorf("the page has something that the policy forbids, or an external URL:\n%s", html)
	}
}

// A proxy may serve the page below a path, which it removes.
func TestThePageNamesNoPathFromTheRootOfItsHost(t *testing.T) {
	html := renderPage(t, Data{Scores: []score.Record{match}, Frontend: "f1"})
	if from := regexp.MustCompile(`(href|src|action)="/[^"]*"`).FindString(html); from != "" {
		t.Errorf("the page has %s", from)
	}
}

func TestThePageConnectsOnlyToFrontendsThatItsReaderCanReach(t *testing.T) {
	d := Data{Frontends: score.Frontends{Frontends: []score.Frontend{
		{URL: "http://127.0.0.1:8001"}, {URL: "https://F2.example:443/live"}, {URL: "http://[::1]:8003"},
		{URL: "http://f4.example; script-src *"}, {URL: "javascript:alert(1)"}, {URL: ""},
	}}}
	for host, want := range map[string]string{
		"scores.example":      "connect-src 'self' https://f2.example;",
		"scores.example:8001": "connect-src 'self' https://f2.example;",
		"localhost:8001":      "connect-src 'self' http://127.0.0.1:8001 https://f2.example http://[::1]:8003;",
		"127.0.0.1:8001":      "connect-src 'self' http://127.0.0.1:8001 https://f2.example http://[::1]:8003;",
	} {
		if policy := policy(&d, host); !strings.Contains(policy, want) {
			t.Errorf("at %s the policy is %q; want %q", host, policy, want)
		}
	}
}

func TestAssetsMayBeCachedForever(t *testing.T) {
	html := renderPage(t, Data{})
	urls := regexp.MustCompile(`"(assets/[^"]+)"`).FindAllStringSubmatch(html, -1)
	if len(urls) != 3 {
		t.Fatalf("the page names %v, want a script, a style and an icon", urls)
	}
	for _, u := range urls {
		for _, coding := range []string{"", "gzip", "br, gzip;q=0"} {
			r := httptest.NewRequest(http.MethodGet, "/"+u[1], nil)
			r.Header.Set("Accept-Encoding", coding)
			w := httptest.NewRecorder()
			Assets().ServeHTTP(w, r)
			immutable := strings.Contains(w.Header().Get("Cache-Control"), "immutable")
			if w.Code != http.StatusOK || !immutable || w.Header().Get("Content-Type") == "" {
				t.Errorf("%s: %d %v", u[1], w.Code, w.Header())
			}
			if got, want := w.Header().Get("Content-Encoding") == "gzip", coding == "gzip"; got != want {
				t.Errorf("%s with Accept-Encoding %q: compressed is %v", u[1], coding, got)
			}
			if coding == "gzip" {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(z); err != nil || len(b) == 0 {
					t.Errorf("%s: %d bytes, %v", u[1], len(b), err)
				}
			}
		}
	}
	w := httptest.NewRecorder()
	Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/assets/page-000000000000.js", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("a file of another version: %d, want 404", w.Code)
	}
}

func TestPageOfThousandsOfContestsIsSmall(t *testing.T) {
	var d Data
	for i := range 3000 {
		r := match
		r.ContestID = fmt.Sprintf("OG50BC/CUR-%d", i*7919%3001)
		r.ScheduleStatus = []string{"RUNNING", "SCHEDULED", "FINISHED"}[i%3]
		r.Revision = uint64(i * i)
		d.Scores = append(d.Scores, r)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	if err := Page(w, r, d, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	size := w.Body.Len()
	for _, a := range assets() {
		size += len(a.compressed)
	}
	if size > 60<<10 {
		t.Errorf("page and assets have %d bytes, want at most %d", size, 60<<10)
	}
	html := renderPage(t, d)
	if n := strings.Count(html, `<tr class="live">`); n != MaxLines {
		t.Errorf("%d live contests are rendered, want %d of 1000", n, MaxLines)
	}
	if !strings.Contains(html, `<span class="sub">1000</span>`) {
		t.Error("want the total of contests")
	}
}

func TestEmptyStoreHasAPage(t *testing.T) {
	html := renderPage(t, Data{Frontend: "f1"})
	if !strings.Contains(html, "No contest has been announced yet") || !strings.Contains(html, "<dd>f1</dd>") {
		t.Errorf("the page is\n%s", html)
	}
}

func TestTimesAreFormatted(t *testing.T) {
	for _, c := range []struct {
		resultType, mark, want string
	}{
		{"TIME", "8873.7", "2:27:53.7"},
		{"DISTANCE", "17.64", "17.64"},
		{"TIME", "-1", "\u22121"},
	} {
		d, err := mark.ParseDecimal(c.mark)
		if err != nil {
			t.Fatal(err)
		}
		r := &score.Record{Format: mark.Format{ResultType: c.resultType}}
		if got := resultOf(r, &score.Standing{Result: &d}); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.mark, c.resultType, got, c.want)
		}
	}
}

func TestTimelineOfThePageDescribesEachEventType(t *testing.T) {
	source, err := os.ReadFile("app/contest.tsx")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range score.Types {
		if typ == score.TypeCompetitionDefine {
			continue // it is in no contest's timeline
		}
		if !strings.Contains(string(source), fmt.Sprintf("case '%s':", typ)) {
			t.Errorf("describe in app/contest.tsx has no case for %s", typ)
		}
	}
}
