package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/httpapi/admission"
	"laurel/httpapi/posts"
	"laurel/score"
)

// results reads an answer to a stream.
func results(t testing.TB, body string) []score.Result {
	t.Helper()
	var all []score.Result
	for line := range strings.Lines(body) {
		var r score.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func TestStreamIsAppliedInOrderWithAResultForEachEvent(t *testing.T) {
	g, s := start(t)
	const n = 3 * posts.MaxChunk
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s\n\r\n  \n", alert(fmt.Sprint("e", i), ""))
	}
	a := ask(t, s, "POST", "/v1/events", strings.TrimSpace(b.String()), isNDJSON)
	all := results(t, a.body)
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" || len(all) != n {
		t.Fatalf("got %d %v with %d results; want %d", a.StatusCode, a.Header, len(all), n)
	}
	for i, r := range all {
		if r.ID != fmt.Sprint("e", i) || r.Revision != uint64(i+1) || r.Status != score.Applied {
			t.Fatalf("result %d is %+v", i, r)
		}
	}
	if g.posts >= n {
		t.Errorf("%d posts for %d events that arrived together", g.posts, n)
	}
}

func TestAByteOrderMarkIsSkippedAndOtherEncodingsAreNamed(t *testing.T) {
	_, s := start(t)
	lines := "\uFEFF" + alert("a", "") + "\r\n\uFEFF\r\n\uFEFF" + alert("b", "") + "\n"
	if all := results(t, ask(t, s, "POST", "/v1/events", lines, isNDJSON).body); len(all) != 2 ||
		all[0].Status != score.Applied || all[1].Status != score.Applied {
		t.Errorf("a stream of joined files: %+v", all)
	}
	for _, body := range []string{"\uFEFF" + alert("c", ""), "\uFEFF[" + alert("d", "") + "]\r\n"} {
		if a := ask(t, s, "POST", "/v1/events", body, isJSON); a.StatusCode != 200 {
			t.Errorf("%q: %d %s", body, a.StatusCode, a.body)
		}
	}
	wide := "\xff\xfe"
	for _, c := range []byte(alert("e", "") + "\r\n") {
		wide += string([]byte{c, 0})
	}
	if p := ask(t, s, "POST", "/v1/events", wide, isJSON).problem(t); !strings.Contains(p.Detail, "the text is UTF-16") {
		t.Errorf("UTF-16: %+v", p)
	}
	all := results(t, ask(t, s, "POST", "/v1/events", wide, isNDJSON).body)
	if len(all) != 1 || all[0].Problem == nil || !strings.Contains(all[0].Problem.Detail, "the text is UTF-16") {
		t.Errorf("a stream of UTF-16: %+v", all)
	}
}

// talk opens a stream whose lines the test sends one by one; headers are "Name: value".
func talk(
	t *testing.T, s *httptest.Server, headers ...string,
) (lines io.WriteCloser, answer func() (*http.Response, *bufio.Reader)) {
	t.Helper()
	out, in := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/events", out)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	type reply struct {
		res *http.Response
		err error
	}
	replies := make(chan reply, 1)
	go func() {
		res, err := s.Client().Do(r)
		replies <- reply{res, err}
	}()
	return in, func() (*http.Response, *bufio.Reader) {
		t.Helper()
		re := <-replies
		if re.err != nil {
			t.Fatal(re.err)
		}
		t.Cleanup(func() { re.res.Body.Close() })
		return re.res, bufio.NewReader(re.res.Body)
	}
}

func send(t *testing.T, w io.Writer, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
}

func line(t *testing.T, r *bufio.Reader) score.Result {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return results(t, s)[0]
}

func TestStreamIsAnsweredWhileItIsStillBeingSent(t *testing.T) {
	_, s := start(t)
	in, answer := talk(t, s)
	send(t, in, alert("a", ""))
	_, out := answer()
	if r := line(t, out); r.ID != "a" || r.Revision != 1 {
		t.Fatalf("got %+v", r)
	}
	send(t, in, "", alert("b", ""))
	if r := line(t, out); r.ID != "b" || r.Revision != 2 {
		t.Fatalf("got %+v", r)
	}
	in.Close()
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
		t.Errorf("then came %q, %v", rest, err)
	}
}

func TestStreamStopsAtTheFirstRefusedEvent(t *testing.T) {
	g, s := start(t)
	in, answer := talk(t, s)
	send(t, in, alert("a", ""))
	_, out := answer()
	line(t, out)
	// The pipe may break while these are sent: the frontend reads no further than it must.
	_, _ = io.WriteString(in, alert("b", "")+"\n"+alert("c", "refuse")+"\n"+alert("d", "")+"\n")
	if r := line(t, out); r.ID != "b" || r.Problem != nil {
		t.Errorf("got %+v", r)
	}
	r := line(t, out)
	if r.ID != "c" || r.Problem == nil || r.Problem.Code != score.StatusConflict || *r.Problem.Index != 2 {
		t.Errorf("got %+v", r)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
		t.Errorf("after the refusal came %q, %v", rest, err)
	}
	if n := len(g.events()); n != 2 {
		t.Errorf("%d events were applied", n)
	}
}

func TestBadLineStopsTheStreamAfterWhatCameBefore(t *testing.T) {
	for _, c := range bad {
		if strings.TrimSpace(c.body) == "" || c.name == "truncated array" || c.name == "empty array" || c.name == "large body" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			g, s := start(t)
			a := ask(t, s, "POST", "/v1/events", alert("first", "")+"\n\n"+c.body+"\n"+alert("last", ""), isNDJSON)
			all := results(t, a.body)
			if len(all) != 2 || all[0].ID != "first" || all[0].Problem != nil || all[1].Problem == nil {
				t.Fatalf("got %s", a.body)
			}
			p := all[1].Problem
			if p.Status != c.status || !strings.Contains(p.Field+": "+p.Detail, c.says) || p.Index == nil || *p.Index != 1 {
				t.Errorf("got %+v; want %d, and that it says %q", p, c.status, c.says)
			}
			if n := len(g.events()); n != 1 {
				t.Errorf("%d events were applied", n)
			}
		})
	}
}

func TestHugeLineIsRefusedWithoutBeingHeld(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	endless := &zeros{left: 100 << 20}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v1/events", io.MultiReader(strings.NewReader(alert("a", "")+"\n"), endless))
	r.Host = testHost
	r.Header.Set("Content-Type", "application/x-ndjson")
	a.Handler().ServeHTTP(w, r)
	all := results(t, w.Body.String())
	if len(all) != 2 || all[1].Problem == nil || all[1].Problem.Code != score.TooLarge {
		t.Fatalf("got %s", w.Body)
	}
	if read := 100<<20 - endless.left; read > 2*score.MaxEventBytes {
		t.Errorf("%d bytes were read of a line of which %d may be", read, score.MaxEventBytes)
	}
	if len(g.events()) != 1 {
		t.Errorf("applied: %d", len(g.events()))
	}
}

func TestConnectionEndsAfterATooLongLine(t *testing.T) {
	_, s := start(t)
	a := askReader(t, s, "POST", "/v1/events", &zeros{left: 100 << 20}, isNDJSON)
	all := results(t, a.body)
	if len(all) != 1 || all[0].Problem == nil || all[0].Problem.Code != score.TooLarge || !a.Close {
		t.Errorf("got %s, close %v", a.body, a.Close)
	}
}

// The frontend's own state may hold them, for another post of the same events.
func TestAStreamDoesNotChangeTheResultsOfTheGroup(t *testing.T) {
	g, s := start(t)
	given := make(chan []score.Result, 1)
	g.post = func(p score.Post) ([]score.Result, error) {
		list, err := g.apply(p)
		given <- list
		return list, err
	}
	a := ask(t, s, "POST", "/v1/events", alert("a", "refuse")+"\n", isNDJSON)
	if all := results(t, a.body); len(all) != 1 || all[0].Problem == nil || all[0].Problem.Index == nil {
		t.Errorf("got %s", a.body)
	}
	if list := <-given; list[0].Problem.Index != nil {
		t.Errorf("the result of the group became %+v", list[0].Problem)
	}
}

func TestPostThatFailsHalfwayIsTheLastLine(t *testing.T) {
	g, s := start(t)
	g.post = func(p score.Post) ([]score.Result, error) {
		if len(g.events()) > 0 {
			return nil, score.Problemf(score.OutcomeUnknown, "the master is gone")
		}
		return g.apply(p)
	}
	in, answer := talk(t, s)
	send(t, in, alert("a", ""))
	_, out := answer()
	line(t, out)
	send(t, in, alert("b", ""))
	if r := line(t, out); r.ID != "b" || r.Problem == nil || r.Problem.Code != score.OutcomeUnknown || *r.Problem.Index != 1 {
		t.Errorf("got %+v", r)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
		t.Errorf("then came %q, %v", rest, err)
	}
}

func TestSilentStreamIsEndedWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, limited(admission.Limits{StreamIdle: 10 * time.Second}))
		s := serveVirtually(t, a, a.Handler())
		in, answer := talk(t, s)
		defer in.Close()
		send(t, in, alert("a", ""))
		_, out := answer()
		if r := line(t, out); r.ID != "a" {
			t.Fatalf("got %+v", r)
		}
		if r := line(t, out); r.Problem == nil || !strings.Contains(r.Problem.Detail, "silent") {
			t.Errorf("got %+v", r)
		}
	})
}

func TestEventThatBreaksOffIsDropped(t *testing.T) {
	g, s := start(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	whole, part := alert("a", "")+"\n", alert("b", "") // part would be an event, but its length says that more comes
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s%s", len(whole)+len(part)+10, whole, part)
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	if n := len(g.events()); n != 1 {
		t.Errorf("%d events were applied; the answer was %s", n, answer)
	}
}

func TestBytesAfterAStoppedStreamAreNotParsedAsARequest(t *testing.T) {
	t.Parallel()
	g, s := start(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	smuggled := "POST /v1/cluster/transfer HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n%s\n", alert("a", "refuse"))
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, smuggled)
	if rest, _ := io.ReadAll(in); len(rest) != 0 {
		t.Errorf("then came %q", rest)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) != 0 {
		t.Errorf("the group was told: %v", g.members)
	}
}

// timed is a connection that tells its read deadline.
type timed struct {
	net.Conn
	mu   sync.Mutex
	read time.Time
}

func (c *timed) SetReadDeadline(d time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = d
	return c.Conn.SetReadDeadline(d)
}

func (c *timed) deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read
}

type timedListener struct{ net.Listener }

func (l timedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &timed{Conn: c}, nil
}

func TestConnectionOfAWholeStreamIsUsedAgain(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	g.read = func(ctx context.Context) error { return ctx.Err() }
	// While net/http waits behind the body for the next request, a deadline in the past would
	// be the end of the connection's context.
	type key struct{}
	h := a.Handler()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if d := r.Context().Value(key{}).(*timed).deadline(); !d.IsZero() {
			t.Errorf("%s leaves the read deadline %v", r.Method, d)
		}
	}))
	s.Config = a.Server(s.Config.Handler)
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) }
	s.Listener = timedListener{s.Listener}
	s.Start()
	t.Cleanup(s.Close)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	for _, body := range []string{"", alert("a", "") + "\n", alert("a", "")} {
		for _, request := range []string{
			fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
			"GET /v1/scores HTTP/1.1\r\nHost: a\r\n\r\n",
		} {
			_, _ = io.WriteString(conn, request)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 || res.Close {
				t.Fatalf("with a stream of %q: got %+v, %s, %v", body, res, answer, err)
			}
		}
	}
}
