package httpapi

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/score"
	"laurel/trust/access"
)

func TestPrivateIsASettingOfTheGroup(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	g.keeps = true
	c := newGuardedGroup(t, g)
	const everybody = "\r\nAccess-Control-Allow-Origin: *\r\n"
	for _, fast := range []bool{false, true} {
		w := &way{addr: serveAPI(t, a, fast)}
		for _, value := range []string{"false", "true", "false"} {
			g.store.change(access.SettingPrivate, value)
			status := "HTTP/1.1 200 "
			if value == "true" {
				status = "HTTP/1.1 401 "
			}
			for _, path := range []string{"/v1/scores/" + contest, boardPath, "/v1/cluster/settings", "/metrics"} {
				for range 2 { // the second time it is in memory
					got, _ := w.send(t, rawGet(path), 1)
					if !strings.HasPrefix(got, status) || strings.Contains(got, everybody) != (value == "false") {
						t.Errorf("%s (fast path %t), private %s: anybody got %.300s", path, fast, value, got)
					}
					got, _ = w.send(t, rawGet(path, bearer(c.reader)), 1)
					if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
						t.Errorf("%s (fast path %t), private %s: a reader got %.300s", path, fast, value, got)
					}
				}
			}
		}
	}
}

// A cache before the frontends tells no cookies apart.
func TestACacheThatManyUseKeepsNothingOfAPrivateGroup(t *testing.T) {
	for _, fast := range []bool{false, true} {
		g, a := newTestAPI(t, Options{})
		g.keeps = true
		c := newGuardedGroup(t, g)
		w := &way{addr: serveAPI(t, a, fast)}
		kept := func(path string, fields ...string) bool {
			t.Helper()
			got, _ := w.send(t, rawGet(path, fields...), 1)
			if !strings.HasPrefix(got, "HTTP/1.1 200 ") && !strings.HasPrefix(got, "HTTP/1.1 304 ") {
				t.Errorf("fast path %t: %s: got %.300s", fast, path, got)
			}
			return !strings.Contains(got, "\r\nCache-Control: no-cache, private\r\n") &&
				!strings.Contains(got, "\r\nCache-Control: no-store\r\n")
		}
		session := cookie(c.reader.NewSession(testLineage, time.Now().Add(time.Hour)))
		for _, private := range []string{"false", "true", "false"} {
			g.store.change(access.SettingPrivate, private)
			for _, path := range []string{"/v1/scores/" + contest, "/v1/scores", boardPath, "/"} {
				for _, more := range []string{"X: y", "If-None-Match: *", "Accept: text/plain"} {
					if kept(path, session, more) != (private == "false") {
						t.Errorf("fast path %t, private %s: %s with %q", fast, private, path, more)
					}
				}
			}
			if private == "true" && kept("/", session, asksHTML) {
				t.Errorf("fast path %t: the page is kept", fast)
			}
		}
	}
}

func TestAGroupIsPrivateUntilItsSettingsAreKnown(t *testing.T) {
	for _, secure := range []bool{false, true} {
		state := access.NewState()
		gate := admission.New(admission.Options{
			Access: func() *access.State { return state }, Secure: secure,
		}).ClientGate()
		if gate.Private() != secure {
			t.Errorf("without settings, secure %t: private is %t", secure, gate.Private())
		}
		state = access.NewState()
		state.Settings.Incarnation = "gaul"
		if gate.Private() {
			t.Errorf("with settings, secure %t: private", secure)
		}
	}
}

// watchStream opens a stream. Its lines end with the stream.
func watchStream(t *testing.T, url string, fields ...string) (lines <-chan string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("got %s", answer.Status)
	}
	all := make(chan string, 1000)
	go func() {
		defer close(all)
		for s := bufio.NewScanner(answer.Body); s.Scan(); {
			all <- s.Text()
		}
	}()
	return all
}

// awaitLine waits for a line of a stream. It returns false at the end of the stream.
func awaitLine(t *testing.T, lines <-chan string, want string) bool {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got, ok := <-lines:
			if !ok || got == want {
				return ok
			}
		case <-deadline:
			t.Fatalf("the stream neither ends nor has %q", want)
		}
	}
}

func TestWatchersWithoutAReadersTokenEndWhenTheGroupBecomesPrivate(t *testing.T) {
	g, a, url := newWatchedGroup(t)
	c := newGuardedGroup(t, &g.testMember)
	url += "/v1/watch?home=f2"
	anybody := watchStream(t, url)
	awaitLine(t, anybody, "event: snapshot")
	g.store.change(access.SettingPrivate, "true")
	reader := watchStream(t, url, bearer(c.reader))
	awaitLine(t, reader, "event: snapshot")
	a.hub.SendHome("f2", []byte("{}"), 10)
	if awaitLine(t, anybody, "event: home") {
		t.Error("a watcher without a token is told something of a private group")
	}
	if !awaitLine(t, reader, "event: home") {
		t.Error("the stream of a reader ended")
	}
	if err := g.ChangeAccess(t.Context(), access.Change{At: time.Now().UTC(), By: "test", Revoke: c.reader.ID}); err != nil {
		t.Fatal(err)
	}
	// Something that no earlier write has. The balancer probes watchers that were sent home.
	g.Invalidations().Add([]string{cache.ScoreKey("OG/1")}, false, g.store.Revision())
	if awaitLine(t, reader, "event: score") {
		t.Error("a watcher whose token was revoked is told something of a private group")
	}
}

// A frontend that has not applied yet that the group is private lets reads pass.
func TestThePrivateMasterAnswersReadersOnlyThroughALateFrontend(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	c := newGuardedGroup(t, g)
	s := serve(t, a, a.ForwardedHandler())
	g.store.change(access.SettingPrivate, "true")
	if err := g.ChangeAccess(t.Context(), access.Change{At: time.Now().UTC(), By: "test", RemoveMember: "f9@abc"}); err != nil {
		t.Fatal(err)
	}
	const anybody = access.CallerHeader + ": " + access.NoMember
	for name, one := range map[string]struct {
		headers []string
		status  int
	}{
		"anybody":          {[]string{anybody}, 401},
		"a reader":         {[]string{anybody, bearer(c.reader)}, 200},
		"a revoked reader": {[]string{anybody, bearer(c.revoked)}, 401},
		"a member":         {[]string{access.CallerHeader + ": f2@xyz"}, 200},
		"a removed member": {[]string{access.CallerHeader + ": f9@abc"}, 401},
	} {
		for _, path := range []string{"/v1/scores/" + contest, boardPath, "/v1/timeline/" + contest} {
			if got := ask(t, s, "GET", path, "", one.headers...); got.StatusCode != one.status {
				t.Errorf("%s, %s: got %d %s; want %d", name, path, got.StatusCode, got.body, one.status)
			}
		}
	}
}

func TestAnAnswerMadeAfterTheGroupBecamePrivateIsForReaders(t *testing.T) {
	const private, public = "true", "false"
	for _, fast := range []bool{false, true} {
		g, a := newTestAPI(t, Options{})
		c := newGuardedGroup(t, g)
		w := &way{addr: serveAPI(t, a, fast)}
		become := func() { g.store.change(access.SettingPrivate, private) }
		// Each becomes private while the answer is awaited.
		g.read = func(context.Context) error { become(); return nil }
		g.board = become
		g.waits = g.read
		g.pull = func(key string) (*cache.Entry, string, time.Duration, error) {
			body, revision, err := g.store.answer(key)
			return &cache.Entry{Body: body, Revision: revision}, cache.Forward, 0, err
		}
		for _, mode := range []score.CacheMode{score.Push, score.Pull} {
			g.mode.Store(mode)
			for _, request := range []string{
				rawGet("/v1/scores/" + contest), rawGet("/v1/scores/OG50BC/NO"), rawGet(boardPath),
				rawGet("/v1/scores/"+contest, "If-None-Match: *"), rawGet("/", "Accept: text/html"),
				rawGet("/v1/scores/" + contest + "?max_stale=9s"),
			} {
				g.store.change(access.SettingPrivate, public)
				if got, _ := w.send(t, request, 1); !strings.HasPrefix(got, "HTTP/1.1 401 ") {
					t.Errorf("fast path %t, mode %s: anybody got for %s%.300s", fast, mode, request, got)
				}
				g.store.change(access.SettingPrivate, public)
				asReader := strings.Replace(request, "Host:", bearer(c.reader)+"\r\nHost:", 1)
				if got, _ := w.send(t, asReader, 1); strings.HasPrefix(got, "HTTP/1.1 401 ") {
					t.Errorf("fast path %t, mode %s: a reader got for %s%.300s", fast, mode, request, got)
				}
			}
		}
	}
}
