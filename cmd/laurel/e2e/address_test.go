package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"

	"laurel/internal/address"
)

// A client goes to another frontend by the URL that the group lists, and compares its host
// with the certificate.
func TestAFrontendIsTrustedAtTheURLThatItPublishes(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "0.0.0.0", "127.0.0.1"} {
		if _, err := address.Of(true, host+":1", machine); err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		g := &group{t: t, dir: filepath.Join(t.TempDir(), host), logs: logs(t)}
		f := g.add()
		_, port, err := net.SplitHostPort(freePort(t))
		if err != nil {
			t.Fatal(err)
		}
		f.secure = true
		f.move(net.JoinHostPort(host, port), freePort(t))
		f.start().waitReady()
		own, err := f.member("f1")
		if err != nil {
			t.Fatal(err)
		}
		want, err := address.Of(true, f.http, machine)
		if err != nil || own.URL != want.String() {
			t.Errorf("listening on %s it publishes %s; want %s (%v)", f.http, own.URL, want, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(get(t, f.url+"/v1/cluster/authority").body)) {
			t.Fatal("the authority's certificate cannot be read")
		}
		c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: want.Hostname()})
		if err != nil {
			t.Errorf("listening on %s it is not trusted at %s: %v", f.http, own.URL, err)
			continue
		}
		c.Close()
	}
}
