package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/cache"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/watch"
)

// overTLS returns a peer at an address that is connected over TLS.
func overTLS(addr string) *fastpath.Peer {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = addr + ":1"
	r.TLS = &tls.ConnectionState{}
	return fastpath.PeerOf(r)
}

// newHTTP2Server returns the API of a group and a server of it with HTTP/2.
func newHTTP2Server(t *testing.T) (*API, *httptest.Server) {
	_, a, _ := newWatchedGroup(t)
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server(a.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return a, s
}

func TestStreamOverHTTP2LastsUntilItsClientLeaves(t *testing.T) {
	t.Parallel()
	a, s := newHTTP2Server(t)
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
		heartbeat := make(chan string, 1)
		go func() {
			for scan := bufio.NewScanner(res.Body); scan.Scan(); {
				if strings.HasPrefix(scan.Text(), "event: heartbeat") {
					heartbeat <- scan.Text()
					return
				}
			}
			close(heartbeat)
		}()
		select {
		case line := <-heartbeat:
			if line == "" {
				t.Fatal("the stream ended")
			}
		case <-time.After(patience):
			t.Fatal("no heartbeat came")
		}
	}
	if n := a.hub.Count(); n != watchers {
		t.Errorf("got %d watchers; want %d", n, watchers)
	}
	if n := readsUnderWay(a); n != 0 {
		t.Errorf("%d places for questions are taken by watchers", n)
	}
	for _, cancel := range cancels {
		cancel()
	}
	for end := time.Now().Add(patience); a.hub.Count() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d watchers remain after their clients have left", a.hub.Count())
		}
	}
}

// stuckWriter is a response whose client has read only the first write.
type stuckWriter struct {
	http.ResponseWriter
	deadline time.Time
	limits   []time.Duration // of the writes
}

func (w *stuckWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *stuckWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	if w.limits = append(w.limits, time.Until(w.deadline)); len(w.limits) > 1 {
		return 0, os.ErrDeadlineExceeded
	}
	return w.ResponseWriter.Write(b)
}

func TestStuckWatcherOverHTTP2EndsWhenTheHubDropsIt(t *testing.T) {
	t.Parallel()
	_, a, _ := newWatchedGroup(t)
	w := &stuckWriter{ResponseWriter: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/v1/watch?contest=OG/1", nil)
	r.Host, r.ProtoMajor = testHost, 2
	a.Handler().ServeHTTP(w, r) // returns when the first heartbeat cannot be written
	if len(w.limits) != 2 || w.limits[1] > watch.SlowWriteTimeout {
		t.Errorf("the writes had the limits %v; want two, the second at most %s", w.limits, watch.SlowWriteTimeout)
	}
	if n := a.hub.Count(); n != 0 {
		t.Errorf("%d watchers remain", n)
	}
}

// deadlines is a response that knows its deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (w *deadlines) SetReadDeadline(t time.Time) error {
	w.read = t
	return nil
}

func (w *deadlines) SetWriteDeadline(t time.Time) error {
	w.write = t
	return nil
}

// net/http keeps a request in memory until the deadlines that are set after its stream has ended.
func TestAStreamOfHTTP2ThatWasResetLeavesNoDeadline(t *testing.T) {
	_, a := newTestAPI(t, Options{})
	h := a.Handler()
	reset, cancel := context.WithCancel(t.Context())
	cancel()
	for _, request := range [][3]string{{"GET", "/v1/scores", ""}, {"GET", "/v1/watch?contest=OG/1", ""},
		{"POST", "/v1/events", alert("a", "")}, {"POST", "/v1/nothing", "{}"}} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(reset, request[0], request[1], strings.NewReader(request[2]))
		r.Host, r.ProtoMajor = testHost, 2
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(w, r)
		if !w.read.IsZero() || !w.write.IsZero() {
			t.Errorf("%s %s: the deadlines %v and %v are left behind", request[0], request[1], w.read, w.write)
		}
	}
}

func TestStreamOfPostsOverHTTP2(t *testing.T) {
	_, a := newTestAPI(t, Options{})
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

// idleStore is a store in which nothing happens.
type idleStore struct {
	watch.Store
	invalidations *cache.Invalidations
}

func (idleStore) Incarnation() (string, []string)                { return "idle", nil }
func (idleStore) Ordered() bool                                  { return true }
func (s idleStore) Invalidations() *cache.Invalidations          { return s.invalidations }
func (idleStore) Keys(context.Context, string) ([]string, error) { return nil, nil }
func (idleStore) Heartbeat(uint64) []byte                        { return []byte("{}") }

// slowWriter is a response whose client takes a minute for the first write.
type slowWriter struct {
	http.ResponseWriter
	writes int
	later  chan string // the second write
}

func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *slowWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *slowWriter) Write(b []byte) (int, error) {
	switch w.writes++; w.writes {
	case 1:
		time.Sleep(time.Minute) // virtual
	case 2:
		w.later <- string(b)
	}
	return len(b), nil
}

func TestWatcherThatIsSlowWithTheBeginningOverHTTP2KeepsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := watch.New(idleStore{invalidations: cache.NewInvalidations()}, 1)
		defer hub.Close()
		watcher, err := hub.Subscribe(watch.Subjects{Competitions: []string{"C"}}, watch.Client{})
		if err != nil {
			t.Fatal(err)
		}
		w := &slowWriter{ResponseWriter: httptest.NewRecorder(), later: make(chan string, 1)}
		s := &server{API: &API{hub: hub}}
		out := &streamOutput{w: w, control: http.NewResponseController(w), http2: true, fields: func(http.Header) {}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.stream(t.Context(), out, watcher, "")
		}()
		select {
		case b := <-w.later:
			if !strings.Contains(b, "heartbeat") {
				t.Errorf("got %q after the beginning; want a heartbeat", b)
			}
		case <-ended:
			t.Error("the stream ended after its beginning")
		}
		hub.Close()
		<-ended
	})
}
