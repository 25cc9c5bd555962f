package testgroup

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// Fault is what goes wrong with a request.
type Fault int

const (
	// None: the frontend answers.
	None Fault = iota
	// Unavailable: the answer is 503 with the code no_master, and the frontend sees nothing.
	Unavailable
	// Busy: the answer is 429, and the frontend sees nothing.
	Busy
	// CutBefore: the connection breaks before the frontend sees the request.
	CutBefore
	// CutAfter: the frontend answers, and the connection breaks before the client sees the answer.
	CutAfter
	// Hang: neither the frontend sees the request nor the client an answer.
	Hang
)

// Inject sets the faults from now on: fault is called with each request of a client, by many
// goroutines. nil injects none.
func (g *Group) Inject(fault func(f *Frontend, r *http.Request) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = fault
}

// Requests returns the clients' requests so far, such as "GET f1 /v1/scores?limit=5", in the order
// in which they came.
func (g *Group) Requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

func (g *Group) note(f *Frontend, r *http.Request) Fault {
	g.mu.Lock()
	g.requests = append(g.requests, r.Method+" "+f.ID+" "+r.URL.RequestURI())
	fault := g.fault
	g.mu.Unlock()
	if fault == nil {
		return None
	}
	return fault(f, r)
}

// proxy passes a frontend's requests on and injects faults. While the frontend is down its port is
// closed.
type proxy struct {
	frontend *Frontend
	url      string
	addr     string
	reverse  *httputil.ReverseProxy

	mu     sync.Mutex
	target string // host:port; "" while the frontend is down
	server *http.Server
}

func startProxy(tb testing.TB, f *Frontend) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{frontend: f, addr: l.Addr().String(), url: "http://" + l.Addr().String()}
	l.Close() // it opens when the frontend starts
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(&url.URL{Scheme: "http", Host: p.target})
			r.Out.Host = r.In.Host
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // as the frontend's own connection broke
		},
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return p
}

// forwardTo opens the proxy for a frontend that serves at target, or closes it and breaks its
// connections where target is "".
func (p *proxy) forwardTo(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	switch {
	case target == "" && p.server != nil:
		p.server.Close()
		p.server = nil
	case target != "" && p.server == nil:
		l, err := net.Listen("tcp", p.addr)
		if err != nil {
			p.frontend.group.tb.Fatalf("open the proxy of %s: %v", p.frontend.ID, err)
		}
		p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
		go p.server.Serve(l)
	}
}

// ServeHTTP passes a request on, unless a fault is injected.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch p.frontend.group.note(p.frontend, r) {
	case Unavailable:
		writeProblem(w, score.Problemf(score.NoMaster, "the group has no master; try again"))
	case Busy:
		writeProblem(w, score.Problemf(score.RateLimited, "too many events wait already"))
	case CutBefore:
		panic(http.ErrAbortHandler)
	case CutAfter:
		p.reverse.ServeHTTP(&discardResponse{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case Hang:
		wait(r)
		panic(http.ErrAbortHandler)
	default:
		// A stream of posts is answered while it is read.
		_ = http.NewResponseController(w).EnableFullDuplex()
		p.reverse.ServeHTTP(w, r)
	}
}

// wait returns when the client has gone, which the server sees only while it reads.
func wait(r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		<-r.Context().Done()
	}
}

// discardResponse takes an answer that the client does not get.
type discardResponse struct{ header http.Header }

func (d *discardResponse) Header() http.Header         { return d.header }
func (d *discardResponse) WriteHeader(int)             {}
func (d *discardResponse) Write(p []byte) (int, error) { return len(p), nil }

func writeProblem(w http.ResponseWriter, p *score.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "0")
	w.WriteHeader(p.Status)
	_ = json.MarshalWrite(w, p)
}
