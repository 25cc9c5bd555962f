package httpapi

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
)

func TestHandshakesThatWaitForClientsDoNotBlockOthers(t *testing.T) {
	hello := clientHello(t)
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, Options{TLS: &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}})
		l, front := newPipes(), a.Front()
		go front.Serve(l)
		defer front.Close()
		for range 4 * fastpath.MaxHandshakes {
			c, err := l.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go c.Write(hello) // the next message is the client's
			go io.Copy(io.Discard, c)
		}
		synctest.Wait()
		start := time.Now()
		transport := &http.Transport{DialContext: l.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		c := http.Client{Transport: transport}
		res, err := c.Post("https://127.0.0.1/v1/events", handler.TypeJSON, strings.NewReader(alert("", "")))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if took := time.Since(start); took > 0 || res.StatusCode != http.StatusOK {
			t.Errorf("a post got %s after %s: it waited until other handshakes timed out", res.Status, took)
		}
		// The client closes first: a pipe has no buffer, and two sides that both write their last alert
		// would wait for each other.
		transport.CloseIdleConnections()
		synctest.Wait()
	})
}

// clientHello returns the first message of a TLS client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		_ = tls.Client(a, &tls.Config{InsecureSkipVerify: true}).Handshake() // nobody answers
		a.Close()
	}()
	hello := make([]byte, 16<<10)
	n, err := b.Read(hello) // one write
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

func TestAbandonedHandshakesAreClosed(t *testing.T) {
	s := newTarget(t, admission.Limits{HeaderTimeout: headerTimeout})
	const many = 200
	for range many {
		c := s.dial()
		defer c.Close()
		_, _ = c.Write([]byte{0x16, 3, 1, 2, 0, 1})
	}
	s.mustPost()
	s.wantBounded(2*many+20, many*(60<<10))
	s.eventually("all handshakes are given up", func() bool { return refusals(s.api, "tls_handshake") >= many })
	s.awaitEnd()
}
