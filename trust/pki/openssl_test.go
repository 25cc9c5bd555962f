package pki

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serveHTTPS serves clients with an identity, at the returned host:port.
func serveHTTPS(t *testing.T, i *Identity) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	notRemoved := func(string) bool { return false }
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(tls.NewListener(l, i.PublicConfig(nil, notRemoved)))
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// foreignClients are programs with a TLS library other than Go's. Each is given a file with
// the trusted authorities and connects to 127.0.0.1.
var foreignClients = []struct {
	program string
	args    func(authorities, addr string) []string
}{
	{"openssl", func(authorities, addr string) []string {
		return []string{"s_client", "-connect", addr, "-CAfile", authorities, "-no-CApath",
			"-verify_return_error", "-verify_ip", "127.0.0.1"}
	}},
	{"openssl", func(authorities, addr string) []string {
		return []string{"s_client", "-connect", addr, "-CAfile", authorities, "-no-CApath",
			"-verify_return_error", "-verify_ip", "127.0.0.1", "-tls1_2"}
	}},
	{"curl", func(authorities, addr string) []string {
		return []string{"--silent", "--show-error", "--max-time", "20", "--output", os.DevNull,
			"--cacert", authorities, "https://" + addr + "/"}
	}},
}

func TestClientsOfOpenSSLGoOnThroughARotation(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed here")
	}
	w := newTestGroup(t)
	w.at = time.Now() // OpenSSL has a clock of its own
	first, err := Bootstrap(w.options("f1@one"))
	if err != nil {
		t.Fatal(err)
	}
	w.first = first
	old := w.authority()
	next, err := NewAuthority(old, w.at)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]byte{
		"old.pem":     EncodeCertificates([][]byte{old.Certificate.Raw}),
		"new.pem":     EncodeCertificates([][]byte{next.Certificate.Raw}),
		"both.pem":    EncodeCertificates([][]byte{old.Certificate.Raw, next.Certificate.Raw}),
		"another.pem": nil,
	}
	if other, err := NewAuthority(nil, w.at); err == nil {
		known["another.pem"] = EncodeCertificates([][]byte{other.Certificate.Raw})
	}
	dir := t.TempDir()
	for name, text := range known {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f1 := w.member("f1@one", old)
	addr := serveHTTPS(t, f1)
	check := func(when string, trusted map[string]bool) {
		t.Helper()
		for _, c := range foreignClients {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Logf("%s is not installed here", c.program)
				continue
			}
			for name, want := range trusted {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				args := c.args(filepath.Join(dir, name), addr)
				out, err := exec.CommandContext(ctx, c.program, args...).CombinedOutput()
				cancel()
				if (err == nil) != want {
					t.Errorf("%s: %s %s with %s: %v; want success %t\n%s", when, c.program, args[0], name, err, want, out)
				}
			}
		}
	}
	check("before", map[string]bool{"old.pem": true, "both.pem": true, "new.pem": false, "another.pem": false})

	if err := f1.SetTrusted([][]byte{old.Certificate.Raw, next.Certificate.Raw}); err != nil {
		t.Fatal(err)
	}
	check("not renewed yet", map[string]bool{"old.pem": true, "both.pem": true})

	if err := f1.Renew(next); err != nil {
		t.Fatal(err)
	}
	check("renewed", map[string]bool{"old.pem": true, "both.pem": true, "new.pem": true, "another.pem": false})

	if err := f1.SetTrusted([][]byte{next.Certificate.Raw}); err != nil {
		t.Fatal(err)
	}
	check("finished", map[string]bool{"old.pem": true, "both.pem": true, "new.pem": true, "another.pem": false})

	// A restarted frontend sends the same.
	again, err := Open(f1.Options)
	if err != nil {
		t.Fatal(err)
	}
	addr = serveHTTPS(t, again)
	check("started again", map[string]bool{"old.pem": true, "new.pem": true, "another.pem": false})
}

func TestTheIssuersOwnCertificateIsSentLast(t *testing.T) {
	w := newTestGroup(t)
	next, err := NewAuthority(w.authority(), w.at)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range w.chain(w.member("f2@two", next)) {
		names = append(names, c.Subject.CommonName+" by "+c.Issuer.CommonName)
	}
	before, after := w.authority().Certificate.Subject.CommonName, next.Certificate.Subject.CommonName
	want := []string{
		"f2@two by " + after,
		after + " by " + before, // the cross certificate
		before + " by " + before,
		after + " by " + after,
	}
	if got := strings.Join(names, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
