package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"laurel/httpapi"
	"laurel/internal/testgroup"
)

// These tests are about the pages of others, which run in the browsers of this machine.

const blank = "<!doctype html><title>a page</title>"

// rebound is a server under a name whose owner lets it resolve to another address later. Its
// page is served first, and is then of the same origin as whatever is at that address.
type rebound struct {
	url    string
	target atomic.Value // string, host:port; "" at first
}

func newRebound(t *testing.T) *rebound {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := &rebound{url: "http://evil.example:" + port}
	r.target.Store("")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *rebound) serve(c net.Conn) {
	defer c.Close()
	// The browser may have opened the connection before, and kept it for the next request.
	first := make([]byte, 4<<10)
	n, err := c.Read(first)
	if err != nil {
		return
	}
	target := r.target.Load().(string)
	if target == "" {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			len(blank), blank)
		return
	}
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, io.MultiReader(bytes.NewReader(first[:n]), c))
		to.Close()
	}()
	_, _ = io.Copy(c, to)
}

// request is a script that makes a request and yields its status, or why there is none.
func request(method, url, body string, headers ...string) string {
	var fields strings.Builder
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		fmt.Fprintf(&fields, "%q: %q, ", name, value)
	}
	options := fmt.Sprintf("method: %q, headers: {%s}", method, &fields)
	if body != "" {
		options += fmt.Sprintf(", body: %q", body)
	}
	return fmt.Sprintf("fetch(%q, {%s}).then((r) => String(r.status), () => 'failed')", url, options)
}

const isJSON = "Content-Type: application/json"

func TestAReboundPageReachesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.Post(defineMatch(match)...)
	asks := []string{
		request("POST", "/v1/events", play(match, "GAU", 5), isJSON),
		request("DELETE", "/v1/cluster/members/f3", ""),
		request("POST", "/v1/cluster/members", `{"id":"f9","peer":"127.0.0.1:1","url":"http://127.0.0.1:2"}`, isJSON),
		request("POST", "/v1/cluster/transfer", `{"to":"f2"}`, isJSON),
		request("PUT", "/v1/cluster/settings/cache_mode", `{"value":"pull"}`, isJSON),
		request("GET", "/v1/audit", ""),
		request("GET", "/v1/scores/"+match, ""),
		request("GET", "/", "", "Accept: text/html"),
	}
	attack := func(target, prefix, want string) {
		evil := newRebound(t)
		b := newTab(t, desktop, nil).open(evil.url)
		defer b.close()
		evil.target.Store(target)
		for _, ask := range asks {
			ask = strings.Replace(ask, `method: "`, `method: "`+prefix, 1)
			if got := eval[string](b, ask); got != want {
				t.Errorf("the page gets %s for %s; want %s", got, ask, want)
			}
		}
	}
	before := s.Frontends[0].Member().Frontends()
	for _, f := range s.Frontends {
		attack(f.Addr(), "", "403")
		attack(f.Member().Peer(), "", "failed")
	}
	// Letters with which protocols of members could begin.
	for _, prefix := range []string{"H", "P", "R"} {
		attack(s.Frontends[0].Member().Peer(), prefix, "failed")
	}
	after := s.Frontends[0].Member().Frontends()
	if after.Mode != before.Mode || len(after.Frontends) != len(before.Frontends) {
		t.Errorf("the group was %+v and is %+v", before, after)
	}
	page := newTab(t, desktop, nil).open(s.URL(0)).live()
	s.Post(play(match, "GAU", 1))
	page.until("the only play", inList(match, 1)+` === '1'`)
}

// newForeignPage serves a page of another origin.
func newForeignPage(t *testing.T) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, blank)
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "press.example", 1)
}

func TestAForeignPageReadsWithAllItsHeadersAndWritesNothing(t *testing.T) {
	t.Parallel()
	needBrowser(t)
	listed, other := newForeignPage(t), newForeignPage(t)
	for name, c := range map[string]struct {
		origins []string
		page    string
		reads   bool
	}{
		"public":            {nil, other, true},
		"a listed origin":   {[]string{listed}, listed, true},
		"an origin unknown": {[]string{listed}, other, false},
	} {
		s := &site{Group: testgroup.StartWith(t, 1, testgroup.Options{API: httpapi.Options{Origins: c.origins}}), t: t}
		s.Post(defineMatch(match)...)
		b := newTab(t, desktop, nil).open(c.page)
		want := "failed"
		if c.reads {
			want = "200 true true"
		}
		const headers = `{"If-None-Match": '"x"', "Cache-Control": "max-stale=5", Authorization: "Bearer x", "Last-Event-ID": "x"}`
		// A frontend that has just been held up may answer 503.
		read := fmt.Sprintf(`(function read() {
			return fetch(%q, {headers: %s}).then((r) => r.status === 503 ? read() :
				[r.status, !!r.headers.get('etag'), !!r.headers.get('laurel-revision')].join(' '), () => 'failed')
		})()`, s.URL(0)+"/v1/scores/"+match, headers)
		if got := eval[string](b, read); got != want {
			t.Errorf("%s: a read yields %s; want %s", name, got, want)
		}
		stream := fmt.Sprintf(`new Promise((done) => {
			const source = new EventSource(%q)
			source.addEventListener('snapshot', () => { source.close(); done('opened') })
			source.onerror = () => source.readyState === EventSource.CLOSED && done('failed') // else it tries again
		})`, s.URL(0)+"/v1/watch?contest="+match)
		if got := eval[string](b, stream); (got == "opened") != c.reads {
			t.Errorf("%s: a stream is %s", name, got)
		}
		for _, ask := range []string{
			request("POST", s.URL(0)+"/v1/events", play(match, "GAU", 5), isJSON),
			request("POST", s.URL(0)+"/v1/events", play(match, "GAU", 5)),
			request("POST", s.URL(0)+"/v1/cluster/transfer", ""),
			request("DELETE", s.URL(0)+"/v1/cluster/members/f1", ""),
			request("GET", s.URL(0)+"/v1/audit", ""),
			request("GET", s.URL(0)+"/v1/access", "", "Authorization: Bearer x"),
		} {
			if got := eval[string](b, ask); got != "failed" {
				t.Errorf("%s: the page gets %s for %s", name, got, ask)
			}
		}
		page := newTab(t, desktop, nil).open(s.URL(0)).live()
		s.Post(play(match, "GAU", 1))
		page.until("the only play", inList(match, 1)+` === '1'`)
	}
}
