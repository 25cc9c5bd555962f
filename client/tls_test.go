package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestClientTrustsTheAuthorityItIsGiven(t *testing.T) {
	var sent atomic.Value
	sent.Store("")
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		const view = `{"guarded":true,"grants":[{"id":"a","name":"caesar","role":"operator"}],` +
			`"join_tokens":[],"authorities":[]}`
		_, _ = w.Write([]byte(view))
	}))
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c, err := NewPatient([]string{s.URL}, Options{Token: "secret", TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	view, err := c.Access(t.Context())
	if err != nil || !view.Guarded || len(view.Grants) != 1 || sent.Load() != "Bearer secret" {
		t.Errorf("got %+v, %v; sent %q", view, err, sent.Load())
	}
	c.Close()
	other, err := New([]string{s.URL}, Options{Token: "another", Timeout: 200e6})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := other.Access(ctx); err == nil || sent.Load() == "Bearer another" {
		t.Errorf("a client that does not trust the server got %v, and sent %q", err, sent.Load())
	}
}

func TestUntrustedCertificateIsReportedOnceAndTheClientContinues(t *testing.T) {
	list := `{"mode":"push","epoch":1,"master":"f1","frontends":[{"id":"f1","url":"%s","state":"serving"}]}`
	var secure, plain *httptest.Server
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, list, plain.URL)
	})
	secure, plain = httptest.NewUnstartedServer(answers), httptest.NewServer(answers)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // for the refused handshakes
	secure.StartTLS()
	defer secure.Close()
	defer plain.Close()
	var untrusted, failed atomic.Int64
	// The client's own transport gives up after a second or two, as may be on a busy machine.
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	notify := func(n Notice) {
		switch {
		case n.Kind == NoticeUntrusted && n.Frontend == secure.URL:
			untrusted.Add(1)
		case n.Kind == NoticeFailed:
			failed.Add(1)
		}
	}
	c, err := New([]string{secure.URL, plain.URL}, Options{
		Refresh: time.Millisecond, Timeout: time.Minute, AttemptTimeout: time.Minute,
		Transport: transport, Notify: notify,
	})
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
		for i := range c.frontends.known { // so that it is tried again
			c.frontends.known[i].failed = time.Time{}
		}
		c.frontends.home, c.frontends.current = secure.URL, ""
		c.frontends.mu.Unlock()
	}
	if untrusted.Load() != 1 || failed.Load() != 0 {
		t.Errorf("%d notices of the certificate and %d of other failures; want one, and none",
			untrusted.Load(), failed.Load())
	}
}
