package main

import (
	"bytes"
	"fmt"
	"io"
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
)

// notarized is a group whose answers are certified, by proxies before its frontends. Each can
// lie to readers.
type notarized struct {
	*certificates
	site    *site
	proxies []*liar
	keys    []string // that are certified
	mu      sync.Mutex
	stopped bool // nothing is certified any longer
}

// liar is a proxy before a frontend.
type liar struct {
	url string
	mu  sync.Mutex
	// prove changes what GET /v1/proof answers, or returns a status that is not 200.
	prove func(answer *string, proof *string) (status int)
	// replace is a text that is replaced in streams and answers, and the other one.
	replace [2]string
}

func (l *liar) lie(prove func(answer, proof *string) int, replace [2]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prove, l.replace = prove, replace
}

func newNotarized(t testing.TB, s *site, keys ...string) *notarized {
	t.Helper()
	n := &notarized{certificates: newCertificates(t, fmt.Sprint("store", time.Now().UnixNano())), site: s, keys: keys}
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

func (n *notarized) certify() {
	if n.isStopped() {
		return
	}
	bodies, same := map[string]string{}, n.edge.Size > 0
	for _, key := range n.keys {
		answer, err := http.Get(n.site.URL(0) + "/v1/" + key)
		if err != nil {
			return
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			return
		}
		if answer.StatusCode == http.StatusOK {
			bodies[key] = string(body)
		}
		same = same && bodies[key] == n.bodies[key]
	}
	if same {
		n.renew(time.Now())
	} else {
		n.seal(bodies, time.Now())
	}
}

func (n *notarized) isStopped() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stopped
}

// stop ends certificates, or lets them go on.
func (n *notarized) stop(stopped bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = stopped
}

func (n *notarized) serveProof(l *liar, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	body, ok, p := n.prove(strings.TrimPrefix(r.URL.Path, "/v1/proof/"))
	answer, proof := &body, p.String()
	l.mu.Lock()
	if l.prove != nil {
		if status := l.prove(answer, &proof); status != http.StatusOK {
			l.mu.Unlock()
			w.WriteHeader(status)
			return
		}
	}
	l.mu.Unlock()
	if !ok {
		answer = nil
	}
	_ = json.MarshalWrite(w, map[string]any{"answer": answer, "proof": proof}) // an error means that the client is gone
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
	if err := web.Write(&b, n.policyText(), n.urls()); err != nil {
		n.t.Fatal(err)
	}
	return b.Bytes()
}
