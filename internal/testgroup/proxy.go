package testgroup

import (
	"cmp"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// Fault is what goes wrong with a request or an event.
type Fault int

const (
	// None: the frontend answers.
	None Fault = iota
	// Unavailable: the answer is 503 with the code no_master, and the frontend sees
	// nothing.
	Unavailable
	// Busy: the answer is 429, and the frontend sees nothing.
	Busy
	// CutBefore: the connection breaks before the frontend sees the request or event.
	CutBefore
	// CutAfter: the frontend answers, and the connection breaks before the client sees
	// the answer.
	CutAfter
	// Hang: neither the frontend sees the request or event nor the client an answer.
	Hang
)

// Injector decides the fault of a client's request, and of each event that it posts. It
// is called once per request, with a nil event, and once per event. Of an array of
// events, which is applied as a whole, it is called for the first one. Many goroutines
// call it.
type Injector func(f *Frontend, r *http.Request, e *score.Event) Fault

// Inject sets the injector of faults from now on; nil injects none.
func (g *Group) Inject(fault Injector) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = fault
}

// Requests returns the clients' requests so far, such as "GET f1 /v1/scores?limit=5", in
// the order in which they came.
func (g *Group) Requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

func (g *Group) note(f *Frontend, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, r.Method+" "+f.ID+" "+r.URL.RequestURI())
}

func (g *Group) faultOf(f *Frontend, r *http.Request, e *score.Event) Fault {
	g.mu.Lock()
	fault := g.fault
	g.mu.Unlock()
	if fault == nil {
		return None
	}
	return fault(f, r, e)
}

// proxy passes a frontend's requests on and injects faults. While the frontend is down
// its port is closed.
type proxy struct {
	frontend  *Frontend
	url       string
	addr      string
	transport *http.Transport
	reverse   *httputil.ReverseProxy

	mu       sync.Mutex
	listener net.Listener // of the first start, which reserves the port; nil afterwards
	target   string       // host:port; "" while the frontend is down
	detached bool
	reserved int // a socket that keeps the port of a closed proxy; 0 for none
	server   *http.Server
	watches  map[*watch]bool
	redirect *Frontend
}

func startProxy(tb TB, f *Frontend) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{
		frontend:  f,
		addr:      l.Addr().String(),
		url:       "http://" + l.Addr().String(),
		listener:  l,
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		watches:   map[*watch]bool{},
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: p.targetAddr()})
			r.Out.Host = r.In.Host
		},
		Transport:     p.transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // as the frontend's own connection broke
		},
	}
	tb.Cleanup(func() {
		p.transport.CloseIdleConnections()
		if p.reserved != 0 {
			syscall.Close(p.reserved)
		}
		if p.listener != nil {
			p.listener.Close() // the frontend did not start
		}
	})
	return p
}

func (p *proxy) targetAddr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

// forwardTo sets the address of the frontend, "" while it is down.
func (p *proxy) forwardTo(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.openOrClose()
}

// detach closes the proxy although the frontend runs, or undoes that.
func (p *proxy) detach(detached bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.detached = detached
	p.openOrClose()
}

// openOrClose opens the port while the frontend runs and is not detached, else closes it
// and breaks its connections. p.mu must be held.
func (p *proxy) openOrClose() {
	open := p.target != "" && !p.detached
	switch {
	case !open && p.server != nil:
		p.server.Close()
		p.server = nil
		p.reserve()
	case open && p.server == nil:
		p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
		go p.server.Serve(p.listen())
	}
}

// reserve keeps the port of the closed proxy, so that no server of another test gets it. A
// socket that is bound but does not listen refuses connections. p.mu must be held.
func (p *proxy) reserve() {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return
	}
	syscall.CloseOnExec(fd)
	at := netip.MustParseAddrPort(p.addr)
	err = cmp.Or(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}))
	if err != nil {
		syscall.Close(fd)
		return
	}
	p.reserved = fd
}

// listen returns a listener on the proxy's port. While the port was closed, another
// connection of the test may have taken it for a moment. p.mu must be held.
func (p *proxy) listen() net.Listener {
	l := p.listener
	p.listener = nil
	if p.reserved != 0 {
		syscall.Close(p.reserved)
		p.reserved = 0
	}
	if l == nil {
		Eventually(p.frontend.group.tb, func() (err error) {
			l, err = net.Listen("tcp", p.addr)
			return err
		})
	}
	return l
}

// ServeHTTP passes a request on, unless a fault is injected.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := p.frontend.group
	g.note(p.frontend, r)
	serve := p.reverse.ServeHTTP
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v1/events":
		serve = p.servePost
		if r.Header.Get("Content-Type") == "application/x-ndjson" {
			serve = p.servePostStream
		}
	case r.Method == http.MethodGet && r.URL.Path == "/v1/watch":
		serve = p.serveWatch
	case r.Method == http.MethodGet && r.URL.Path == "/v1/frontends" && g.hasReports():
		serve = p.serveFrontends
	}
	serveWithFault(g.faultOf(p.frontend, r, nil), w, r, serve)
}

// serveWithFault answers a request with serve, or lets a fault happen.
func serveWithFault(fault Fault, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	switch fault {
	case Unavailable, Busy:
		writeProblem(w, fault.problem())
	case CutBefore:
		panic(http.ErrAbortHandler)
	case CutAfter:
		serve(&discardResponse{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case Hang:
		awaitLeave(r)
		panic(http.ErrAbortHandler)
	default:
		serve(w, r)
	}
}

// problem returns the problem that a client is sent for the fault; nil for none.
func (f Fault) problem() *score.Problem {
	switch f {
	case Unavailable:
		return score.Problemf(score.NoMaster, "the group has no master; try again")
	case Busy:
		return score.Problemf(score.RateLimited, "too many events wait already")
	}
	return nil
}

// awaitLeave returns when the client has gone, which the server sees only while it reads.
func awaitLeave(r *http.Request) {
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

// request returns the request to send to the frontend in place of r.
func (p *proxy) request(r *http.Request, body io.Reader) (*http.Request, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+p.targetAddr()+r.URL.RequestURI(), body)
	if err != nil {
		return nil, err
	}
	out.Host = r.Host
	maps.Copy(out.Header, r.Header)
	for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding"} {
		out.Header.Del(name)
	}
	return out, nil
}

// copyHead writes the header and the status of a response.
func copyHead(w http.ResponseWriter, resp *http.Response) {
	for name, values := range resp.Header {
		if !strings.EqualFold(name, "Connection") {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
}
