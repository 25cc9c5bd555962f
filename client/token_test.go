package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/score"
)

// recordingTransport records the Authorization header of each request by its host.
type recordingTransport map[string]string

func (t recordingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t[r.URL.Scheme+"://"+r.URL.Host] = r.Header.Get("Authorization")
	return nil, errors.New("no connection")
}

// wantToken checks to which URLs a client sends its token.
func wantToken(t *testing.T, c *Client, sent recordingTransport, urls map[string]bool) {
	t.Helper()
	for url, want := range urls {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.http.Transport.RoundTrip(r); err == nil {
			t.Fatal("the request succeeded")
		}
		if got := sent[url]; (got == "Bearer secret") != want {
			t.Errorf("%s was sent %q; want the token: %t", url, got, want)
		}
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s: the caller's request was changed", url)
		}
	}
}

func TestTokenIsSentOnlyOverTLSOrToThisMachine(t *testing.T) {
	sent := recordingTransport{}
	given := []string{"https://scores.example", "http://127.0.0.1:8001", "http://[::1]:8001", "localhost:8001",
		"http://scores.example", "http://10.0.0.1:8001", "http://127.0.0.1.evil.example"}
	c, err := New(given, Options{Token: "secret", Transport: sent})
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, c, sent, map[string]bool{
		"https://scores.example":        true,
		"http://127.0.0.1:8001":         true,
		"http://[::1]:8001":             true,
		"http://localhost:8001":         true,
		"http://scores.example":         false,
		"http://10.0.0.1:8001":          false,
		"http://127.0.0.1.evil.example": false,
	})
}

func TestTokenIsSentOnlyToTheFrontendsThatTheCallerNamed(t *testing.T) {
	sent := recordingTransport{}
	c, err := New([]string{"https://Scores.example/live", "http://127.0.0.1:8001"},
		Options{Token: "secret", Transport: sent})
	if err != nil {
		t.Fatal(err)
	}
	c.frontends.learn(list("https://f2.example", "http://127.0.0.1:8002"), "")
	wantToken(t, c, sent, map[string]bool{
		"https://scores.example:443":  true,
		"https://scores.example:8443": false,
		"https://f2.example":          false,
		"https://evil.example":        false,
		"http://127.0.0.1:8001":       true,
		"http://127.0.0.1:8002":       false,
		"https://127.0.0.1:8001":      false,
		"http://localhost:8001":       false,
	})
	if got := c.frontends.urls(); len(got) != 2 {
		t.Errorf("it uses %q; want only those that it was given", got)
	}
}

func TestTokenIsSentToListedFrontendsOnlyUnderTheAuthority(t *testing.T) {
	sent := recordingTransport{}
	c, err := New([]string{"http://10.0.0.1:8001"},
		Options{Token: "secret", Transport: sent, TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
	if err != nil {
		t.Fatal(err)
	}
	c.frontends.learn(list("https://f1.example:8001", "https://f2.example", "http://f3.example",
		"http://127.0.0.1:8002"), "")
	wantToken(t, c, sent, map[string]bool{
		"http://10.0.0.1:8001":    false,
		"https://f1.example:8001": true,
		"https://f2.example":      true,
		"https://f1.example":      false,
		"https://evil.example":    false,
		"http://f3.example":       false,
		"http://127.0.0.1:8002":   false,
	})
	// A frontend that has left the list is none of the group's.
	c.frontends.learn(list("https://f1.example:8001"), "")
	wantToken(t, c, sent, map[string]bool{"https://f2.example": false})
}

// list returns a group whose frontends f1, f2 and so on have some URLs.
func list(urls ...string) (g score.Frontends) {
	for i, url := range urls {
		g.Frontends = append(g.Frontends, score.Frontend{ID: fmt.Sprintf("f%d", i+1), URL: url, State: score.Serving})
	}
	return g
}

// thief is a server that records the tokens which it is sent.
type thief struct {
	*httptest.Server
	mu     sync.Mutex
	tokens []string
}

func (s *thief) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

// newThief starts a server, over TLS if that is true.
func newThief(t *testing.T, secure bool, answer http.HandlerFunc) *thief {
	s := new(thief)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.tokens = append(s.tokens, r.Header.Get("Authorization"))
		s.mu.Unlock()
		answer(w, r)
	}))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func unauthorized(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, `{"status":401,"code":"unauthorized","detail":"send a token"}`)
}

func TestAFalseFrontendsListGetsNoToken(t *testing.T) {
	other := newThief(t, false, unauthorized)
	first := newThief(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/frontends" {
			fmt.Fprintf(w, `{"frontends":[{"id":"f2","url":%q,"state":"serving"}]}`, other.URL)
			return
		}
		panic(http.ErrAbortHandler)
	})
	c, err := NewPatient([]string{first.URL}, Options{Token: "secret", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.refresh(t.Context())
	_, err = c.Access(t.Context())
	if u, ok := errors.AsType[*UnreachableError](err); !ok || !slices.Equal(u.Unused, []string{other.URL}) ||
		!strings.Contains(err.Error(), "the token is not sent to "+other.URL) {
		t.Errorf("got %v; want it to say that %s gets no token", err, other.URL)
	}
	if got := other.got(); len(got) != 0 {
		t.Errorf("the listed host got requests with %q", got)
	}
	if got := first.got(); len(got) == 0 || got[0] != "Bearer secret" {
		t.Errorf("the given frontend got %q", got)
	}
}

func TestARedirectToAnotherHostGetsNoToken(t *testing.T) {
	other := newThief(t, false, unauthorized)
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	first := newThief(t, false, redirect)
	c, err := NewPatient([]string{first.URL}, Options{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Access(t.Context()); !hasCode(err, score.Unauthorized) {
		t.Errorf("got %v; want the answer of the other host", err)
	}
	if err := c.Revoke(t.Context(), "1f0c"); !hasCode(err, score.Unauthorized) {
		t.Errorf("got %v; want the answer of the other host", err)
	}
	got := other.got()
	if len(got) == 0 || slices.ContainsFunc(got, func(token string) bool { return token != "" }) {
		t.Errorf("the other host got %q; want requests without a token", got)
	}
}

// A private group's frontend may send a watch to one that its client does not know yet.
func TestAWatchGoesOnWhenTheHostOfARedirectWantsTheToken(t *testing.T) {
	other := newThief(t, false, unauthorized)
	var mu sync.Mutex
	watches := 0
	first := newThief(t, false, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path != "/v1/watch":
			http.NotFound(w, r)
		case watches == 0:
			watches++
			http.Redirect(w, r, other.URL+"/v1/watch?moved=1", http.StatusTemporaryRedirect)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "event: snapshot\ndata: {}\n\n")
		}
	})
	c, err := NewPatient([]string{first.URL}, Options{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for u, err := range c.Watch(t.Context(), WatchOptions{}) {
		if err != nil {
			t.Fatalf("the watch ended with %v", err)
		}
		if u.Kind == UpdateSnapshot {
			break
		}
	}
	if got := other.got(); !slices.Equal(got, []string{""}) {
		t.Errorf("the other host got %q; want one request without a token", got)
	}
}

func TestARedirectWithinTheGroupKeepsTheToken(t *testing.T) {
	home := newThief(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: snapshot\ndata: {}\n\n")
	})
	var first *thief
	first = newThief(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/frontends" {
			fmt.Fprintf(w, `{"frontends":[{"id":"f1","url":%q,"state":"serving"},{"id":"f2","url":%q}]}`,
				first.URL, home.URL)
			return
		}
		http.Redirect(w, r, home.URL+"/v1/watch?moved=1", http.StatusTemporaryRedirect)
	})
	pool := x509.NewCertPool()
	pool.AddCert(first.Certificate())
	// After a failure the client would ask the home for the list of frontends.
	c, err := NewPatient([]string{first.URL}, Options{Token: "secret", TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for u, err := range c.Watch(t.Context(), WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if u.Kind == UpdateSnapshot {
			break
		}
	}
	if got := home.got(); !slices.Equal(got, []string{"Bearer secret"}) {
		t.Errorf("the other frontend got %q; want the token", got)
	}
}
