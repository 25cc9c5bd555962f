package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"laurel/client"
	"laurel/score"
)

// secureServer returns a server over TLS that aborts each request once it has something of its
// body, with the roots that trust it.
func secureServer(t *testing.T) (*httptest.Server, *tls.Config) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		panic(http.ErrAbortHandler)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // for the refused handshakes
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: pool}
}

// listen accepts connections and passes each to serve.
func listen(t *testing.T, serve func(net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			serve(c)
		}
	}()
	return l.Addr().String()
}

func TestAChangeThatWasNotSentIsToldFromOneThatMayHaveBeenApplied(t *testing.T) {
	t.Parallel()
	secure, trusted := secureServer(t)
	answersClear := listen(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") })
	silent := listen(t, func(net.Conn) {})
	closes := listen(t, func(c net.Conn) { c.Close() })
	unsent := map[string]struct {
		url string
		tls *tls.Config
	}{
		"nothing listens":                 {nobody, nil},
		"an untrusted certificate":        {secure.URL, nil},
		"a certificate for another host":  {strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), trusted},
		"no TLS":                          {"https://" + answersClear, nil},
		"a handshake that never ends":     {"https://" + silent, nil},
		"a connection closed at the door": {"https://" + closes, nil},
	}
	for name, u := range unsent {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, client.Options{Timeout: 500 * time.Millisecond, AttemptTimeout: 100 * time.Millisecond, TLS: u.tls}, u.url)
			changes := map[string]error{"leave": second(c.Leave(t.Context(), "f3", false)), "transfer": c.Transfer(t.Context(), "")}
			_, changes["post"] = c.Post(t.Context(), []score.Event{alert("hail")})
			changes["stream"] = streamWithoutAnswer(t, c)
			for what, err := range changes {
				if !errors.As(err, new(*client.UnreachableError)) || score.CodeOf(err) == score.OutcomeUnknown {
					t.Errorf("%s: got %v; want an UnreachableError", what, err)
				}
			}
		})
	}
	t.Run("a connection that breaks after the request", func(t *testing.T) {
		t.Parallel()
		// On a busy machine the first attempt may not be sent in time, so its end, and not a
		// timeout, ends the call.
		ctx, leave := context.WithCancel(t.Context())
		c := newClient(t, withPatience(client.Options{TLS: trusted, Attempted: func(a client.Attempt) {
			if a.Method != http.MethodGet {
				leave()
			}
		}}), secure.URL)
		_, err := c.Post(ctx, []score.Event{alert("hail")})
		if p := wantProblem(t, err, score.OutcomeUnknown); !strings.Contains(p.Detail, "same identity") {
			t.Errorf("got %v; want it to say that the event counts once", p)
		}
		ctx, leave = context.WithCancel(t.Context())
		_, err = c.Leave(ctx, "f3", false)
		leave()
		if p := wantProblem(t, err, score.OutcomeUnknown); strings.Contains(p.Detail, "identity") {
			t.Errorf("got %v; a removal has no identity", p)
		}
		p := wantProblem(t, streamWithoutAnswer(t, c), score.OutcomeUnknown)
		if !strings.Contains(p.Detail, "1 of the events may have been applied or not") {
			t.Errorf("got %v; want the number of events", p)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestFrontendsWithUntrustedCertificatesAreNotAskedUntilTheDeadline(t *testing.T) {
	t.Parallel()
	s, _ := secureServer(t)
	var attempts atomic.Int32
	c := newClient(t, withPatience(client.Options{Timeout: time.Hour, Attempted: func(a client.Attempt) {
		if a.Path != "/v1/frontends" {
			attempts.Add(1)
		}
	}}), s.URL)
	if _, err := c.Score(t.Context(), contest); !errors.As(err, new(*client.UnreachableError)) {
		t.Errorf("got %v; want an UnreachableError", err)
	}
	if got := attempts.Load(); got != 1 {
		t.Errorf("%d attempts; want one", got)
	}
}

// slowRefusal is the transport of a group without a master: each frontend looks for one for
// a while before it refuses.
type slowRefusal time.Duration

func (d slowRefusal) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(time.Duration(d)):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, `{"status":503,"code":"no_master","detail":"no master was found"}`)
	return w.Result(), nil
}

func TestAChangeThatTheGroupRefusesIsNotCutOffByTheDeadline(t *testing.T) {
	for _, timeout := range []time.Duration{3 * time.Second, 4 * time.Second, 10 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c, err := client.New([]string{"http://f1", "http://f2"},
				client.Options{Timeout: timeout, Transport: slowRefusal(2500 * time.Millisecond)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Post(t.Context(), []score.Event{alert("hail")})
			wantProblem(t, err, score.NoMaster)
			wantProblem(t, c.Revoke(t.Context(), "1f0c"), score.NoMaster)
		})
	}
}

func TestAStreamWhoseFrontendsHangMayHaveBeenApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
			if r.Method == http.MethodPost {
				_, _ = r.Body.Read(make([]byte, 1))
			}
			<-r.Context().Done()
			return 0, nil, r.Context().Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		wantProblem(t, streamWithoutAnswer(t, c), score.OutcomeUnknown)
	})
}
