package httpapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
)

// headerTimeout is the time limit of headers and handshakes in the tests that wait for it.
const headerTimeout = time.Second

// target is a frontend under attack. It knows what the frontend used before.
type target struct {
	t     testing.TB
	group *testMember
	api   *API
	addr  string

	goroutines int    // before the attack
	heap       uint64 // before the attack
}

// newTarget starts a frontend that serves HTTP and HTTPS.
func newTarget(t testing.TB, l admission.Limits) *target {
	cert := selfSigned(t)
	g, a := newTestAPI(t, Options{
		Options: admission.Options{Limits: l},
		TLS:     &tls.Config{Certificates: []tls.Certificate{cert}},
	})
	g.post = func(p score.Post) ([]score.Result, error) { return resultsOf(p), nil }
	s := &target{t: t, group: g, api: a, addr: serveFront(t, a)}
	s.mustPost()
	s.goroutines, s.heap = runtime.NumGoroutine(), heapNow()
	return s
}

// resultsOf returns results that say that each event was applied.
func resultsOf(p score.Post) (list []score.Result) {
	for _, e := range p.Events {
		list = append(list, score.Result{ID: e.ID, Seq: 1, Revision: 1, Status: score.Applied})
	}
	return list
}

// selfSigned returns a certificate that nobody trusts.
func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// heapNow returns how many bytes are in use: not what has become garbage since the collection,
// of which there may be much if this goroutine is held up.
func heapNow() uint64 {
	runtime.GC()
	runtime.GC() // the second empties pools
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	runtimemetrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64()
}

// mustPost posts an event over HTTP and HTTPS.
func (s *target) mustPost() {
	s.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	c := http.Client{Timeout: patience, Transport: transport}
	for _, scheme := range []string{"http", "https"} {
		for end := time.Now().Add(patience); ; {
			start := time.Now()
			res, err := c.Post(scheme+"://"+s.addr+"/v1/events", handler.TypeJSON, strings.NewReader(alert("", "")))
			if err != nil && time.Since(start) > headerTimeout && time.Now().Before(end) {
				continue // this machine is too slow for the limit of handshakes and headers
			}
			if err != nil {
				s.t.Fatalf("post over %s: %v", scheme, err)
			}
			if res.Body.Close(); res.StatusCode != http.StatusOK {
				s.t.Fatalf("post over %s: got %s", scheme, res.Status)
			}
			break
		}
	}
}

func (s *target) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// wantBounded checks that the attack takes at most so many goroutines and bytes.
func (s *target) wantBounded(goroutines int, bytes uint64) {
	s.t.Helper()
	if n := runtime.NumGoroutine() - s.goroutines; n > goroutines {
		s.t.Errorf("the attack takes %d goroutines; want at most %d", n, goroutines)
	}
	// What is made and dropped during a collection counts in that one.
	now := heapNow()
	for range 2 {
		now = min(now, heapNow())
	}
	if now > s.heap+bytes {
		s.t.Errorf("the attack takes %d KiB; want at most %d", (now-s.heap)>>10, bytes>>10)
	}
}

func (s *target) eventually(what string, condition func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// awaitEnd waits until the goroutines of the attack have ended.
func (s *target) awaitEnd() {
	s.t.Helper()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > s.goroutines+8; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Errorf("%d goroutines remain, %d before the attack", runtime.NumGoroutine(), s.goroutines)
			return
		}
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	s := newTarget(t, admission.Limits{HeaderTimeout: headerTimeout})
	const many = 200
	var conns []net.Conn
	for i := range many {
		c := s.dial()
		conns = append(conns, c)
		_, _ = io.WriteString(c, "POST /v1/events HTTP/1.1\r\nHost: a\r\nX: "[:20+i%18])
	}
	s.mustPost()
	s.wantBounded(2*many+20, many*(40<<10))
	deadline := time.Now().Add(patience)
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			defer c.Close()
			for time.Now().Before(deadline) { // single bytes do not extend the limit
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				if _, err := io.ReadAll(c); err == nil {
					return
				}
			}
			t.Error("a header may take as long as it likes")
		})
	}
	s.mustPost()
	wg.Wait()
	s.awaitEnd()
}

func TestSlowBodiesAndSilentStreamsDoNotBlockPosts(t *testing.T) {
	const places = 8
	s := newTarget(t, admission.Limits{MaxPosts: places, FirstEventTimeout: time.Hour})
	s.api.admission.Bodies.Timeout = time.Hour
	for _, head := range []string{
		isJSON + "\r\nContent-Length: 100000\r\n\r\n[" + strings.Repeat(" ", 8<<10),
		isNDJSON + "\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		for range places {
			c := s.dial()
			defer c.Close()
			_, _ = io.WriteString(c, "POST /v1/events HTTP/1.1\r\nHost: a\r\n"+head)
		}
	}
	s.eventually("streams are under way", func() bool { return streamsUnderWay(s.api) == places })
	s.eventually("bodies are being read", func() bool { return s.api.admission.Bodies.Held() > 0 })
	s.mustPost()
	s.api.admission.Bodies.Hold(admission.MaxPostBytes) // as if large bodies came slowly
	s.mustPost()
	res, err := http.Get("http://" + s.addr + "/v1/scores")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("a read besides large bodies: got %s", res.Status)
	}
	if n := postsUnderWay(s.api); n != 0 {
		t.Errorf("%d posts are under way before their bodies arrived", n)
	}
}

func TestHalfOpenConnectionsAreClosed(t *testing.T) {
	s := newTarget(t, admission.Limits{HeaderTimeout: headerTimeout})
	const many = 200
	for range many {
		c := s.dial()
		defer c.Close() // nothing is ever sent, as by a peer that is gone without a word
	}
	s.mustPost()
	s.wantBounded(many+20, many*(20<<10))
	s.awaitEnd() // headerTimeout and a quarter later
}

func TestHugeHeaderIsRefused(t *testing.T) {
	heads := []string{"GET /" + strings.Repeat("x", 10<<20), "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 10<<20), "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 1<<20)}
	s := newTarget(t, admission.Limits{}) // after heads, which must not count
	for _, head := range heads {
		c := s.dial()
		_ = c.SetDeadline(time.Now().Add(patience))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.WriteString(c, head) // fails when the frontend closes
		}()
		answer := make([]byte, 64)
		n, _ := io.ReadAtLeast(c, answer, 12)
		if got := string(answer[:n]); n > 0 && !strings.HasPrefix(got, "HTTP/1.1 4") {
			t.Errorf("got %q", got)
		}
		c.Close()
		<-done
		s.wantBounded(20, 4<<20)
	}
	s.mustPost()
	s.awaitEnd()
}

func TestEndlessLineOfAStreamIsRefused(t *testing.T) {
	s := newTarget(t, admission.Limits{})
	const many = 8
	var wg sync.WaitGroup
	for range many {
		c := s.dial()
		wg.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(c, "POST /v1/events HTTP/1.1\r\nHost: a\r\n"+isNDJSON+"\r\nTransfer-Encoding: chunked\r\n\r\n")
			go func() {
				chunk := fmt.Sprintf("%x\r\n%s\r\n", 32<<10, strings.Repeat(" x", 16<<10))
				for {
					if _, err := io.WriteString(c, chunk); err != nil {
						return
					}
				}
			}()
			all, _ := io.ReadAll(c)
			if !bytes.Contains(all, []byte("too_large")) {
				t.Errorf("got %.300q", all)
			}
		})
	}
	s.mustPost()
	s.wantBounded(many*6+20, many*(1<<20))
	wg.Wait()
	s.awaitEnd()
}

func TestHTTP2RapidResetCostsLittle(t *testing.T) {
	s := newTarget(t, admission.Limits{})
	var busy, most atomic.Int64
	s.group.read = nil
	s.group.post = func(p score.Post) ([]score.Result, error) {
		n := busy.Add(1)
		defer busy.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return resultsOf(p), nil
	}
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatal("HTTP/2 was not negotiated")
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.Copy(io.Discard, c) }()
	var b bytes.Buffer
	b.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	writeFrame(&b, 4, 0, 0, nil) // SETTINGS
	// GET, https, /v1/scores and the authority a, by the indexes of HPACK's table.
	head := append([]byte{0x82, 0x87, 0x04, byte(len("/v1/scores"))}, "/v1/scores\x01\x01a"...)
	sent := 0
	for id := uint32(1); id < 100_000; id += 2 {
		writeFrame(&b, 1, 4|1, id, head)             // HEADERS, the end of them and of the stream
		writeFrame(&b, 3, 0, id, []byte{0, 0, 0, 8}) // RST_STREAM, CANCEL
		if b.Len() > 32<<10 {
			if _, err := c.Write(b.Bytes()); err != nil {
				break // the frontend has closed the connection
			}
			b.Reset()
		}
		sent++
	}
	s.mustPost()
	s.wantBounded(MaxHTTP2Streams+40, 16<<20)
	if n := readsUnderWay(s.api); n > MaxHTTP2Streams {
		t.Errorf("%d reads of one connection are under way", n)
	}
	t.Logf("%d streams were opened and reset before the connection ended", sent)
	c.Close()
	s.awaitEnd()
}

func writeFrame(b *bytes.Buffer, kind, flags byte, stream uint32, payload []byte) {
	n := len(payload)
	b.Write([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)})
	b.Write(payload)
}

func TestTenThousandIdleConnectionsAreCheap(t *testing.T) {
	if os.Getenv("LAUREL_CI") != "full" {
		t.Skip("opens 10,000 connections; set LAUREL_CI=full")
	}
	// Both ends of each connection are in this process.
	many, limit := 10_000, syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 10_000 {
		t.Skipf("at most %d files may be open", limit.Cur)
	}
	many = min(many, int(limit.Cur-200)/2)
	t.Logf("%d connections", many)
	s := newTarget(t, admission.Limits{})
	for range many {
		c := s.dial()
		defer c.Close()
		if _, err := io.WriteString(c, rawGet("/v1/scores/"+contest)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 2048)); err != nil {
			t.Fatal(err)
		}
	}
	s.mustPost()
	s.wantBounded(many+20, uint64(many)*(20<<10))
}
