package forming

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// waiting returns a frontend that waits for others, and its server.
func waiting(t *testing.T, secret string) (*Frontend, *httptest.Server) {
	t.Helper()
	f, err := New(Config{
		Dir: t.TempDir(), Member: "f2@b", Expect: 3, Founds: true, Secret: secret, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(f.Server().Handler)
	t.Cleanup(s.Close)
	return f, s
}

func TestAHelloWithoutTheSecretIsNotBelieved(t *testing.T) {
	_, open := waiting(t, "")
	_, right := waiting(t, "the secret")
	_, wrong := waiting(t, "another secret")
	for what, c := range map[string]struct {
		url, secret string
		believed    bool
	}{
		"with the secret": {right.URL, "the secret", true}, "with another": {wrong.URL, "the secret", false},
		"without one": {open.URL, "the secret", false}, "in an insecure group": {open.URL, "", true},
	} {
		a, err := askHTTP(t.Context(), c.url, "a nonce", c.secret)
		if believed := err == nil && a.Hello != nil; believed != c.believed || a.Group {
			t.Errorf("%s: %+v, %v", what, a, err)
		} else if believed && *a.Hello != (Hello{Member: "f2@b", Expect: 3, Founds: true, For: "f2@b"}) {
			t.Errorf("%s: the hello is %+v", what, *a.Hello)
		}
	}
	// An answer is for one question.
	replay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, _ := http.NewRequest(http.MethodGet, right.URL+groupPath, nil)
		q.Header.Set(nonceField, "an old nonce")
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Error(err)
			return
		}
		defer a.Body.Close()
		_, _ = io.Copy(w, a.Body)
	}))
	defer replay.Close()
	if a, err := askHTTP(t.Context(), replay.URL, "a nonce", "the secret"); err == nil {
		t.Errorf("an answer to another question is believed: %+v", a)
	}
}

func TestOnlyAFrontendWithAGroupIsTakenForOne(t *testing.T) {
	for body, want := range map[string]struct {
		status int
		group  bool
		master bool
	}{
		`{"mode":"push","epoch":1,"master":"","frontends":[{"id":"f1"}]}`:   {http.StatusOK, true, false},
		`{"mode":"push","epoch":1,"master":"f1","frontends":[{"id":"f1"}]}`: {http.StatusOK, true, true},
		`{"code":"unauthorized"}`:                              {http.StatusUnauthorized, true, true}, // a private group
		`{"mode":"push","epoch":0,"master":"","frontends":[]}`: {http.StatusOK, false, false},
		`{"code":"not_ready"}`:                                 {http.StatusServiceUnavailable, false, false},
		`<html>`:                                               {http.StatusOK, false, false},
		`{"frontends":[],"forming":{"member":1}}`:              {http.StatusOK, false, false},
		`{"frontends":[],"forming":{"member":"` + strings.Repeat("x", 200) + `"}}`: {http.StatusOK, false, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(want.status)
			_, _ = io.WriteString(w, body)
		}))
		if a, err := askHTTP(t.Context(), s.URL, "n", ""); a.Group != want.group || a.Master != want.master || a.Hello != nil {
			t.Errorf("%d %.60s: %+v, %v", want.status, body, a, err)
		}
		s.Close()
	}
}

func TestAFrontendThatWaitsSaysThatItIsNotReady(t *testing.T) {
	_, s := waiting(t, "x")
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 503, "/v1/scores": 503, "/": 503, groupPath: 200,
	} {
		a, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if a.StatusCode != want || want == 503 && a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
	a, err := http.Post(s.URL+groupPath, "application/json", nil)
	if err != nil || a.StatusCode != 503 {
		t.Errorf("POST: %v, %v", a, err)
	}
}

func TestNobodyMakesAGroupWithFrontendsThatAreNotToFormIt(t *testing.T) {
	self := Hello{Member: "f1@a", Expect: 3, Founds: true, For: "f1@a"}
	fellow := func(member string) Hello { return Hello{Member: member, Expect: 3, Founds: true, For: "f1@a"} }
	two := []Hello{fellow("f2@b"), fellow("f3@c")}
	unlike, undecided := fellow("f3@c"), fellow("f3@c")
	unlike.Expect, undecided.For = 5, "f2@b"
	unable := self
	unable.Founds = false
	for what, c := range map[string]struct {
		self    Hello
		heard   []Hello
		decided bool
	}{
		"all have left it to this one":      {self, two, true},
		"too few are heard":                 {self, two[:1], false},
		"one has left it to another":        {self, []Hello{two[0], undecided}, false},
		"one expects another number":        {self, []Hello{two[0], unlike}, false},
		"one more, that expects another":    {self, append(two[:2:2], Hello{Member: "f9@x", Expect: 5}), false},
		"two have one id":                   {self, append(two[:2:2], fellow("f3@d")), false},
		"another one has the id of this":    {self, append(two[:2:2], fellow("f1@b")), false},
		"enough to make two groups of them": {self, append(two[:2:2], fellow("f4@d"), fellow("f5@e"), fellow("f6@f")), false},
		"this one is not able to":           {unable, two, false},
	} {
		f := &Frontend{Config: Config{Logger: slog.New(slog.DiscardHandler)}, logged: map[string]string{}}
		if got := f.decided(c.self, c.heard); got != c.decided {
			t.Errorf("%s: %t", what, got)
		}
	}
}

// Frontends that have lost their data make no second group beside one that has no majority.
func TestNobodyMakesAGroupBesideOneWithoutAMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		master := false
		f, err := New(Config{
			Dir: t.TempDir(), Member: "f1@a", Expect: 2, Founds: true, Logger: slog.New(slog.DiscardHandler),
			URLs: func(context.Context) ([]string, error) { return []string{"f2", "f3"}, nil },
			ask: func(_ context.Context, url string) (Answer, error) {
				mu.Lock()
				defer mu.Unlock()
				if url == "f3" {
					return Answer{Group: true, Master: master}, nil
				}
				return Answer{Hello: &Hello{Member: "f2@b", Expect: 2, Founds: true, For: "f1@a"}}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan bool, 1)
		go func() {
			founds, err := f.Run(t.Context())
			ended <- founds || err != nil
		}()
		time.Sleep(time.Minute)
		select {
		case founds := <-ended:
			t.Fatalf("it has not waited for the master, founds: %t", founds)
		default:
		}
		mu.Lock()
		master = true
		mu.Unlock()
		if <-ended {
			t.Error("it makes a second group")
		}
	})
}

func TestAPromiseIsOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	c := Config{Dir: dir, Member: "f2@b", Expect: 3, Founds: true, Logger: slog.New(slog.DiscardHandler)}
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.promise(record{For: "f1@a"}); err != nil {
		t.Fatal(err)
	}
	if f, err = New(c); err != nil || f.Hello().For != "f1@a" {
		t.Errorf("after a restart it leaves the founding to %q, %v", f.Hello().For, err)
	}
	path := filepath.Join(dir, recordFile)
	if err := os.WriteFile(path, []byte(`{"for":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("with a damaged file: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := f.promise(record{For: "f0@z"}); err == nil || f.Hello().For != "f1@a" {
		t.Errorf("it tells a promise that is not on the disk: %+v, %v", f.Hello(), err)
	}
}
