package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// told is a transport that notes what it is told.
type recordingTransport map[string]string

func (t recordingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t[r.URL.Scheme+"://"+r.URL.Host] = r.Header.Get("Authorization")
	return nil, errors.New("there is nobody")
}

func TestTokenIsToldOnlyWhereNobodyElseHearsIt(t *testing.T) {
	heard := recordingTransport{}
	b := &bearer{"Bearer secret", heard}
	for url, want := range map[string]string{"https://scores.example": "Bearer secret", "http://127.0.0.1:8001": "Bearer secret", "http://[::1]:8001": "Bearer secret",
		"http://localhost:8001": "Bearer secret", "http://scores.example": "", "http://10.0.0.1:8001": "", "http://127.0.0.1.evil.example": ""} {
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.RoundTrip(r); err == nil {
			t.Fatal("it was answered")
		}
		if got := heard[url]; got != want {
			t.Errorf("%s heard %q; want %q", url, got, want)
		}
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s: the caller's request was changed", url)
		}
	}
}

func TestClientTrustsTheAuthorityItIsGiven(t *testing.T) {
	var heard atomic.Value
	heard.Store("")
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Store(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"guarded":true,"grants":[{"id":"a","name":"caesar","role":"operator"}],"join_tokens":[],"authorities":[]}`))
	}))
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c, err := New([]string{s.URL}, Options{Token: "secret", TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	view, err := c.Access(t.Context())
	if err != nil || !view.Guarded || len(view.Grants) != 1 || heard.Load() != "Bearer secret" {
		t.Errorf("got %+v, %v, told %q", view, err, heard.Load())
	}
	c.Close()
	stranger, err := New([]string{s.URL}, Options{Token: "another", Timeout: 200e6})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := stranger.Access(ctx); err == nil || heard.Load() == "Bearer another" {
		t.Errorf("one who does not trust it got %v, and told it %q", err, heard.Load())
	}
}

func TestCertificateThatIsNotTrustedIsToldOnceAndTheClientGoesOn(t *testing.T) {
	said := `{"mode":"push","epoch":1,"master":"f1","frontends":[{"id":"f1","url":"%s","state":"serving"}]}`
	var secure, plain *httptest.Server
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, said, plain.URL)
	})
	secure, plain = httptest.NewUnstartedServer(answers), httptest.NewServer(answers)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is the one that is refused
	secure.StartTLS()
	defer secure.Close()
	defer plain.Close()
	var told, failed atomic.Int64
	c, err := New([]string{secure.URL, plain.URL}, Options{Refresh: time.Millisecond, Notify: func(n Notice) {
		switch {
		case n.Kind == NoticeUntrusted && n.Frontend == secure.URL:
			told.Add(1)
		case n.Kind == NoticeFailed:
			failed.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 5 {
		if _, err := c.Frontends(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.refresh(t.Context())
		c.frontends.mu.Lock()
		for i := range c.frontends.known { // as if it were tried again after a while
			c.frontends.known[i].failed = time.Time{}
		}
		c.frontends.home, c.frontends.current = secure.URL, ""
		c.frontends.mu.Unlock()
	}
	if told.Load() != 1 || failed.Load() != 0 {
		t.Errorf("it was told %d times, and %d other failures; want once, and none", told.Load(), failed.Load())
	}
}
