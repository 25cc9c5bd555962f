package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/httpapi/admission"
	"laurel/score"
)

// way is a fake group that is served with or without the fast path.
type way struct {
	group    *testMember
	registry *prometheus.Registry
	log      *logBuffer
	addr     string
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serveWay serves with the fast path, or by net/http alone.
func serveWay(t testing.TB, g Group, o Options, hot bool) string {
	a := newPatientAPI(t, g, o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var s interface {
		Serve(net.Listener) error
		Close() error
	} = a.Server(a.Handler())
	if hot {
		s = a.Front()
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// serveFront serves an API with the fast path.
func serveFront(t testing.TB, a *API) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := a.Front()
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func newWay(t testing.TB, hot bool, tune ...func(*Options)) *way {
	w := &way{group: &testMember{id: "f1", store: newStore(t)}, registry: prometheus.NewRegistry(), log: &logBuffer{}}
	o := limited(admission.Limits{MaxBodyBytes: 3000})
	o.PublicHost = testHost
	o.Registry = w.registry
	o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, f := range tune {
		f(&o)
	}
	w.addr = serveWay(t, groupOf(w.group), o, hot)
	return w
}

// send writes raw bytes. It returns the raw answers to n requests, and whether the connection
// stays open.
func (w *way) send(t *testing.T, raw string, n int) (answers string, lives bool) {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	in := bufio.NewReader(io.TeeReader(c, &all))
	for range n {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return all.String() + "\n" + err.Error(), false
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return all.String() + "\n" + err.Error(), false
		}
		if res.Close {
			return all.String(), false
		}
	}
	got := all.String()
	if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"); err == nil {
		_, err = http.ReadResponse(in, nil)
		return got, err == nil
	}
	return got, false
}

func rawPost(body string, fields ...string) string {
	head := "POST /v1/events HTTP/1.1\r\nHost: a\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

var changing = regexp.MustCompile(`Date: [^\r]*|took=\S+|time=\S+|127\.0\.0\.1:\d+`)

// masked returns s without dates and other values that differ from time to time.
func masked(s string) string { return changing.ReplaceAllString(s, "-") }

// twin is a request, or several on one connection, that both ways must answer alike.
type twin struct {
	name, raw string
	answers   int
	post      func(score.Post) ([]score.Result, error)
}

func twins() []twin {
	one := func(name, raw string) twin { return twin{name: name, raw: raw, answers: 1} }
	all := []twin{
		one("an event", rawPost(alert("a", ""), isJSON)),
		one("many fields", rawPost(alert("a", ""), isJSON, "User-Agent: curl/8", "Accept: */*", "Accept-Language: la", "Connection: keep-alive")),
		one("charset", rawPost(alert("a", ""), isJSON+"; charset=utf-8")),
		one("other charset", rawPost(alert("a", ""), isJSON+"; charset=latin1")),
		one("an array", rawPost("["+alert("a", "")+","+alert("b", "")+"]", isJSON)),
		one("refused", rawPost("["+alert("a", "")+","+alert("b", "refuse")+"]", isJSON)),
		one("nothing", rawPost("", isJSON)),
		one("no length", "POST /v1/events HTTP/1.1\r\nHost: a\r\n"+isJSON+"\r\n\r\n"),
		one("no type", rawPost(alert("a", ""))),
		one("form", rawPost(alert("a", ""), "Content-Type: application/x-www-form-urlencoded")),
		one("stream", rawPost("\n\n", isNDJSON)), // without events, for in how many chunks they are answered is chance
		one("packed", rawPost(alert("a", ""), isJSON, "Content-Encoding: gzip")),
		one("expect", rawPost(alert("a", ""), isJSON, "Expect: the unexpected")),
		one("close", rawPost(alert("a", ""), isJSON, "Connection: close")),
		one("query", strings.Replace(rawPost(alert("a", ""), isJSON), "events", "events?a=b", 1)),
		one("escape", strings.Replace(rawPost(alert("a", ""), isJSON), "events", "%65vents", 1)),
		one("above the limit", rawPost("["+alert("a", strings.Repeat("x", 3000))+"]", isJSON)),
		one("chunked", "POST /v1/events HTTP/1.1\r\nHost: a\r\n"+isJSON+"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
		one("with a token", rawPost(alert("a", ""), isJSON, bearer(bardToken))),
		one("with a wrong token", rawPost(alert("a", ""), isJSON, "Authorization: Bearer laurel-token-1.x.y")),
		one("with two tokens", rawPost(alert("a", ""), isJSON, bearer(bardToken), bearer(bardToken))),
		one("with a token in the URL", strings.Replace(rawPost(alert("a", ""), isJSON), "events", "events?token=a", 1)),
		one("from a page", rawPost(alert("a", ""), isJSON, "Origin: http://evil.example")),
		one("both lengths", rawPost("0\r\n\r\n", isJSON, "Transfer-Encoding: chunked")),
		one("two lengths", rawPost("hello", isJSON, "Content-Length: 4")),
		one("two hosts", rawPost("hello", isJSON, "Host: b")),
		one("no host", strings.Replace(rawPost("hello", isJSON), "Host", "Hast", 1)),
		one("old", strings.Replace(rawPost(alert("a", ""), isJSON), "1.1", "1.0", 1)),
		one("signed length", "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
		one("space before the colon", rawPost(alert("a", ""), isJSON, "X : y")),
		one("another path", "GET /v1/scores/OG50BC/CUR-M-GPA-01 HTTP/1.1\r\nHost: a\r\n\r\n"),
		one("another method", "DELETE /v1/events HTTP/1.1\r\nHost: a\r\n\r\n"),
		one("nowhere", "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"),
		one("not HTTP", "\x16\x03\x01\x02\x00\x01\r\n\r\n"),
		one("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		{name: "several", answers: 4, raw: rawPost(alert("a", ""), isJSON) + rawPost("{", isJSON) + rawPost(alert("b", ""), isJSON) +
			"GET /v1/scores HTTP/1.1\r\nHost: a\r\n\r\n"},
		{name: "an empty line between", answers: 2, raw: rawPost(alert("a", ""), isJSON) + "\r\n" + rawPost(alert("b", ""), isJSON)},
	}
	for _, b := range bad {
		if len(b.body) < 20_000 {
			all = append(all, one("bad: "+b.name, rawPost(b.body, isJSON)))
		}
	}
	for _, code := range score.Codes() {
		all = append(all, twin{string(code), rawPost(alert("a", ""), isJSON), 1, func(score.Post) ([]score.Result, error) {
			return nil, score.Problemf(code, "not now")
		}})
	}
	return append(all, twin{"failure", rawPost(alert("a", ""), isJSON), 1, func(score.Post) ([]score.Result, error) {
		return nil, io.ErrNoProgress
	}})
}

func TestFastPathAnswersLikeNetHTTP(t *testing.T) {
	t.Run("open", func(t *testing.T) { compareWays(t, newWay(t, false), newWay(t, true)) })
	t.Run("guarded", func(t *testing.T) {
		plain, hot := newWay(t, false), newWay(t, true)
		newGuardedGroup(t, plain.group)
		newGuardedGroup(t, hot.group)
		compareWays(t, plain, hot)
	})
}

func compareWays(t *testing.T, plain, hot *way) {
	for _, c := range twins() {
		t.Run(c.name, func(t *testing.T) {
			plain.group.post, hot.group.post = c.post, c.post
			want, wantLives := plain.send(t, c.raw, c.answers)
			got, lives := hot.send(t, c.raw, c.answers)
			if masked(got) != masked(want) || lives != wantLives {
				t.Errorf("the front answered\n%s\nand the connection lives: %t; net/http\n%s\nand %t", got, lives, want, wantLives)
			}
		})
	}
	if got, want := len(hot.group.events()), len(plain.group.events()); got != want || got == 0 {
		t.Errorf("%d events were posted by the front, %d by net/http", got, want)
	}
	if got, want := counted(t, hot.registry), counted(t, plain.registry); got != want {
		t.Errorf("the front counted\n%s\nnet/http\n%s", got, want)
	}
	if got, want := masked(hot.log.String()), masked(plain.log.String()); got != want {
		t.Errorf("the front logged\n%s\nnet/http\n%s", got, want)
	}
}

// counted returns all metrics except durations.
func counted(t *testing.T, r *prometheus.Registry) string {
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if f.GetName() == "laurel_scheduling_delay_seconds" {
			continue // it tells of the machine
		}
		for _, m := range f.GetMetric() {
			fmt.Fprintln(&b, f.GetName(), m.GetLabel(), m.GetCounter().GetValue(), m.GetGauge().GetValue(), m.GetHistogram().GetSampleCount())
		}
	}
	return b.String()
}

func TestFastPostIsNotAnsweredAfterClose(t *testing.T) {
	g := &ctxGroup{begun: make(chan struct{})}
	registry := prometheus.NewRegistry()
	o := Options{Registry: registry, Logger: slog.New(slog.DiscardHandler)}
	o.PublicHost = testHost
	a := newPatientAPI(t, groupOf(g), o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := a.Front()
	go s.Serve(l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, rawPost(alert("a", ""), isJSON)); err != nil {
		t.Fatal(err)
	}
	<-g.begun
	s.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("got %q", b)
	}
	if s := counted(t, registry); !strings.Contains(s, `"499"`) {
		t.Errorf("no client was counted as gone:\n%s", s)
	}
}

// ctxGroup is a group whose Post waits until its context ends.
type ctxGroup struct {
	testMember
	begun chan struct{}
}

func (g *ctxGroup) Post(ctx context.Context, _ score.Post) ([]score.Result, error) {
	g.begun <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// benchOptions are those of a benchmark over connections.
func benchOptions() Options {
	return Options{Logger: slog.New(slog.DiscardHandler), Options: admission.Options{PublicHost: testHost}}
}

// BenchmarkPostOver measures one posted event over a loopback connection, with and without the
// fast path.
func BenchmarkPostOver(b *testing.B) {
	for name, hot := range map[string]bool{"front": true, "nethttp": false} {
		b.Run(name, func(b *testing.B) {
			addr := serveWay(b, groupOf(&benchGroup{}), benchOptions(), hot)
			raw := []byte(rawPost(playOf("2"), isJSON))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				buf := make([]byte, 4096)
				for pb.Next() {
					if _, err := c.Write(raw); err != nil {
						b.Error(err)
						return
					}
					if n, err := c.Read(buf); err != nil || string(buf[9:12]) != "200" {
						b.Errorf("got %q (%v)", buf[:n], err)
						return
					}
				}
			})
		})
	}
}
