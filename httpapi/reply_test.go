package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/question"
	"laurel/score"
)

func TestHitEqualsTheLoadedAnswer(t *testing.T) {
	g, s := start(t)
	g.keeps = true
	for _, path := range []string{"/v1/scores/" + contest, "/v1/scores?limit=2", "/v1/timeline/" + contest,
		"/v1/medals/OG50BC", "/v1/medals/OG50BC/GAU", "/v1/bards/bard/cacofonix"} {
		load, hit := ask(t, s, "GET", path, ""), ask(t, s, "GET", path, "")
		if load.Header.Get("Laurel-Cache") != "load" || hit.Header.Get("Laurel-Cache") != "hit" ||
			hit.StatusCode != 200 || hit.body != load.body ||
			hit.Header.Get("ETag") != load.Header.Get("ETag") ||
			hit.Header.Get("Laurel-Revision") != load.Header.Get("Laurel-Revision") {
			t.Errorf("%s: got %v, then %v", path, load.Header, hit.Header)
		}
		if text := ask(t, s, "GET", path, "", isText); text.Header.Get("Laurel-Cache") != "hit" ||
			!strings.HasPrefix(text.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s as a table: got %v", path, text.Header)
		}
	}
	for range 2 {
		if a := ask(t, s, "GET", "/v1/scores/OG50BC/NO", ""); a.StatusCode != 404 ||
			a.Header.Get("Laurel-Mode") != "push" || a.Header.Get("Laurel-Revision") != revisionText(lastRevision) {
			t.Errorf("got %d %v", a.StatusCode, a.Header)
		}
	}
}

func TestEqualQuestionsHaveOneKey(t *testing.T) {
	for path, want := range map[string]struct{ key, tag string }{
		"scores/" + contest:                          {cache.ScoreKey(contest), ""},
		"scores/" + contest + "?max_stale=30s":       {cache.ScoreKey(contest), ""},
		"medals/OG50BC":                              {cache.MedalsKey("OG50BC"), ""},
		"medals/OG50BC/GAU":                          {"medals/OG50BC/GAU", cache.MedalsKey("OG50BC")},
		"medals/OG50BC/Britain/of?":                  {"medals/OG50BC/Britain/of", cache.MedalsKey("OG50BC")},
		"timeline/" + contest:                        {"timeline/" + contest, cache.TimelineTag(contest)},
		"timeline/" + contest + "?limit=100&after=0": {"timeline/" + contest, cache.TimelineTag(contest)},
		"timeline/" + contest + "?limit=07&after=010": {"timeline/" + contest + "?after=10&limit=7",
			cache.TimelineTag(contest)},
		"scores":                         {"scores", cache.AnyTag},
		"scores?limit=100&after=&sport=": {"scores", cache.AnyTag},
		"scores?sport=a+b&competition=OG&max_stale=": {"scores?competition=OG&sport=a+b",
			cache.ListTag("OG")},
		"scores?sport=a%20b&competition=OG": {"scores?competition=OG&sport=a+b",
			cache.ListTag("OG")},
		"scores?competition=OG/X&limit=5&max_stale=10": {"scores?competition=OG%2FX&limit=5",
			cache.ListTag("OG")},
		"bards/bard/cacofonix":                             {"bards/bard/cacofonix", cache.AnyTag},
		"bards/bard/cacofonix?after=":                      {"bards/bard/cacofonix?after=0", cache.AnyTag},
		"bards/bard/cacofonix?limit=100":                   {"bards/bard/cacofonix?after=0", cache.AnyTag},
		"bards/bard/cacofonix?after=07&limit=2":            {"bards/bard/cacofonix?after=7&limit=2", cache.AnyTag},
		"leaderboard/" + race + "?limit=100&split=&after=": {"leaderboard/" + race, cache.BoardTag(race)},
		"leaderboard/" + race + "?split=10+km&limit=2&after=01500,a": {"leaderboard/" + race +
			"?after=1500%2Ca&limit=2&split=10+km", cache.BoardTag(race)},
	} {
		path, query, _ := strings.Cut(path, "?")
		if q, err := question.Parse(path, query); err != nil || q.Key != want.key || q.Tag != want.tag {
			t.Errorf("%s?%s: got %q with tag %q (%v); want %q", path, query, q.Key, q.Tag, err, want)
		}
	}
}

func TestQuestionIsFoundAgainByItsKey(t *testing.T) {
	g, _ := newTestAPI(t, Options{})
	for _, c := range []struct{ path, query string }{
		{"leaderboard/" + race, ""}, {"leaderboard/" + race, "split=10%20km&limit=2&after=1900,2888&category=M"},
		{"leaderboard/" + race, "around=99&limit=3"}, {"leaderboard/OG50BC/NO", ""},
		{"scores/" + contest, ""}, {"scores/OG50BC/NO", ""},
		{"scores", "limit=1&after=OG50BC/CUR-M-GPA-01&sport=a%26b%3Dc"}, {"medals/OG50BC", ""},
		{"medals/OG50BC/GAU", ""},
		{"medals/OG50BC/what? a%20b/ü\n", ""}, {"timeline/" + contest, "after=100&limit=2"},
		{"startlist/" + race, "after=1,a&limit=2"}, {"bards/bard/cacofonix", ""}, {"bards/bard/cacofonix", "after=1&limit=2"}, {"bards/bard/new", "limit=1"},
	} {
		q, err := question.Parse(c.path, c.query)
		if err != nil {
			t.Fatal(c, err)
		}
		var want []byte
		var r1 uint64
		if b := q.Board; b != nil {
			p, revision, problem := g.store.Board(t.Context(), b.Contest, &b.Query)
			want, r1, _ = b.Body(&p, revision, problem)
		} else {
			_ = g.store.view(func(v queries.View) error {
				want, r1, _ = q.Ask(v)
				return nil
			})
		}
		if got, r2, err := g.store.answer(q.Key); err != nil || string(got) != string(want) || r1 != r2 ||
			(got == nil) != (want == nil) {
			t.Errorf("%q: got %s (%v); want %s", q.Key, got, err, want)
		}
	}
	var p *score.Problem
	for _, key := range []string{"", "scores/", "scores/%zz", "scores?limit=0", "metrics", "v1/scores", "medals",
		"scores/a b", "bards/", "scores?sport=" + strings.Repeat("x", 600), "timeline/\x00",
		"leaderboard/", "leaderboard/A/1?limit=1001", "leaderboard/A/1?after=1,a&around=b", "leaderboard/A/1?around=" + strings.Repeat("x", 600)} {
		if _, err := question.ByKey(key); !errors.As(err, &p) {
			t.Errorf("%q: got %v; want a problem", key, err)
		}
	}
}

func TestPulledAnswerHasItsAge(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	g.mode.Store(score.Pull)
	for _, c := range []struct {
		age       time.Duration
		how, want string
	}{{0, cache.Hit, "0"}, {time.Millisecond, cache.Hit, "1"}, {time.Second, cache.Hit, "1"}, {1001 * time.Millisecond,
		cache.Forward, "2"}} {
		g.pull = func(key string) (*cache.Entry, string, time.Duration, error) {
			if key != cache.ScoreKey(contest) {
				t.Errorf("asked for %s", key)
			}
			return &cache.Entry{Body: []byte("{}\n"), Revision: 5}, c.how, c.age, nil
		}
		a := ask(t, s, "GET", "/v1/scores/"+contest, "")
		if h := a.Header; h.Get("Age") != c.want || h.Get("Laurel-Cache") != c.how || h.Get("Laurel-Mode") != "pull" ||
			h.Get("Laurel-Revision") != "5" || a.body != "{}\n" {
			t.Errorf("%v: got %v", c, h)
		}
	}
	g.elsewhere.Store(false)
	g.mode.Store(score.Push)
	if a := ask(t, s, "GET", "/v1/scores/"+contest, ""); a.Header.Values("Age") != nil {
		t.Errorf("in push mode: got %v", a.Header)
	}
}

func TestProblemOfAPullIsAnswered(t *testing.T) {
	g, s := start(t)
	g.mode.Store(score.Pull)
	g.pull = func(string) (*cache.Entry, string, time.Duration, error) {
		return &cache.Entry{Revision: 9}, cache.Hit, 2 * time.Second, nil
	}
	if a := ask(t, s, "GET", "/v1/scores/OG50BC/NO", ""); a.StatusCode != 404 || a.Header.Get("Age") != "2" {
		t.Errorf("got %d %v; want to be told that it was not there 2 s ago", a.StatusCode, a.Header)
	}
	g.pull = func(string) (*cache.Entry, string, time.Duration, error) {
		return nil, "", 0, score.Problemf(score.NoMaster, "none")
	}
	if p := ask(t, s, "GET", "/v1/scores/"+contest, "").problem(t); p.Code != score.NoMaster {
		t.Errorf("got %v", p)
	}
	if a := ask(t, s, "GET", "/v1/scores/"+contest+"?max_stale", ""); a.StatusCode != 200 ||
		a.Header.Get("Laurel-Cache") != "stale" || a.Header.Get("Laurel-Mode") != "pull" {
		t.Errorf("got %d %v", a.StatusCode, a.Header)
	}
}

func TestStaleAnswerIsGivenOnlyWithinMaxStale(t *testing.T) {
	const path = "/v1/scores/" + contest
	for _, c := range []struct {
		name, query, header string
		age                 time.Duration
		unknown             bool
		want                string // the Age; "" for none, "refused" for no answer
	}{
		{"no consent", "", "", time.Second, false, "refused"},
		{"other directives", "", "no-cache, max-age=3", time.Second, false, "refused"},
		{"any age", "", "max-stale", time.Hour, false, "3600"},
		{"any age by parameter", "?max_stale", "", time.Hour, false, "3600"},
		{"not rounded down", "", "max-stale", 1001 * time.Millisecond, false, "2"},
		{"at the bound", "", "max-age=0, Max-Stale=30", 30 * time.Second, false, "30"},
		{"quoted", "", `max-stale="30"`, 30 * time.Second, false, "30"},
		{"over the bound", "", "max-stale=30", 30*time.Second + 1, false, "refused"},
		{"duration", "?max_stale=1m", "", 60 * time.Second, false, "60"},
		{"seconds", "?max_stale=60", "", 60*time.Second + 1, false, "refused"},
		{"part of a second", "?max_stale=200ms", "", 201 * time.Millisecond, false, "refused"},
		{"the parameter goes before", "?max_stale=1s", "max-stale", time.Minute, false, "refused"},
		{"a bound without end", "", "max-stale=99999999999999999999999", time.Hour, false, "3600"},
		{"unreadable", "", "max-stale=soon", time.Second, false, "refused"},
		{"negative", "", "max-stale=-1", time.Second, false, "refused"},
		{"unknown age", "", "max-stale", 0, true, ""},
		{"unknown age, bounded", "", "max-stale=99999999", 0, true, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, s := start(t)
			g.elsewhere.Store(true)
			g.age, g.unknown = c.age, c.unknown
			a := ask(t, s, "GET", path+c.query, "", "Cache-Control: "+c.header)
			if c.want == "refused" {
				if p := a.problem(t); p.Status != 503 || a.Header.Get("Retry-After") != "1" ||
					a.Header.Get("Laurel-Cache") != "" || a.Header.Get("Age") != "" {
					t.Errorf("got %v %v", p, a.Header)
				}
				return
			}
			h := a.Header
			if a.StatusCode != 200 || h.Get("Age") != c.want || h.Get("Laurel-Cache") != "stale" ||
				h.Get("Laurel-Revision") != revisionText(scoreRevision) || h.Get("Laurel-Frontend") != "f1" {
				t.Errorf("got %d %v %s", a.StatusCode, h, a.body)
			}
		})
	}
}

func TestStaleNotFoundIsMarkedAsStale(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	g.age = 3 * time.Second
	if a := ask(t, s, "GET", "/v1/scores/OG50BC/NO?max_stale", ""); a.StatusCode != 404 || a.Header.Get("Age") != "3" ||
		a.Header.Get("Laurel-Cache") != "stale" {
		t.Errorf("got %d %v", a.StatusCode, a.Header)
	}
}

func TestCurrentAnswerIsPreferredToAStaleOne(t *testing.T) {
	g, s := start(t)
	if a := ask(t, s, "GET", "/v1/scores?max_stale=60s", "",
		"Cache-Control: max-stale"); a.Header.Get("Laurel-Cache") != "load" {
		t.Errorf("got %v", a.Header)
	}
	g.elsewhere.Store(true)
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, "from the master")
		return err
	}
	if a := ask(t, s, "GET", "/v1/scores?max_stale=60s", ""); a.body != "from the master" ||
		a.Header.Get("Laurel-Cache") != "forward" {
		t.Errorf("got %v", a.Header)
	}
}

func TestInvalidMaxStaleIsRefused(t *testing.T) {
	_, s := start(t)
	for _, path := range []string{"/v1/scores", "/v1/scores/" + contest, "/v1/timeline/" + contest, "/v1/medals/OG50BC",
		"/v1/medals/OG50BC/GAU", "/v1/bards/b"} {
		for _, given := range []string{"soon", "-1s", "-1", "1e9", "30s&max_stale=20s"} {
			if p := ask(t, s, "GET", path+"?max_stale="+given, "").problem(t); p.Status != 400 ||
				p.Field != "max_stale" {
				t.Errorf("%s: got %v", given, p)
			}
		}
	}
}

func TestReadThatAcceptsAStaleAnswerDoesNotWaitLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a := newTestAPI(t, Options{})
		s := serveVirtually(t, a, a.Handler())
		g.elsewhere.Store(true)
		hang := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
				t.Error("the group was asked for longer")
			}
			return score.Problemf(score.NoMaster, "none")
		}
		g.forward = func(w http.ResponseWriter, r *http.Request) error { return hang(r.Context()) }
		if a := ask(t, s, "GET", "/v1/scores?max_stale", ""); a.Header.Get("Laurel-Cache") != "stale" {
			t.Errorf("got %d %v", a.StatusCode, a.Header)
		}
		g.forward = func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(http.StatusOK)
			select {
			case <-r.Context().Done():
				t.Error("an answer that has begun was broken off")
			case <-time.After(staleTimeout + 50*time.Millisecond):
			}
			return nil
		}
		if a := ask(t, s, "GET", "/v1/scores?max_stale", ""); a.StatusCode != 200 ||
			a.Header.Get("Laurel-Cache") != "forward" {
			t.Errorf("got %d %v", a.StatusCode, a.Header)
		}
		g.elsewhere.Store(false)
		g.mode.Store(score.Pull)
		g.waits = hang
		if a := ask(t, s, "GET", "/v1/scores?max_stale", ""); a.Header.Get("Laurel-Cache") != "stale" {
			t.Errorf("in pull mode: got %d %v", a.StatusCode, a.Header)
		}
	})
}

func TestForwardedReadIsNotAnsweredFromStaleState(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	g.unleased.Store(true)
	s := serve(t, a, a.ForwardedHandler())
	if p := ask(t, s, "GET", "/v1/scores?max_stale", "", "Cache-Control: max-stale", forwarded).problem(t); p.Code != score.NoMaster {
		t.Errorf("got %v; want the one who forwarded it to judge", p)
	}
}

func TestNewMasterAnswersOnceItHasItsLease(t *testing.T) {
	g, s := start(t)
	g.unleased.Store(true)
	asked := 0
	g.forward = func(http.ResponseWriter, *http.Request) error {
		asked++
		g.unleased.Store(asked < 3)
		return score.Problemf(score.NoMaster, "it is this one")
	}
	if a := ask(t, s, "GET", "/v1/scores", ""); a.StatusCode != 200 || a.Header.Get("Laurel-Cache") != "load" ||
		asked != 3 {
		t.Errorf("got %d %v after %d turns", a.StatusCode, a.Header, asked)
	}
}

func TestReadThatTimesOutIsForwarded(t *testing.T) {
	t.Parallel()
	g, s := start(t)
	g.read = func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, "from the master")
		return err
	}
	if a := ask(t, s, "GET", "/v1/scores", ""); a.body != "from the master" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
}

func TestReadsAreCountedByHowTheyWereAnswered(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	s := serve(t, a, a.Handler())
	g.keeps = true
	const path = "/v1/scores/" + contest
	ask(t, s, "GET", path, "")
	ask(t, s, "GET", path, "")
	ask(t, s, "GET", "/v1/scores?limit=0", "") // not a question
	g.mode.Store(score.Pull)
	g.pull = func(string) (*cache.Entry, string, time.Duration, error) { return &cache.Entry{}, cache.Hit, 0, nil }
	ask(t, s, "GET", path, "")
	g.elsewhere.Store(true)
	g.mode.Store(score.Push)
	ask(t, s, "GET", path, "")
	ask(t, s, "GET", path+"?max_stale", "")
	g.forward = func(w http.ResponseWriter, r *http.Request) error { return nil }
	ask(t, s, "GET", path, "")
	page := ask(t, s, "GET", "/metrics", "").body
	for answered, n := range map[string]string{"hit": "1", "wait": "0", "load": "1", "pulled": "1", "forward": "1",
		"stale": "1", "refused": "1"} {
		if want := `laurel_reads_total{answered="` + answered + `"} ` + n + "\n"; !strings.Contains(page, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

func FuzzQuestions(f *testing.F) {
	for _, key := range []string{"scores/" + contest, "scores?limit=5&sport=a", "medals/OG50BC/a%3Fb",
		"timeline/A/1?after=3", "bards/b", "%", "scores?max_stale=1s", "leaderboard/" + race,
		"leaderboard/" + race + "?around=7&limit=2", "startlist/" + race + "?after=1,7", "scores?find=a+b",
		"scores?section=next&after=8000000000000000/A/1", "bards/b?after=2&limit=3", "now", "sections",
		"keys", "records", "records?competition=A"} {
		f.Add(key)
	}
	g, a := newTestAPI(f, Options{})
	h := a.Handler()
	f.Fuzz(func(t *testing.T, key string) {
		var p *score.Problem
		body, _, err := g.store.answer(key)
		switch {
		case err != nil && !errors.As(err, &p):
			t.Fatalf("%q: %v", key, err)
		case err != nil:
			return
		}
		// A key that is a path behind /v1/ and nothing more is answered on that path with the same bytes.
		r := httptest.NewRequest("GET", "/v1/scores", nil)
		r.Host = testHost
		if r.URL.Path = "/v1/" + key; strings.ContainsAny(key, "?%") || body == nil {
			return
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Body.String() != string(body) && w.Code == 200 {
			t.Fatalf("%q: got %s; want %s", key, w.Body, body)
		}
	})
}
