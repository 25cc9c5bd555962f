package fastpath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestHandlerAnswersPlainRequestsAndNetHTTPTheOthers(t *testing.T) {
	l := newPipes()
	start(t, l, time.Minute)
	c := l.dial(t)
	for range 3 {
		c.send(post("/echo", "ab"))
		if a := c.want("ab", ""); a.Header.Get("Date") == "" {
			t.Error("no Date")
		}
	}
	for range 3 {
		c.send(get("/nowhere"))
		c.want("nowhere", "net/http")
	}
	c.send(post("/echo", "cd"))
	c.want("cd", "net/http")
}

// Each answer belongs to the whole request, however the bytes arrive, and so do the answers that
// follow on the connection.
func TestNoByteIsLostWhereverARequestIsCut(t *testing.T) {
	l := newPipes()
	start(t, l, time.Minute)
	for _, first := range []string{post("/echo", "first"), post("/elsewhere", "first")} {
		all := first + post("/echo", "second") + get("/nowhere")
		for i := range len(all) {
			for _, parts := range [][]string{{all[:i], all[i:]}, append([]string{all[:i]}, bytewise(all[i:])...)} {
				c := l.dial(t)
				c.send(parts...)
				for _, want := range []string{"first", "second", "nowhere"} {
					if a, err := c.read(); err != nil || a.body != want {
						t.Fatalf("cut at %d into %d parts: got %+v (%v); want %q", i, len(parts), a, err, want)
					}
				}
				c.send(post("/echo", "again"))
				if a, err := c.read(); err != nil || a.body != "again" {
					t.Fatalf("after it: got %+v (%v)", a, err)
				}
				c.Close()
			}
		}
	}
}

func TestRequestInSeveralPartsStaysOnTheFastPath(t *testing.T) {
	l := newPipes()
	start(t, l, time.Minute)
	c := l.dial(t)
	head, body, _ := strings.Cut(post("/echo", "body"), "\r\n\r\n")
	c.send(head+"\r\n\r\n", body)
	c.want("body", "")
	large := strings.Repeat("x", 15<<10)
	c.send(post("/echo", large))
	c.want(large, "")
	c.send(get("/hot"))
	c.want("hot", "")
	other := l.dial(t)
	other.send(post("/elsewhere", large))
	other.want(large, "net/http")
	dribbling := l.dial(t)
	dribbling.send(bytewise(post("/echo", "body"))...)
	dribbling.want("body", "net/http")
	tooLarge := strings.Repeat("x", 17<<10)
	c.send(post("/echo", tooLarge))
	c.want(tooLarge, "net/http")
}

func TestUnfinishedRequestIsLeftToNetHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		start(t, l, time.Minute)
		c := l.dial(t)
		whole := post("/echo", "slow")
		c.send(whole[:len(whole)-1])
		time.Sleep(assemblyTime + time.Millisecond)
		c.send(whole[len(whole)-1:])
		c.want("slow", "net/http")
		c.Close()
		l.Close()
	})
}

func TestHandedOverConnectionHasNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		start(t, l, time.Minute, func(h *http.Server) { h.ReadHeaderTimeout, h.IdleTimeout = 0, 0 })
		c := l.dial(t)
		_ = c.SetDeadline(time.Time{})
		c.send(get("/hot") + get("/slow"))
		c.want("hot", "")
		c.want("slow", "net/http")
		c.Close()
		l.Close()
	})
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	l := newPipes()
	start(t, l, time.Minute)
	c := l.dial(t)
	var all strings.Builder
	for i := range 100 {
		all.WriteString(post("/echo", fmt.Sprint("number ", i)) + get("/hot"))
	}
	c.send(all.String() + post("/elsewhere", "then") + post("/echo", "last"))
	for i := range 100 {
		c.want(fmt.Sprint("number ", i), "")
		c.want("hot", "")
	}
	c.want("then", "net/http")
	c.want("last", "net/http")
}

func TestEmptyLineAfterAPostIsSkipped(t *testing.T) {
	l := newPipes()
	start(t, l, time.Minute)
	c := l.dial(t)
	c.send(post("/echo", "a")+"\r\n", post("/echo", "b"), "\r\n", get("/hot"))
	c.want("a", "")
	c.want("b", "")
	c.want("hot", "")
}

func TestShutdownAnswersRequestsUnderWayAndClosesIdleConnections(t *testing.T) {
	l := newPipes()
	f, s, served := start(t, l, time.Minute)
	fresh, used, handed, waiting := l.dial(t), l.dial(t), l.dial(t), l.dial(t)
	used.send(get("/hot"))
	used.want("hot", "")
	handed.send(get("/nowhere"))
	handed.want("nowhere", "net/http")
	waiting.send(post("/wait", "") + get("/hot"))
	<-f.begun
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	fresh.wantEnd()
	used.wantEnd()
	handed.wantEnd()
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve gave %v", err)
	}
	select {
	case err := <-down:
		t.Fatal("it did not wait for the request under way:", err)
	default:
	}
	close(f.release)
	if a := waiting.want("waited", ""); !a.Close {
		t.Error("the last answer does not say that the connection ends")
	}
	waiting.wantEnd()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestShutdownEndsWithItsContextAndCloseEndsWaitingRequests(t *testing.T) {
	l := newPipes()
	f, s, _ := start(t, l, time.Minute)
	c := l.dial(t)
	c.send(get("/wait"))
	<-f.begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown gave %v", err)
	}
	s.Close()
	c.wantEnd()
	s.serving.Wait()
	if err := s.Serve(newPipes()); err != http.ErrServerClosed {
		t.Errorf("Serve after Close gave %v", err)
	}
}

func TestClientThatDoesNotReadLosesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		_, s, _ := start(t, l, time.Minute)
		c := l.dial(t)
		c.send(get("/large"))
		synctest.Wait()
		time.Sleep(50 * time.Second)
		if n := s.held(); n != 1 {
			t.Errorf("%d connections are held before the time is over", n)
		}
		time.Sleep(26 * time.Second)
		if n := s.held(); n != 0 {
			t.Errorf("%d connections are held", n)
		}
		l.Close()
	})
}

func (s *Server) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func TestOnlyIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		start(t, l, time.Minute)
		silent, talking := l.dial(t), l.dial(t)
		_ = talking.SetDeadline(time.Time{})
		talking.send(get("/hot"))
		talking.want("hot", "")
		begin := time.Now()
		silent.wantEnd()
		if took := time.Since(begin); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("one that said nothing was closed after %s", took)
		}
		for range 10 {
			talking.send(get("/hot"))
			talking.want("hot", "")
			time.Sleep(55 * time.Second)
		}
		talking.send(get("/hot"))
		talking.want("hot", "")
		begin = time.Now()
		talking.wantEnd()
		if took := time.Since(begin); took < time.Minute || took > 75*time.Second {
			t.Errorf("an idle one was closed after %s", took)
		}
		l.Close()
	})
}

func TestPanicEndsOnlyItsConnection(t *testing.T) {
	l := newPipes()
	f, _, _ := start(t, l, time.Minute)
	c, other := l.dial(t), l.dial(t)
	c.send(get("/hot") + get("/panic") + get("/hot"))
	c.want("hot", "")
	c.wantEnd()
	if s := f.log.String(); !strings.Contains(s, "on purpose") || !strings.Contains(s, "fake_test.go") {
		t.Errorf("the log says %q", s)
	}
	other.send(get("/hot"))
	other.want("hot", "")
}

// A handler that hijacks a connection reaches its file descriptor through all wrappers, so that
// package watch can write to it without blocking.
func TestHijackedConnectionHasAFileDescriptor(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	takes := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			taken <- err
			return
		}
		defer c.Close()
		raw, err := c.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Write(func(fd uintptr) bool {
				_, err = syscall.Write(int(fd), []byte("written"))
				return true
			})
		}
		taken <- err
	})
	start(t, Limit(tcp, 1, 1, netip.Addr.IsLoopback, nil), time.Minute, func(h *http.Server) { h.Handler = takes })
	c, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, get("/nowhere")); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "written" {
		t.Errorf("got %q (%v)", got, err)
	}
}

func TestEmptyAnswerEndsTheConnection(t *testing.T) {
	l := newPipes()
	start(t, l, time.Minute)
	c := l.dial(t)
	c.send(get("/hot") + get("/gone"))
	c.want("hot", "")
	c.wantEnd()
}

// A listener that allows one connection at a time gets each back exactly once.
func TestEveryConnectionIsReleasedOnce(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, Limit(tcp, 1, 1, netip.Addr.IsLoopback, nil), time.Minute)
	for i, path := range []string{"/hot", "/nowhere", "/panic", "/gone", "/nowhere", "/hot", "/nowhere"} {
		nc, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, nc)
		if _, err := io.WriteString(c, get(path)); err != nil {
			t.Fatal(err)
		}
		if a, err := c.read(); err != nil && path != "/panic" && path != "/gone" {
			t.Fatalf("%d: %s: %+v %v", i, path, a, err)
		}
		c.Close()
	}
}

func TestGoClientKeepsItsConnection(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s, _ := start(t, tcp, time.Minute)
	h := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer h.CloseIdleConnections()
	for i := range 50 {
		path, by := "/echo", ""
		if i >= 25 {
			path, by = "/elsewhere", "net/http"
		}
		body := strings.Repeat("x", i)
		res, err := h.Post("http://"+tcp.Addr().String()+path, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(got) != body || res.Header.Get("By") != by {
			t.Fatalf("%d: got %q by %q (%v)", i, got, res.Header.Get("By"), err)
		}
		if held := s.held(); i < 25 && held != 1 {
			t.Fatalf("%d: %d connections", i, held)
		}
	}
}
