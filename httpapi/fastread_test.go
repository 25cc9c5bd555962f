package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
)

func rawGet(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// questions are GETs that both ways must answer alike, the first time and from memory.
func questions(tag string) (all []twin) {
	const path = "/v1/scores/" + contest
	twice := func(name, raw string) { all = append(all, twin{name: name, raw: raw + raw, answers: 2}) }
	for _, path := range []string{path, "/v1/scores", "/v1/scores?limit=2", "/v1/timeline/" + contest,
		"/v1/timeline/" + contest + "?limit=2", "/v1/medals/OG50BC",
		"/v1/medals/OG50BC/GAU", "/v1/medals/OG50BC/XXX", "/v1/medals/OG50BC/", "/v1/medals/",
		"/v1/bards/bard/cacofonix", "/v1/bards/a//b", "/v1/scores/OG50BC/NO", "/v1/scores/",
		"/v1/scores//OG50BC", "/v1/scores/../x", "/v1/scores/%0a", "/v1/scores/OG50BC%2FCUR-M-GPA-01",
		"/v1/scores?limit=0", "/v1/scores?x=y", "/v1/scores?limit=%zz",
		path + "?", path + "?max_stale=30s", path + "?max_stale=soon", path + "?x", "/v1/scores;x", "/v1/frontends", "/livez"} {
		twice(path, rawGet(path))
		twice(path+" as text", rawGet(path, "Accept: text/plain"))
	}
	for _, query := range []string{"", "?limit=2", "?split=10%20km&limit=2", "?split=10+km", "?split=finish&category=M",
		"?around=7&limit=3", "?around=7&limit=3&category=W", "?around=x",
		"?after=8000000,31&limit=1", "?after=,99", "?after=x", "?after=8000,31&around=7", "?limit=0", "?limit=1001",
		"?limit=2&limit=2", "?limit=", "?split=none", "?x=y", "?split=&", "?&limit=2",
		"?around=7&max_stale=5s", "?limit=2;split=finish", "?limit=+2", "?around=" + strings.Repeat("x", 600)} {
		twice("board "+query, rawGet("/v1/leaderboard/"+race+query))
		twice("board "+query+" as text", rawGet("/v1/leaderboard/"+race+query, "Accept: text/plain"))
	}
	boardTag := (&question.BoardQuery{Contest: race, Query: ranking.Query{Limit: 2}}).ETag("fake", raceRevision)
	for _, list := range []string{boardTag, "W/" + boardTag, `"other", ` + boardTag, "*", `"other"`} {
		twice("board, If-None-Match: "+list, rawGet("/v1/leaderboard/"+race+"?limit=2", "If-None-Match: "+list))
		twice("board as text, If-None-Match: "+list, rawGet("/v1/leaderboard/"+race+"?limit=2", "Accept: text/plain",
			"If-None-Match: "+list))
	}
	for _, path := range []string{"/v1/leaderboard/OG50BC/NO", "/v1/leaderboard/", "/v1/leaderboard",
		"/v1/leaderboard/OG50BC//MAR", "/v1/leaderboard/OG50BC%2FMAR"} {
		twice(path, rawGet(path))
	}
	for _, accept := range []string{"*/*", "application/json", "text/*", "TEXT/PLAIN", "text/html, */*;q=0.8",
		"application/json, text/plain", "application/json, text/plain;q=0.5",
		"text/plain;q=0", "text/plain;q=x", "image/png", ";;,,", ""} {
		twice("Accept: "+accept, rawGet(path, "Accept: "+accept))
	}
	for _, list := range []string{tag, "W/" + tag, `"other"`, `"other", ` + tag, "*", "", ",", tag + "x"} {
		twice("If-None-Match: "+list, rawGet(path, "If-None-Match: "+list))
		twice("as text, If-None-Match: "+list, rawGet(path, "Accept: text/plain", "If-None-Match: "+list))
	}
	twice("Cache-Control", rawGet(path, "Cache-Control: no-cache, max-stale=3"))
	twice("many fields", rawGet(path, "User-Agent: curl/8", "Accept: */*", "Accept-Encoding: gzip",
		"Connection: keep-alive", "Cookie: a=b"))
	twice("with a token", rawGet(path, bearer(bardToken)))
	twice("with a wrong token", rawGet(path, "Authorization: Bearer x"))
	twice("with a token in the URL", rawGet(path+"?token=x"))
	twice("from a page", rawGet(path, "Origin: http://a.example"))
	twice("from a page of the group", rawGet(path, "Origin: http://127.0.0.1:8002"))
	twice("two fields", rawGet(path, "Accept: text/plain", "Accept: application/json"))
	all = append(all, twin{name: "HEAD", raw: strings.Replace(rawGet("/livez"), "GET", "OPTIONS", 1), answers: 1},
		twin{name: "close", raw: rawGet(path, "Connection: close"), answers: 1},
		twin{name: "many at once", raw: strings.Repeat(rawGet(path)+rawGet("/v1/medals/OG50BC",
			"If-None-Match: x")+rawGet("/v1/scores/OG50BC/NO"), 20), answers: 60},
		twin{name: "posts between", raw: rawGet(path) + rawPost(alert("a", ""),
			isJSON) + rawGet(path) + rawGet("/v1/frontends"), answers: 4})
	return all
}

func bodyOf(s *testStore, key string) []byte {
	body, _, err := s.answer(key)
	if err != nil {
		panic(err)
	}
	return body
}

func TestFastPathAnswersReadsLikeNetHTTP(t *testing.T) {
	states := map[string]func(g *testMember){
		"with a lease": func(g *testMember) { g.keeps = true },
		"pull": func(g *testMember) {
			g.mode.Store(score.Pull)
			g.pull = func(key string) (*cache.Entry, string, time.Duration, error) {
				body, revision, err := g.store.answer(key)
				return &cache.Entry{Body: body, Revision: revision}, cache.Hit, 1500 * time.Millisecond, err
			}
		},
		"another is the master": func(g *testMember) {
			g.elsewhere.Store(true)
			g.forward = func(w http.ResponseWriter, r *http.Request) error {
				h := w.Header()
				h.Set("Laurel-Revision", "5")
				h.Set("Etag", `"e"`)
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotModified)
					return nil
				}
				writeBody(w, handler.TypeText, fmt.Appendf(nil, "%s %s %s %v", r.Method, r.URL.Path, r.URL.RawQuery,
					r.Header["Accept"]))
				return nil
			}
		},
		"no master": func(g *testMember) { g.elsewhere.Store(true); g.age = 2 * time.Second },
		"failure": func(g *testMember) {
			g.elsewhere.Store(true)
			g.forward = func(http.ResponseWriter, *http.Request) error { return io.ErrNoProgress }
		},
	}
	tunes := map[string]func(*Options){
		"private":         func(*Options) {},
		"list of origins": func(o *Options) { o.Origins = []string{"http://a.example"} },
	}
	for name := range tunes {
		states[name] = func(g *testMember) {
			g.keeps = true
			newGuardedGroup(t, g)
			g.store.change(access.SettingPrivate, strconv.FormatBool(name == "private"))
		}
	}
	for name, set := range states {
		t.Run(name, func(t *testing.T) {
			tune := tunes[name]
			if tune == nil {
				tune = func(*Options) {}
			}
			plain, hot := newWay(t, false, tune), newWay(t, true, tune)
			set(plain.group)
			set(hot.group)
			for _, c := range questions(handler.ETag(bodyOf(plain.group.store, "scores/"+contest))) {
				want, wantLives := plain.send(t, c.raw, c.answers)
				got, lives := hot.send(t, c.raw, c.answers)
				if masked(got) != masked(want) || lives != wantLives {
					t.Errorf("%s: the front answered\n%s\nand the connection lives: %t; net/http\n%s\nand %t", c.name,
						got, lives, want, wantLives)
				}
			}
			if got, want := counted(t, hot.registry), counted(t, plain.registry); got != want {
				t.Errorf("the front counted\n%s\nnet/http\n%s", got, want)
			}
			if got, want := masked(hot.log.String()), masked(plain.log.String()); got != want {
				t.Errorf("the front logged\n%s\nnet/http\n%s", got, want)
			}
		})
	}
}

// hotOf returns the fast path of an API and a request for it.
func hotOf(a *API, path string) (*fastHandler, *fastpath.Request) {
	return a.clientServer().fastHandler(a.Server(a.Handler())), &fastpath.Request{Method: "GET", Path: []byte(path),
		Host: []byte(testHost), Accept: []byte("*/*")}
}

func TestHitIsAnsweredWithoutAllocating(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	g.keeps = true
	for _, path := range []string{"/v1/scores/" + contest, "/v1/scores", "/v1/medals/OG50BC", "/v1/medals/OG50BC/GAU",
		"/v1/timeline/" + contest, "/v1/bards/bard/cacofonix"} {
		h, r := hotOf(a, path)
		dst := make([]byte, 0, 64<<10)
		ctx := t.Context()
		first, _ := h.Answer(ctx, dst, r)
		if !bytes.Contains(first, []byte("Laurel-Cache: load")) {
			t.Fatalf("%s: got %s", path, first)
		}
		tag := []byte(handler.ETag(bodyOf(g.store, path[len("/v1/"):])))
		for _, r.IfNoneMatch = range [][]byte{nil, tag} {
			status, answer := "200 OK", []byte(nil)
			if r.IfNoneMatch != nil {
				status = "304 Not Modified"
			}
			// Other goroutines allocate, too, so the least of several counts is used.
			least := math.Inf(1)
			for range 5 {
				least = min(least, testing.AllocsPerRun(100, func() { answer, _ = h.Answer(ctx, dst, r) }))
			}
			if least != 0 {
				t.Errorf("%s: %v allocations for %s", path, least, status)
			}
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+status)) ||
				!bytes.Contains(answer, []byte("Laurel-Cache: hit")) {
				t.Errorf("%s: got %s", path, answer)
			}
		}
	}
}

func TestPushedAnswerWaitsForItsReleaseOnTheFastPath(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	g.keeps = true
	h, r := hotOf(a, "/v1/scores/"+contest)
	h.Answer(t.Context(), nil, r) // from now on it is in memory
	const readers = 20
	hits := a.metrics.hits.Load()
	ask := func(then func(*cache.Link)) (answers [readers][]byte) {
		lease, stream := leaseCheck(scoreRevision - 2)
		g.lease = &lease
		var all sync.WaitGroup
		for i := range readers {
			one := *r
			all.Go(func() { answers[i], _ = h.Answer(t.Context(), nil, &one) })
		}
		eventually(t, "all wait", func() bool { return readsUnderWay(a) == readers })
		// This release is of something else.
		if _, err := stream.Receive(&cache.Release{Released: scoreRevision - 1}, 1); err != nil {
			t.Error(err)
		}
		if n := readsUnderWay(a); n != readers {
			t.Errorf("%d readers wait after an earlier release; want %d", n, readers)
		}
		then(stream)
		all.Wait()
		if got := readsUnderWay(a); got != 0 {
			t.Errorf("%d places of reads are still taken", got)
		}
		return answers
	}
	body := bodyOf(g.store, "scores/"+contest)
	for _, got := range ask(func(l *cache.Link) { l.Receive(&cache.Release{Released: scoreRevision}, 1) }) {
		if !bytes.Contains(got, []byte("Laurel-Cache: wait\r\nLaurel-Frontend")) || !bytes.HasSuffix(got, body) {
			t.Errorf("got %s", got)
		}
	}
	if n := a.metrics.waits.Load(); n != readers || a.metrics.hits.Load() != hits {
		t.Errorf("counted %d waits and %d hits; want %d and %d", n, a.metrics.hits.Load(), readers, hits)
	}
	// The session ends before the release: the answer may be made anew.
	for _, got := range ask(func(l *cache.Link) { g.lease = nil; l.Close() }) {
		if !bytes.Contains(got, []byte("Laurel-Cache: hit")) || !bytes.HasSuffix(got, body) {
			t.Errorf("after the end of the session got %s", got)
		}
	}
}

// frontOf serves an API with the fast path.
func frontOf(t testing.TB, a *API) (url string, handed *atomic.Int32) {
	p := a.clientServer()
	handed = new(atomic.Int32)
	router := p.router()
	s := a.Server(router)
	hot := p.fastHandler(s)
	// Only requests that were handed over reach the server.
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handed.Add(1)
		router.ServeHTTP(w, r)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := fastpath.New(s, hot, time.Minute)
	go f.Serve(l)
	t.Cleanup(func() { f.Close() })
	return "http://" + l.Addr().String(), handed
}

func TestConnectionStaysFastWhateverTheLease(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	url, handed := frontOf(t, a)
	g.keeps = true
	const path = "/v1/scores/" + contest
	get := func(path, how string) {
		t.Helper()
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		if got := res.Header.Get("Laurel-Cache"); got != how {
			t.Errorf("%s: got %d by %q; want %q", path, res.StatusCode, got, how)
		}
	}
	get(path, "load")
	get(path, "hit")
	g.elsewhere.Store(true)
	get(path, "")
	get(path+"?max_stale", "stale")
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		writeBody(w, handler.TypeJSON, []byte("{}\n"))
		return nil
	}
	get(path, "forward")
	g.elsewhere.Store(false)
	get(path, "hit")
	get(path+"?max_stale", "hit")
	get("/v1/scores?limit=1", "load")
	get("/v1/scores/OG50BC/NO", "load")
	if n := handed.Load(); n != 0 {
		t.Errorf("%d requests were handed to net/http", n)
	}
}

func TestAnswerTooLongForTheFastPathIsSentByNetHTTP(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	url, handed := frontOf(t, a)
	g.elsewhere.Store(true)
	body := strings.Repeat("x", 1<<20)
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		writeBody(w, handler.TypeJSON, []byte(body))
		return nil
	}
	for _, c := range []struct{ more, handed int32 }{{0, 0}, {1, 1}} {
		body += strings.Repeat("x", int(c.more))
		res, err := http.Get(url + "/v1/scores")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(got) != body || handed.Load() != c.handed {
			t.Errorf("got %d bytes (%v), %d requests by net/http; want %d bytes", len(got), err, handed.Load(),
				len(body))
		}
	}
}

func TestTruncatedForwardedAnswerIsNotSent(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	url, _ := frontOf(t, a)
	g.elsewhere.Store(true)
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		if r.Context().Value(http.ServerContextKey) == nil {
			t.Error("a reverse proxy would not tell that it breaks off")
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
	res, err := http.Get(url + "/v1/scores/" + contest)
	if err == nil {
		b, _ := io.ReadAll(res.Body)
		t.Errorf("got %d %q", res.StatusCode, b)
	}
}

// BenchmarkHit measures a hit without the cache and the connection.
func BenchmarkHit(b *testing.B) {
	body := bodyOf(newStore(b), "scores/"+contest)
	a := New(groupOf(&hitGroup{entry: &cache.Entry{Body: body, Revision: 8123}}),
		Options{Options: admission.Options{PublicHost: testHost}})
	h, r := hotOf(a, "/v1/scores/"+contest)
	dst := make([]byte, 0, 64<<10)
	b.Run("front", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Answer(b.Context(), dst, r)
		}
	})
	b.Run("front-parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			dst := make([]byte, 0, 64<<10)
			for pb.Next() {
				h.Answer(b.Context(), dst, r)
			}
		})
	})
	b.Run("adapter", func(b *testing.B) {
		slow := *r
		slow.Query = []byte("max_stale=1s")
		b.ReportAllocs()
		for b.Loop() {
			h.Answer(b.Context(), dst, &slow)
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		handler := a.Handler()
		r := httptest.NewRequest("GET", "/v1/scores/"+contest, nil)
		r.Host = testHost
		w := &sink{http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			clear(w.h)
			handler.ServeHTTP(w, r)
		}
	})
}

// hitGroup is a group with one answer in memory.
type hitGroup struct {
	testMember
	entry *cache.Entry
}

func (g *hitGroup) Find([]byte) (*cache.Entry, cache.LeaseCheck) { return g.entry, allVisible }

// BenchmarkGetOver measures one read from memory over a loopback connection. bare is a handler
// behind gorilla/mux that writes the same bytes.
func BenchmarkGetOver(b *testing.B) {
	body := bodyOf(newStore(b), "scores/"+contest)
	g := &hitGroup{entry: &cache.Entry{Body: body, Revision: 8123}}
	g.id = "f1"
	o := benchOptions()
	router := mux.NewRouter()
	router.HandleFunc("/v1/scores/{contest:.+}", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", handler.TypeJSON)
		h.Set("Etag", `"0123456789abcdef"`)
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write(body)
	})
	bare := httptest.NewServer(router)
	defer bare.Close()
	for _, way := range []struct{ name, addr string }{{"front", serveWay(b, groupOf(g), o, true)},
		{"nethttp", serveWay(b, groupOf(g), o, false)}, {"bare", bare.Listener.Addr().String()}} {
		b.Run(way.name, func(b *testing.B) {
			raw := []byte(rawGet("/v1/scores/" + contest))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", way.addr)
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				in := bufio.NewReader(c)
				buf := make([]byte, 4096)
				for pb.Next() {
					if _, err := c.Write(raw); err != nil {
						b.Error(err)
						return
					}
					if n, err := in.Read(buf); err != nil || string(buf[9:12]) != "200" {
						b.Errorf("got %q (%v)", buf[:n], err)
						return
					}
				}
			})
		})
	}
}
