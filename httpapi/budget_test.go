package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/httpapi/watch"
)

// addressListener is a listener whose connections come from one address, as far as the
// server knows. Tests connect from this machine, whose address has no bounds.
type addressListener struct {
	net.Listener
	addr string
}

func (l *addressListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10) // so that the system takes little of an answer
	return &addressConn{c, &net.TCPAddr{IP: net.ParseIP(l.addr), Port: 1}}, nil
}

type addressConn struct {
	net.Conn
	addr net.Addr
}

func (c *addressConn) RemoteAddr() net.Addr { return c.addr }

// serveAddress serves an API for clients of one address.
func serveAddress(t testing.TB, a *API, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := a.Front()
	go s.Serve(&addressListener{l, addr})
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// longContest has a long timeline after postLong.
const longContest = "OG50BC/LONG"

// postLong posts n events of a KiB each, and waits until a watcher would get them.
func (s *target) postLong(n int) {
	s.t.Helper()
	store, text := s.group.store, strings.Repeat("x", 1000)
	store.post(`{"type":"contest.define","contest_id":"` + longContest + `","data":{"kind":"head_to_head","sport":"chess"}}`)
	for range n {
		store.post(fmt.Sprintf(`{"type":"alert","contest_id":"%s","data":{"text":"%s"}}`, longContest, text))
	}
	s.group.Invalidations().Add(nil, true, s.group.store.Revision())
	s.eventually("a watcher gets the events", func() bool {
		w, err := s.api.hub.Subscribe(watch.Subjects{Timelines: []string{longContest}}, watch.Client{})
		if err != nil {
			return false
		}
		defer s.api.hub.Remove(w)
		n := 0
		err = s.api.hub.Begin(s.t.Context(), w, "", func(part []byte) error {
			n += len(part)
			return nil
		})
		return err == nil && n > 1000
	})
}

// request writes a request to a connection of its own, and returns that.
func request(t testing.TB, addr, path string, headers ...string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
	_ = c.SetDeadline(time.Now().Add(patience))
	head := "GET " + path + " HTTP/1.1\r\nHost: a\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReaderSize(c, 4<<10)
}

// status reads the head of an answer.
func status(t testing.TB, r *bufio.Reader) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestReadersThatDoNotReadCannotFillTheMemory(t *testing.T) {
	s := newTarget(t, admission.Limits{})
	s.postLong(2000)
	s.heap = heapNow()
	addr := serveAddress(t, s.api, "192.0.2.1")
	const readers = 10
	s.eventually("pages wait for all readers", func() bool {
		for s.api.hub.Count() < readers { // one that reads nothing is dropped after a while
			_, r := request(t, addr, "/v1/watch?timeline="+longContest)
			if res := status(t, r); res.StatusCode != http.StatusOK {
				t.Fatalf("got %s", res.Status)
			}
		}
		return s.api.hub.Count() == readers && s.api.admission.AnswersUnderWay() > readers*(300<<10)
	})
	s.mustPost()
	s.wantBounded(4*readers+20, readers*(2<<20))
	if held := s.api.admission.AnswersUnderWay(); held > readers*(1<<20) {
		t.Errorf("%d bytes are held for %d readers; want a page for each", held, readers)
	}
}

func TestWhatOneAddressDoesNotReadIsBounded(t *testing.T) {
	const each = 3 << 20
	s := newTarget(t, admission.Limits{AnswerBytesPerAddress: 2 * each})
	s.postLong(2000)
	addr, other := serveAddress(t, s.api, "192.0.2.1"), serveAddress(t, s.api, "192.0.2.2")
	path := "/v1/watch?timeline=" + longContest
	for range 50 {
		request(t, addr, path)
	}
	s.eventually("the address holds much", func() bool { return s.api.admission.AnswersUnderWay() > 1<<20 })
	if held := s.api.admission.AnswersUnderWay(); held > 2*each {
		t.Errorf("%d bytes are held for one address; want %d at most", held, 2*each)
	}
	_, r := request(t, other, path)
	if res := status(t, r); res.StatusCode != http.StatusOK {
		t.Fatalf("another address got %s", res.Status)
	}
	r.ReadString('\n')
	if line, err := r.ReadString('\n'); err != nil {
		t.Errorf("another address got %q, %v", line, err)
	}
}

// A large answer counts until it is read, whichever way it is made.
func TestALargeAnswerIsHeldUntilItIsRead(t *testing.T) {
	for _, way := range []struct {
		name, path string
		headers    []string
		keeps      bool
	}{
		{"from the store", "/v1/timeline/" + longContest + "?limit=1000", nil, false},
		{"from memory", "/v1/timeline/" + longContest + "?limit=1000", nil, true},
		{"by net/http", "/v1/timeline/" + longContest + "?limit=1000", []string{"X-Odd:\tx", "Connection: keep-alive, x"}, false},
		{"as text", "/v1/timeline/" + longContest + "?limit=1000", []string{"Accept: text/plain"}, false},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := newTarget(t, admission.Limits{AnswerBytesPerAddress: 1_500_000})
			s.group.keeps = way.keeps
			s.postLong(1000)
			addr := serveAddress(t, s.api, "192.0.2.1")
			// Enough requests that the system's buffers cannot take the answers.
			var readers []*bufio.Reader
			for range 12 {
				_, r := request(t, addr, way.path, way.headers...)
				readers = append(readers, r)
			}
			answered := map[int]int{}
			for _, r := range readers {
				res := status(t, r)
				answered[res.StatusCode]++
				if res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
			}
			if answered[http.StatusOK] == 0 || answered[http.StatusOK]+answered[http.StatusTooManyRequests] < len(readers) {
				t.Errorf("got %v", answered)
			}
			if held := s.api.admission.AnswersUnderWay(); held < 500_000 {
				t.Errorf("%d bytes are held while nobody reads", held)
			}
			for _, r := range readers {
				go io.Copy(io.Discard, r)
			}
			s.eventually("nothing is held", func() bool { return s.api.admission.AnswersUnderWay() == 0 })
			s.eventually("the address is answered again", func() bool {
				c, r := request(t, addr, way.path, way.headers...)
				defer c.Close()
				return status(t, r).StatusCode == http.StatusOK
			})
		})
	}
}

func TestAnAnswerIsRefusedWhileTooManyAreUnread(t *testing.T) {
	s := newTarget(t, admission.Limits{AnswerBytesPerAddress: 1 << 20})
	s.postLong(1000)
	addr := serveAddress(t, s.api, "192.0.2.1")
	peer := overTLS("192.0.2.1")
	written, refused := s.api.admission.ClientGate().HoldAnswer(peer, 900<<10)
	if refused != nil {
		t.Fatal(refused)
	}
	for _, headers := range [][]string{nil, {"X-Odd:\tx", "Connection: keep-alive, x"}} {
		_, r := request(t, addr, "/v1/timeline/"+longContest+"?limit=1000", headers...)
		res := status(t, r)
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "1" ||
			!bytes.Contains(body, []byte("rate_limited")) {
			t.Errorf("%v: got %s %s", headers, res.Status, body)
		}
	}
	_, r := request(t, addr, "/v1/scores/"+longContest)
	if res := status(t, r); res.StatusCode != http.StatusOK {
		t.Errorf("a small answer: got %s", res.Status)
	}
	written()
	_, r = request(t, addr, "/v1/timeline/"+longContest+"?limit=1000")
	if res := status(t, r); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards: got %s", res.Status)
	}
}

func TestOneHTTP2ConnectionHasFewWatchers(t *testing.T) {
	s := newTarget(t, admission.Limits{})
	addr := serveAddress(t, s.api, "192.0.2.1")
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func() *http.Response {
		r, err := http.NewRequestWithContext(ctx, "GET", "https://"+addr+"/v1/watch?contest="+contest, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	for i := range admission.WatchersPerConnection {
		if res := open(); res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
			t.Fatalf("watcher %d got %s %s", i+1, res.Proto, res.Status)
		}
	}
	if res := open(); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more got %s", res.Status)
	}
	cancel()
	s.eventually("all have left", func() bool { return s.api.hub.Count() == 0 })
	ctx = t.Context()
	// A watcher gives its place back a moment after it has left.
	s.eventually("another has a place", func() bool { return open().StatusCode == http.StatusOK })
}

func TestWatchersOfOneAddressAreBounded(t *testing.T) {
	const most = 20
	s := newTarget(t, admission.Limits{WatchersPerAddress: most})
	addr, other := serveAddress(t, s.api, "2001:db8::1"), serveAddress(t, s.api, "2001:db8:0:1::1")
	var conns []net.Conn
	answered := map[int]int{}
	for range most + 5 {
		c, r := request(t, addr, "/v1/watch?contest="+contest)
		conns = append(conns, c)
		answered[status(t, r).StatusCode]++
	}
	if answered[http.StatusOK] != most || answered[http.StatusTooManyRequests] != 5 {
		t.Errorf("%d watchers of one address got %v; want %d accepted", most+5, answered, most)
	}
	if n := refusals(s.api, "watchers"); n != 5 {
		t.Errorf("counted %v refusals; want 5", n)
	}
	_, r := request(t, other, "/v1/watch?contest="+contest)
	if res := status(t, r); res.StatusCode != http.StatusOK {
		t.Errorf("another address got %s", res.Status)
	}
	for _, c := range conns {
		c.Close()
	}
	s.eventually("they have left", func() bool { return s.api.hub.Count() == 1 })
	// A watcher gives its place back a moment after it has left.
	s.eventually("another has a place", func() bool {
		_, r := request(t, addr, "/v1/watch?contest="+contest)
		return status(t, r).StatusCode == http.StatusOK
	})
}

// An EventSource never reconnects after another status than 200.
func TestAnEventSourceIsNotAnsweredWithAPassingProblem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that a budget that is used up stays so
		g, a := newTestAPI(t, limited(admission.Limits{WatchersPerAddress: 1, ReadsPerAddress: 100}))
		h := a.Handler()
		g.unleased.Store(true)
		const events = "Accept: text/event-stream"
		unavailable := func(what, addr, code string) {
			t.Helper()
			w := from(h, addr, "GET", "/v1/watch?contest="+contest, "", events)
			body := w.Body.String()
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" ||
				w.Header().Get("Retry-After") == "" || w.Header().Get("Cache-Control") != "no-store" ||
				!strings.HasPrefix(body, "retry: ") || !strings.Contains(body, "\n: ") ||
				!strings.Contains(body, "\nevent: unavailable\ndata: {") || !strings.Contains(body, `"code":"`+code+`"`) ||
				!strings.HasSuffix(body, "}\n\n") || strings.Contains(body, "\nid:") {
				t.Errorf("%s: got %d %v %q", what, w.Code, w.Header(), body)
			}
		}
		unavailable("without a lease", "192.0.2.1:1", "not_ready")
		if w := from(h, "192.0.2.1:1", "GET", "/v1/watch?contest="+contest, ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("another client without a lease: got %d", w.Code)
		}
		g.unleased.Store(false)
		place, problem := a.admission.ClientGate().EnterWatch(&handler.Caller{Peer: overTLS("192.0.2.2")})
		if problem != nil {
			t.Fatal(problem)
		}
		defer place.Leave()
		unavailable("with too many watchers", "192.0.2.2:1", "rate_limited")
		for range 300 {
			from(h, "192.0.2.3:1", "GET", "/v1/scores", "")
		}
		unavailable("above its rate", "192.0.2.3:1", "rate_limited")
		for path, want := range map[string]int{"/v1/watch?contest=//": 400, "/v1/watch?token=x": 400} {
			if w := from(h, "192.0.2.4:1", "GET", path, "", events); w.Code != want {
				t.Errorf("%s: got %d; want %d, which does not pass by itself", path, w.Code, want)
			}
		}
		for range 300 {
			from(h, "192.0.2.5:1", "GET", "/v1/scores", "")
		}
		if w := from(h, "192.0.2.5:1", "GET", "/v1/scores", "", events); w.Code != http.StatusTooManyRequests {
			t.Errorf("a read: got %d; want 429", w.Code)
		}
	})
}
