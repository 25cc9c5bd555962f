package httpapi

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// patience is longer than any answer in these tests takes, on a busy machine, too.
const patience = time.Minute

// dialFor connects to a server. The connection's deadline is after patience.
func dialFor(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// unfinished returns requests that are refused before their bodies have come, by what is
// wrong with them, and the status of each answer.
func unfinished(c *guardedGroup) map[string]int {
	const chunked = "Transfer-Encoding: chunked\r\n\r\n"
	post := func(headers string) string { return "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n" + headers }
	return map[string]int{
		post(isNDJSON + "\r\n" + bearer(c.revoked) + "\r\n" + chunked):                               401,
		post(isNDJSON + "\r\n" + bearer(c.expired) + "\r\n" + chunked + "1\r\n\n\r\n"):               401,
		post(isNDJSON + "\r\n" + bearer(c.revoked) + "\r\nContent-Length: 100000\r\n\r\n[ "):         401,
		post(isNDJSON + "\r\nContent-Encoding: gzip\r\n" + chunked):                                  415,
		post(isJSON + "\r\nContent-Length: 100000000\r\n\r\n["):                                      413,
		post("Content-Type: text/html\r\n" + chunked):                                                415,
		post(isJSON + "\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n" + chunked): 403,
		"POST /v1/nosuch HTTP/1.1\r\nHost: localhost\r\n" + chunked:                                  404,
		"PUT /v1/events HTTP/1.1\r\nHost: localhost\r\n" + chunked:                                   405,
		"DELETE /v1/access/grants/x HTTP/1.1\r\nHost: localhost\r\n" + chunked:                       401,
		"POST /v1/cluster/transfer HTTP/1.1\r\nHost: localhost\r\n" + isJSON + "\r\n" + chunked:      401,
		"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n":                       200,
	}
}

func TestARefusedBodyIsAnsweredAtOnceAndItsConnectionClosed(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	a.admission.Bodies.Timeout = time.Hour
	c := newGuardedGroup(t, g)
	for _, addr := range []string{serveFront(t, a), serve(t, a, a.Handler()).Listener.Addr().String()} {
		for request, status := range unfinished(c) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				conn := dialFor(t, addr)
				_, _ = io.WriteString(conn, request)
				in := bufio.NewReader(conn)
				res, err := http.ReadResponse(in, &http.Request{Method: request[:strings.Index(request, " ")]})
				if err != nil {
					t.Fatalf("%q is not answered: %v", request, err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != status || !res.Close {
					t.Errorf("%q: got %d, close %t, %s %v; want %d and the connection closed",
						request, res.StatusCode, res.Close, body, err, status)
				}
				if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
					t.Errorf("%q: after the answer came %q, %v", request, rest, err)
				}
			})
		}
	}
}

func TestARefusedBodyIsAnsweredAtOnceOverHTTP2(t *testing.T) {
	c, a, _ := guardedServer(t, Options{})
	a.admission.Bodies.Timeout = time.Hour
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server(a.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	client := *s.Client()
	client.Timeout = patience
	for range 3 {
		out, in := io.Pipe()
		defer in.Close()
		r, err := http.NewRequest("POST", s.URL+"/v1/events", out)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.Header.Set("Authorization", "Bearer "+c.revoked.Text())
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != http.StatusUnauthorized || res.Header.Get("Connection") != "" {
			t.Errorf("got %s %s %v", res.Proto, res.Status, res.Header)
		}
	}
}

// A client may send further bytes for as long as it can read the answer.
func TestWhatFollowsARefusedBodyEndsSoon(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	a.admission.Bodies.Timeout = time.Hour
	c := newGuardedGroup(t, g)
	addr := serveFront(t, a)
	conn := dialFor(t, addr)
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\n", isNDJSON,
		bearer(c.revoked))
	for {
		_, err := io.WriteString(conn, "1\r\n\n\r\n")
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection is open for as long as the client sends")
		}
		if err != nil {
			return // the server has closed the connection
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = conn.Read(make([]byte, 512))
	}
}

func TestEveryRequestWithABodyHasAReadDeadline(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	a.admission.Bodies.Timeout = 100 * time.Millisecond
	c := newGuardedGroup(t, g)
	h := a.Handler()
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server(h)
	s.Listener = timedListener{s.Listener}
	s.Start()
	t.Cleanup(s.Close)
	for _, request := range []string{
		"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n" + isJSON + "\r\nContent-Length: 100\r\n\r\n[",
		"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n" + isJSON + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n",
		"POST /v1/cluster/transfer HTTP/1.1\r\nHost: localhost\r\n" + isJSON + "\r\n" + bearer(c.operator) +
			"\r\nContent-Length: 100\r\n\r\n{",
		"POST /v1/access/grants HTTP/1.1\r\nHost: localhost\r\n" + isJSON + "\r\n" + bearer(c.operator) +
			"\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		conn := dialFor(t, s.Listener.Addr().String())
		_, _ = io.WriteString(conn, request)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%q is not answered: %v", request, err)
			continue
		}
		if body, _ := io.ReadAll(res.Body); res.StatusCode != 400 || !bytes.Contains(body, []byte("did not arrive")) {
			t.Errorf("%q: got %d %s", request, res.StatusCode, body)
		}
	}
}

func TestABodyThatWasReadKeepsItsConnection(t *testing.T) {
	_, a := newTestAPI(t, Options{TLS: &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}})
	addr := serve(t, a, a.Handler()).Listener.Addr().String()
	conn := dialFor(t, addr)
	in := bufio.NewReader(conn)
	for _, request := range []struct {
		body   string
		status int
	}{{alert("a", ""), 200}, {"{", 400}, {alert("", "refuse"), 409}, {alert("b", ""), 200}} {
		fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Length: %d\r\n\r\n%s", isJSON,
			len(request.body), request.body)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != request.status || res.Close {
			t.Errorf("%s: got %d, close %t, %s %v", request.body, res.StatusCode, res.Close, body, err)
		}
	}
}
