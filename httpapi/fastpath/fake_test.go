package fastpath

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a Handler. It answers POST /echo with the body, GET /hot at once, POST /wait after a
// signal, has POST /busy pause the connection, and counts GET /held. Answers of net/http have the
// header field By.
type fake struct {
	begun, release chan struct{}
	log            safeBuffer
	held           atomic.Int64 // answers to GET /held that have not been written
}

func (f *fake) Answer(ctx context.Context, dst []byte, r *Request) ([]byte, bool) {
	var body []byte
	switch path := string(r.Path); {
	case r.Method == "POST" && path == "/echo":
		body = r.Body
	case r.Method == "GET" && path == "/hot":
		body = []byte("hot")
	case r.Method == "GET" && path == "/large":
		body = bytes.Repeat([]byte("x"), 100<<10)
	case path == "/held":
		body = bytes.Repeat([]byte("x"), 4<<20)
		f.held.Add(1)
		r.Written = func() { f.held.Add(-1) }
	case path == "/busy":
		body = []byte("in time")
		if r.Early {
			body = []byte("early")
		}
		r.Pause, r.Wait = 1500*time.Millisecond, 2*time.Second
	case path == "/panic":
		panic("on purpose")
	case path == "/gone":
		return dst, true
	case path == "/wait":
		f.begun <- struct{}{}
		select {
		case <-f.release:
			body = []byte("waited")
		case <-ctx.Done():
			return dst, true
		}
	default:
		return dst, false
	}
	dst = AppendStatus(dst, http.StatusOK)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n"...)
	return append(r.AppendEnd(dst), body...), true
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("By", "net/http")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch r.URL.Path {
	case "/slow":
		time.Sleep(time.Hour)
		body = []byte("slow")
	case "/nowhere":
		body = []byte("nowhere")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// pipes is a listener whose connections return in one Read what one Write sent.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipes) dial(t testing.TB) *client {
	here, there := net.Pipe()
	l.conns <- there
	return newClient(t, here)
}

// connect returns a connection that comes from an address, as far as the server knows.
func (l *pipes) connect(from string) net.Conn {
	here, there := net.Pipe()
	l.conns <- &placed{there, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return here
}

// client is a client that writes raw bytes and reads answers.
type client struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{c, t, bufio.NewReader(c)}
}

// send writes in the background, because the other end of a pipe may answer first.
func (c *client) send(parts ...string) {
	go func() {
		for _, p := range parts {
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
	}()
}

type answered struct {
	*http.Response
	body string
}

func (c *client) read() (answered, error) {
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return answered{}, err
	}
	body, err := io.ReadAll(res.Body)
	return answered{res, string(body)}, err
}

func (c *client) want(body, by string) answered {
	c.t.Helper()
	a, err := c.read()
	if err != nil || a.StatusCode != 200 || a.body != body || a.Header.Get("By") != by {
		c.t.Fatalf("got %+v (%v); want %q by %q", a, err, body, by)
	}
	return a
}

func (c *client) wantEnd() {
	c.t.Helper()
	if a, err := c.read(); err != io.ErrUnexpectedEOF {
		c.t.Fatalf("got %+v (%v); want that the connection has ended", a, err)
	}
}

func start(t testing.TB, l net.Listener, answer time.Duration, set ...func(*http.Server)) (*fake, *Server, chan error) {
	f := &fake{begun: make(chan struct{}), release: make(chan struct{})}
	h := &http.Server{
		Handler:           f,
		ErrorLog:          log.New(&f.log, "", 0),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
	}
	for _, s := range set {
		s(h)
	}
	s := New(h, f, answer)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return f, s, served
}

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }

// bytewise returns the bytes of s as single parts.
func bytewise(s string) []string { return strings.Split(s, "") }
