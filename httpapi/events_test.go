package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/score"
)

func TestPostedEventIsAnsweredWithItsRevision(t *testing.T) {
	g, s := start(t)
	a := ask(t, s, "POST", "/v1/events", `{"id":"b1-000110","source":"bard/cacofonix","seq":1,"type":"score.play","time":"2026-02-09T10:16:40Z",
		"contest_id":"OG50BC/CUR-M-GPA-01","data":{"period":"END1","action":"END","competitor":"GAU","delta":2,"result":{"GAU":2,"ROM":0}}}`, isJSON)
	if want := `{"revision":1,"results":[{"id":"b1-000110","seq":1,"revision":1,"status":"applied"}]}` + "\n"; a.StatusCode != 200 || a.body != want {
		t.Fatalf("got %d %q; want %q", a.StatusCode, a.body, want)
	}
	if a.Header.Get("Laurel-Frontend") != "f1" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", a.Header)
	}
	e := g.events()[0]
	if e.Source != "bard/cacofonix" || e.Seq != 1 || !e.IDGiven || !e.TimeGiven ||
		!e.Time.Equal(time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC)) {
		t.Errorf("the group got %+v", e)
	}
}

func TestMissingIDSourceAndTimeAreFilledIn(t *testing.T) {
	g, s := start(t)
	before := time.Now()
	one := `{"type":"alert","contest_id":"OG50BC/X","data":{"text":"hic"}}`
	a := ask(t, s, "POST", "/v1/events", "["+one+","+one+"]", "Content-Type: application/json; charset=UTF-8")
	if a.StatusCode != 200 {
		t.Fatal(a.StatusCode, a.body)
	}
	events := g.events()
	for _, e := range events {
		if e.Source != "anonymous" || e.ID == "" || e.IDGiven || e.TimeGiven || e.Time.Before(before) ||
			e.Time.After(time.Now()) || e.Time.Location() != time.UTC || e.Seq != 0 {
			t.Errorf("the group got %+v", e)
		}
	}
	if events[0].ID == events[1].ID {
		t.Error("two events have the same made-up id")
	}
}

func TestRefusedEventOfAnArrayIsNamedAndNothingIsApplied(t *testing.T) {
	g, s := start(t)
	a := ask(t, s, "POST", "/v1/events", "["+alert("a", "")+","+alert("b", "refuse")+"]", isJSON)
	p := a.problem(t)
	if a.StatusCode != http.StatusConflict || p.Code != score.StatusConflict || p.ID != "b" || p.Index == nil ||
		*p.Index != 1 {
		t.Errorf("got %+v", p)
	}
	if len(g.events()) != 0 {
		t.Errorf("applied: %v", g.events())
	}
}

// bad are bodies that no event can be read from, each with the status and a part of what must be said.
var bad = []struct {
	name, body string
	status     int
	says       string
}{
	{"nothing", "", 400, "empty"},
	{"white space", " \n\t ", 400, "empty"},
	{"truncated", alert("a", "")[:40], 400, "not valid JSON"},
	{"truncated array", "[" + alert("a", ""), 400, "not valid JSON"},
	{"NaN", strings.Replace(playOf("2"), "2", "NaN", 1), 400, "not valid JSON"},
	{"infinity", playOf("Infinity"), 400, "not valid JSON"},
	{"huge number", playOf("1e999999"), 400, "delta"},
	{"long number", playOf(strings.Repeat("9", 100_000)), 400, "delta"},
	{"fine fraction", playOf("0.0001"), 400, "delta"},
	{"huge seq", `{"source":"s","seq":99999999999999999999,"type":"alert","contest_id":"OG/X","data":{"text":"x"}}`,
		400, "seq"},
	{"number as string", playOf(`"2"`), 400, "delta"},
	{"deep nesting", `{"type":"alert","contest_id":"OG/X","data":` + strings.Repeat("[", 100_000), 400, "depth"},
	{"deep and whole", strings.Repeat(`{"data":`, 5000) + "1" + strings.Repeat("}", 5000), 400, "contest_id"},
	{"wrong UTF-8", strings.Replace(alert("a", ""), "clack", "cl\xff\xfeck", 1), 400, "UTF-8"},
	{"half a surrogate", strings.Replace(alert("a", ""), "clack", `\ud800`, 1), 400, "not valid JSON"},
	{"unknown member", `{"type":"alert","contest_id":"OG/X","data":{"text":"x"},"colour":"red"}`, 400, "colour"},
	{"unknown member of data", `{"type":"alert","contest_id":"OG/X","data":{"text":"x","colour":"red"}}`, 400,
		"data.colour"},
	{"member twice", `{"type":"alert","type":"alert","contest_id":"OG/X","data":{"text":"x"}}`, 400, "twice"},
	{"unknown type", `{"type":"goal","contest_id":"OG/X","data":{}}`, 400, "type"},
	{"two events", alert("a", "") + alert("b", ""), 400, "not valid JSON"},
	{"a number", "7", 400, "object"},
	{"null", "null", 400, "contest_id"},
	{"empty array", "[]", 400, "1 to 1000"},
	{"large event", alert("a", strings.Repeat("x", score.MaxEventBytes)), 413, "262144"},
	{"large body", "[" + strings.Repeat(alert("a", "")+",", admission.MaxBodyBytes/50) + "]", 413, "4194304"},
	{"control character", strings.Replace(alert("a", ""), "clack", `\u0000`, 1), 400, "data.text"},
}

func playOf(delta string) string {
	return `{"type":"score.play","contest_id":"OG/X","data":{"competitor":"GAU","delta":` + delta + `}}`
}

func TestBadBodyGetsAClearProblemAndChangesNothing(t *testing.T) {
	g, s := start(t)
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			a := ask(t, s, "POST", "/v1/events", c.body, isJSON)
			p := a.problem(t)
			if a.StatusCode != c.status || !strings.Contains(p.Field+": "+p.Detail, c.says) {
				t.Errorf("got %d %q %q; want %d, and that it says %q", a.StatusCode, p.Field, p.Detail, c.status,
					c.says)
			}
			if len(a.body) > 2000 {
				t.Errorf("a problem of %d bytes", len(a.body))
			}
		})
	}
	if n := len(g.events()); n != 0 {
		t.Errorf("%d events were posted", n)
	}
}

func TestBodyWithoutLengthIsRefusedOnceTooLarge(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	endless := &zeros{left: 100 << 20}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v1/events", endless)
	r.Host, r.ContentLength = testHost, -1
	r.Header.Set("Content-Type", "application/json")
	a.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if read := 100<<20 - endless.left; read > 3*admission.MaxBodyBytes {
		t.Errorf("%d bytes were read of a body of which %d may be", read, admission.MaxBodyBytes)
	}
	if len(g.events()) != 0 {
		t.Error("something was posted")
	}
}

// zeros is a long line of the digit 0.
type zeros struct{ left int }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.left)
	for i := range p[:n] {
		p[i] = '0'
	}
	z.left -= n
	return n, nil
}

func TestOnlyPlainJSONAndNDJSONAreTaken(t *testing.T) {
	g, s := start(t)
	for _, c := range []struct{ header, says string }{
		{"Content-Type: application/x-www-form-urlencoded", "curl -H 'Content-Type: application/json'"},
		{"Content-Type: text/plain", "application/x-ndjson"},
		{"Content-Type: application/json; charset=latin1", "UTF-8"},
		{"Content-Type: ;;;", "application/json"},
		{"X: y", "missing"},
	} {
		p := ask(t, s, "POST", "/v1/events", alert("a", ""), c.header)
		if problem := p.problem(t); problem.Status != http.StatusUnsupportedMediaType ||
			problem.Code != score.InvalidEvent || !strings.Contains(problem.Detail, c.says) {
			t.Errorf("%s: got %+v", c.header, problem)
		}
	}
	p := ask(t, s, "POST", "/v1/events", "\x1f\x8b", isJSON, "Content-Encoding: gzip").problem(t)
	if p.Status != http.StatusUnsupportedMediaType || p.Field != "Content-Encoding" {
		t.Errorf("gzip: got %+v", p)
	}
	if len(g.events()) != 0 {
		t.Error("something was posted")
	}
}

func TestTemporaryProblemHasRetryAfter(t *testing.T) {
	for code, status := range map[score.Code]int{score.RateLimited: 429, score.NoSpace: 507, score.NoMaster: 503, score.OutcomeUnknown: 503,
		score.NotReady: 503} {
		g, s := start(t)
		g.post = func(score.Post) ([]score.Result, error) { return nil, score.Problemf(code, "not now") }
		for _, kind := range []string{isJSON, isNDJSON} {
			a := ask(t, s, "POST", "/v1/events", alert("a", ""), kind)
			if p := a.problem(t); a.StatusCode != status || p.Code != code || a.Header.Get("Retry-After") != "1" {
				t.Errorf("%s as %s: got %d, Retry-After %q", code, kind, a.StatusCode, a.Header.Get("Retry-After"))
			}
		}
	}
}

func TestFailedPostHasAnUnknownOutcome(t *testing.T) {
	g, s := start(t)
	for name, post := range map[string]func(score.Post) ([]score.Result, error){
		"error":      func(score.Post) ([]score.Result, error) { return nil, errors.New("the disk is on fire") },
		"no results": func(score.Post) ([]score.Result, error) { return nil, nil },
		"few results": func(p score.Post) ([]score.Result, error) {
			return []score.Result{{ID: "a", Revision: 1}},
				nil
		},
	} {
		g.post = post
		p := ask(t, s, "POST", "/v1/events", "["+alert("a", "")+","+alert("b", "")+"]", isJSON).problem(t)
		if p.Code != score.OutcomeUnknown || strings.Contains(p.Detail, "fire") {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}
