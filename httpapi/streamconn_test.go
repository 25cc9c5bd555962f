package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"laurel/httpapi/fastpath"
)

// overTLS is somebody at an address whose connection nobody listens to.
func overTLS(addr string) *fastpath.Peer {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = addr + ":1"
	r.TLS = &tls.ConnectionState{}
	return fastpath.PeerOf(r)
}

// newHTTP2Group is a group that watchers watch, over HTTP/2.
func newHTTP2Group(t *testing.T) (*watchedGroup, *API, *httptest.Server) {
	g, a, _ := newWatchedGroup(t)
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server(a.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return g, a, s
}

func TestWatchingOverHTTP2GoesOnAndEndsWithItsClient(t *testing.T) {
	t.Parallel()
	g, a, s := newHTTP2Group(t)
	const watchers = 5
	var cancels []context.CancelFunc
	for range watchers {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/v1/watch?contest=OG/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("got %s %s with %v", res.Proto, res.Status, res.Header)
		}
		seen := make(chan string, 1)
		go func() {
			for scan := bufio.NewScanner(res.Body); scan.Scan(); {
				if strings.HasPrefix(scan.Text(), "event: heartbeat") {
					seen <- scan.Text()
					return
				}
			}
			close(seen)
		}()
		select {
		case line := <-seen:
			if line == "" {
				t.Fatal("the stream ended")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no heartbeat came")
		}
	}
	_ = g
	if n := a.hub.Count(); n != watchers {
		t.Errorf("%d watch; want %d", n, watchers)
	}
	if n := readsUnderWay(a); n != 0 {
		t.Errorf("%d places for questions are taken by watchers", n)
	}
	for _, cancel := range cancels {
		cancel()
	}
	for end := time.Now().Add(10 * time.Second); a.hub.Count() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d still watch after they have gone", a.hub.Count())
		}
	}
}

func TestStreamOfPostsOverHTTP2(t *testing.T) {
	_, a := newFake(t, Options{})
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server(a.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	got := ask(t, s, "POST", "/v1/events", strings.Repeat(alert("", "")+"\n", 3000), isNDJSON)
	if got.ProtoMajor != 2 || got.StatusCode != 200 || strings.Count(got.body, "\n") != 3000 {
		t.Errorf("got %s %d with %d lines", got.Proto, got.StatusCode, strings.Count(got.body, "\n"))
	}
}
