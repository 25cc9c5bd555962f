package main

import (
	"bytes"
	"crypto/rand"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/httpapi/web"
	"laurel/internal/address"
	"laurel/internal/testwitness"
	"laurel/witness"
)

// notarized is a group whose answers are certified, by proxies before its frontends. Each can
// lie to readers.
type notarized struct {
	*testwitness.Group
	t       testing.TB
	site    *site
	proxies []*liar
	keys    []string          // that are certified
	bodies  map[string]string // that are certified
	mu      sync.Mutex        // held while a round is certified, so that stop and keep hold for the next one
	stopped bool              // nothing is certified any longer
	kept    string            // the key of which nothing new is certified
}

// liar is a proxy before a frontend.
type liar struct {
	url   string
	mu    sync.Mutex
	prove func(p *witness.Proven) // changes what GET /v1/proof answers, if it is not nil
	// replace is a text that is replaced in streams and answers, and the other one.
	replace [2]string
}

func (l *liar) lie(prove func(p *witness.Proven), replace [2]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prove, l.replace = prove, replace
}

func newNotarized(t testing.TB, s *site, keys ...string) *notarized {
	t.Helper()
	n := &notarized{
		Group: testwitness.New(t, rand.Text()), t: t, site: s, keys: keys, bodies: map[string]string{},
	}
	for i := range s.Frontends {
		l := &liar{}
		target, err := url.Parse(s.URL(i))
		if err != nil {
			t.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{
			FlushInterval: -1,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Header.Del("Accept-Encoding")
			},
			ModifyResponse: func(r *http.Response) error {
				r.Header.Del("Content-Length")
				r.Body = &altered{ReadCloser: r.Body, by: l}
				return nil
			},
		}
		mux := http.NewServeMux()
		mux.Handle("/", proxy)
		mux.HandleFunc("GET /v1/proof/", func(w http.ResponseWriter, r *http.Request) { n.serveProof(l, w, r) })
		server := httptest.NewServer(mux)
		endWithTest(t, server)
		l.url = server.URL
		n.proxies = append(n.proxies, l)
	}
	n.run()
	return n
}

// run certifies what the group answers, until the end of the test.
func (n *notarized) run() {
	done, ended := make(chan struct{}), make(chan struct{})
	n.t.Cleanup(func() { close(done); <-ended })
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				n.certify()
			}
		}
	}()
}

// certify certifies what has changed, unless certificates have stopped.
func (n *notarized) certify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopped {
		n.certifyLocked()
	}
}

// certifyLocked reports whether the group has answered. n.mu must be held.
func (n *notarized) certifyLocked() bool {
	changed := map[string]string{}
	for _, key := range n.keys {
		if n.kept == key {
			continue
		}
		answer, err := http.Get(n.site.URL(0) + "/v1/" + key)
		if err != nil {
			return false
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			return false
		}
		if n.bodies[key] != string(body) {
			changed[key] = string(body)
		}
	}
	if len(changed) > 0 {
		maps.Copy(n.bodies, changed)
		n.Certify(changed)
	}
	return true
}

// keep has nothing new certified of a key, as if the frontends had applied something else.
func (n *notarized) keep(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = key
}

// stop ends certificates, or lets them go on.
func (n *notarized) stop(stopped bool) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped = stopped; stopped {
		n.SkewClocks(-time.Hour) // nobody signs an earlier time
		return
	}
	// No page is given a new certificate of what the group answered before they stopped.
	n.SkewClocks(0)
	eventually(n.t, "what has changed is certified", n.certifyLocked)
}

func (n *notarized) serveProof(l *liar, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	n.mu.Lock()
	body, proof, err := n.Prove(r.Context(), strings.TrimPrefix(r.URL.Path, "/v1/proof/"))
	n.mu.Unlock()
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	proven := witness.Proven{Proof: proof}
	if body != nil {
		text := string(body)
		proven.Answer = &text
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.prove != nil {
		l.prove(&proven)
	}
	_ = json.MarshalWrite(w, &proven) // an error means that the client is gone
}

// altered replaces the text of a lie.
type altered struct {
	io.ReadCloser
	by   *liar
	rest []byte
}

func (a *altered) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		b := make([]byte, 64<<10)
		n, err := a.ReadCloser.Read(b)
		a.by.mu.Lock()
		a.rest = b[:n]
		if a.by.replace[0] != "" {
			a.rest = bytes.ReplaceAll(a.rest, []byte(a.by.replace[0]), []byte(a.by.replace[1]))
		}
		a.by.mu.Unlock()
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// urls returns where the proxies are reached.
func (n *notarized) urls() (urls []address.URL) {
	for _, l := range n.proxies {
		u, err := address.Parse(l.url)
		if err != nil {
			n.t.Fatal(err)
		}
		urls = append(urls, u)
	}
	return urls
}

// page returns the text of a page that laurel page would print.
func (n *notarized) page() []byte {
	n.t.Helper()
	var b bytes.Buffer
	if err := web.Write(&b, policyText(n.t, n.Group), n.urls()); err != nil {
		n.t.Fatal(err)
	}
	return b.Bytes()
}
