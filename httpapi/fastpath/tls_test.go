package fastpath

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// headerTimeout is the time limit of handshakes and headers in these tests.
const headerTimeout = time.Second

// patience is how long a test waits for what must happen.
const patience = time.Minute

// certificate returns a certificate for 127.0.0.1 that only the pool trusts.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secureServer serves HTTP and HTTPS at a listener. Answers of net/http have the protocol and
// whether PeerOf reports TLS.
func secureServer(t testing.TB, l net.Listener, failed func(error)) *x509.CertPool {
	t.Helper()
	cert, pool := certificate(t)
	f := &fake{}
	answer := func(w http.ResponseWriter, r *http.Request) {
		how := "in the clear"
		if p := PeerOf(r); p.TLS != nil && p.Near() {
			how = "over TLS"
		}
		_, _ = io.WriteString(w, r.Proto+" "+how)
	}
	h := &http.Server{
		ConnContext:       ConnContext,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler:           http.HandlerFunc(answer),
	}
	s := New(h, f, time.Minute)
	inner := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	choose := func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil }
	s.TLS(&tls.Config{GetConfigForClient: choose}, failed)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return pool
}

// fetch reads the page at a URL from a server at a listener in virtual time.
func fetch(t testing.TB, l *pipes, url string, pool *x509.CertPool, http2 bool) string {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return l.connect("127.0.0.1:1"), nil }}
	defer transport.CloseIdleConnections()
	c := http.Client{Transport: transport, Timeout: patience}
	res, err := c.Get(url)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return string(b)
}

func TestOnePortSpeaksHTTPAndTLSAndHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		pool := secureServer(t, l, func(error) {})
		for _, c := range []struct {
			url   string
			http2 bool
			want  string
		}{
			{"http://127.0.0.1/hot", false, "hot"},
			{"http://127.0.0.1/else", false, "HTTP/1.1 in the clear"},
			{"https://127.0.0.1/hot", false, "hot"},
			{"https://127.0.0.1/else", false, "HTTP/1.1 over TLS"},
			{"https://127.0.0.1/hot", true, "HTTP/2.0 over TLS"},
		} {
			if got := fetch(t, l, c.url, pool, c.http2); got != c.want {
				t.Errorf("%s: got %q; want %q", c.url, got, c.want)
			}
		}
		old := tls.Client(l.connect("127.0.0.1:1"), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1",
			MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
		defer old.Close()
		if err := old.Handshake(); err == nil {
			t.Error("an old TLS was spoken")
		}
	})
}

func TestFailedHandshakeIsReportedAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		l := newPipes()
		pool := secureServer(t, l, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err.Error())
		})
		begun, broken := l.connect("127.0.0.1:1"), l.connect("127.0.0.1:1")
		defer begun.Close()
		defer broken.Close()
		start := time.Now()
		_, _ = begun.Write([]byte{tlsHandshake, 3, 1, 2, 0}) // and nothing more
		_, _ = io.WriteString(broken, string([]byte{tlsHandshake})+strings.Repeat("no hello", 100))
		go io.Copy(io.Discard, broken)
		if got := fetch(t, l, "https://127.0.0.1/hot", pool, false); got != "hot" || time.Since(start) > 0 {
			t.Errorf("got %q meanwhile, after %s", got, time.Since(start))
		}
		_, _ = io.Copy(io.Discard, begun) // until it is closed
		if took := time.Since(start); took != headerTimeout {
			t.Errorf("a handshake was given up after %s; want %s", took, headerTimeout)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 2 {
			t.Errorf("told of %q; want two failures", told)
		}
	})
}

// placed is a connection from a given address.
type placed struct {
	net.Conn
	from net.Addr
}

func (c *placed) RemoteAddr() net.Addr { return c.from }

type placedListener struct {
	*pipes
	from atomic.Pointer[net.TCPAddr]
}

func (l *placedListener) Accept() (net.Conn, error) {
	c, err := l.pipes.Accept()
	if err != nil {
		return nil, err
	}
	return &placed{c, l.from.Load()}, nil
}

func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	l := &placedListener{pipes: newPipes()}
	var refused atomic.Int32
	limited := Limit(l, 100, 2, netip.Addr.IsLoopback, func() { refused.Add(1) })
	accepted := make(chan net.Conn, 16)
	go func() {
		for {
			c, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	defer limited.Close()
	dial := func(from string) (taken bool) {
		addr := netip.MustParseAddrPort(from)
		l.from.Store(net.TCPAddrFromAddrPort(addr))
		before := refused.Load()
		here, there := net.Pipe()
		l.conns <- there
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if refused.Load() > before {
				if _, err := here.Read(make([]byte, 1)); err == nil {
					t.Error("a connection too many was not closed")
				}
				return false
			}
			if len(accepted) > 0 {
				return true
			}
		}
		t.Fatal("nothing happened")
		return false
	}
	take := func(from string) net.Conn {
		t.Helper()
		if !dial(from) {
			t.Fatalf("%s was refused", from)
		}
		return <-accepted
	}
	first := take("192.0.2.1:1")
	take("192.0.2.1:2")
	if dial("192.0.2.1:3") {
		t.Fatal("a third connection was taken")
	}
	take("192.0.2.2:1")
	take("[2001:db8::1]:1")
	take("[2001:db8::2]:1")
	if dial("[2001:db8::3]:1") {
		t.Fatal("another address of the same network was taken")
	}
	for range 5 {
		take("127.0.0.1:1")
	}
	first.Close()
	first.Close()
	take("192.0.2.1:4")
	if dial("192.0.2.1:5") {
		t.Fatal("one place was given back twice")
	}
}
