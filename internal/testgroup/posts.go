package testgroup

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// servePost passes a post of one event or an array on, unless a fault is injected for its
// first event.
func (p *proxy) servePost(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	fault := None
	if events, problem := score.DecodeArray(body); problem == nil {
		fault = p.frontend.group.faultOf(p.frontend, r, &events[0])
	}
	if fault == Hang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	serveWithFault(fault, w, r, p.reverse.ServeHTTP)
}

// postStream is a stream of posts that is passed on event by event. When a fault is
// injected for an event, the events before it are answered first.
type postStream struct {
	proxy *proxy
	r     *http.Request
	up    *io.PipeWriter // to the frontend
	gone  chan struct{}  // closed when nothing more can be read from the client

	mu      sync.Mutex
	fault   Fault
	id      string // of the event that it happens to
	results int    // how many results the client gets before the fault
}

func (p *proxy) servePostStream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // the stream is answered while it is read
	cut := true
	defer func() {
		if cut { // net/http closes the connection only when nobody reads the body any more
			_ = control.SetReadDeadline(time.Unix(1, 0))
		}
	}()
	body, up := io.Pipe()
	defer body.Close()
	s := &postStream{proxy: p, r: r, up: up, gone: make(chan struct{})}
	out, err := p.request(r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	go s.passEvents()
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	w.Header().Set("Connection", "close") // the rest of a stream that is cut short is no request
	if resp.StatusCode == http.StatusOK {
		resp.Header.Del("Content-Length") // a fault may add a result
	}
	copyHead(w, resp)
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(w, resp.Body)
		cut = false
		return
	}
	s.passResults(w, resp.Body)
	cut = false
}

// passEvents passes the client's events to the frontend until a fault is injected.
func (s *postStream) passEvents() {
	defer close(s.gone)
	defer s.up.Close()
	lines := bufio.NewReader(s.r.Body)
	for passed := 0; ; {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			fault, id := None, ""
			if e, problem := score.Decode(bytes.TrimSpace(line)); problem == nil {
				fault, id = s.proxy.frontend.group.faultOf(s.proxy.frontend, s.r, &e), e.ID
			}
			if fault != None {
				s.mu.Lock()
				s.fault, s.id, s.results = fault, id, passed
				s.mu.Unlock()
			}
			if fault == None || fault == CutAfter {
				if _, err := s.up.Write(line); err != nil {
					return
				}
				passed++
			}
			if fault != None {
				s.up.Close()
				_, _ = io.Copy(io.Discard, s.r.Body) // until the client leaves
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			s.up.CloseWithError(err)
			return
		}
	}
}

// passResults passes the frontend's results to the client, and then lets the fault
// happen.
func (s *postStream) passResults(w http.ResponseWriter, body io.Reader) {
	lines := bufio.NewReader(body)
	passed := 0
	flush := http.NewResponseController(w).Flush
	_ = flush()
	for {
		line, err := lines.ReadBytes('\n')
		s.mu.Lock()
		fault, id, results := s.fault, s.id, s.results
		s.mu.Unlock()
		if len(line) > 0 && (fault == None || passed < results) {
			_, _ = w.Write(line)
			_ = flush()
			passed++
		}
		switch {
		case err == nil:
		case fault == None && err != io.EOF:
			panic(http.ErrAbortHandler)
		case fault == None || passed < results:
			return // the frontend itself ended the stream
		case fault == Hang:
			<-s.gone
			panic(http.ErrAbortHandler)
		case fault.problem() != nil:
			b, err := json.Marshal(score.Result{ID: id, Problem: fault.problem()})
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(append(b, '\n'))
			return
		default:
			panic(http.ErrAbortHandler)
		}
	}
}
