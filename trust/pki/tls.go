package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// ServerName is the server name that members and joining frontends send in a handshake.
// At the port for clients, which may have another certificate, it selects the certificate
// of the member.
const ServerName = "member.laurel.internal"

// PeerServerConfig returns the configuration for accepting connections of other members:
// TLS 1.3, with a member's certificate. The caller checks that it still is a member.
func (i *Identity) PeerServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
		// A certificate is required, but VerifyConnection enforces it, so that the reason
		// is counted.
		ClientAuth:             tls.RequestClientCert,
		VerifyConnection:       func(s tls.ConnectionState) error { return i.check(s.PeerCertificates, "") },
		SessionTicketsDisabled: true, // a ticket would outlive the certificate
		Time:                   i.Now,
	}
}

// PeerClientConfig returns the configuration for connecting to the member (id@instance),
// or to any member if that is "".
func (i *Identity) PeerClientConfig(member string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return i.Certificate(), nil
		},
		// Members are identified by the name in their certificates, not by their address.
		// VerifyConnection verifies the name and the chain.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return i.check(s.PeerCertificates, member) },
		Time:               i.Now,
	}
}

func (i *Identity) check(chain []*x509.Certificate, want string) error {
	h, err := i.Verify(chain)
	switch {
	case err != nil:
		return err
	case want != "" && h.Member != want:
		return refuse(WrongMember, "the certificate is for %q; want %q", h.Member, want)
	}
	return nil
}

// PublicClientConfig returns the configuration for a connection to the port for clients of
// another member: as clients connect, with the group's present authorities beside those of
// the system.
func (i *Identity) PublicClientConfig() *tls.Config {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, authority := range i.state.Load().roots() {
		roots.AddCert(authority)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Time: i.Now}
}

// PublicConfig returns the configuration for accepting connections of clients: TLS 1.2 or
// later. files is the certificate for them; if nil, the member's own. Members, which ask
// for ServerName, always get the member's own. A client that sends a certificate must be
// a member, and not be removed from the group.
func (i *Identity) PublicConfig(files *Files, removed func(member string) bool) *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		Time:       i.Now,
		ClientAuth: tls.VerifyClientCertIfGiven,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if files == nil || hello.ServerName == ServerName {
				return i.Certificate(), nil
			}
			return files.Certificate()
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			h, err := i.Verify(state.PeerCertificates)
			if err == nil && removed(h.Member) {
				err = refuse("removed", "%q was removed from the group", h.Member)
			}
			return err
		},
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		Time:       i.Now,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := config.Clone()
			current.ClientCAs = certPool(i.state.Load().roots())
			return current, nil
		},
	}
}

const fileCheck = time.Second // between checks for changed files

// Files is a certificate and its key in two PEM files, which are read again when they
// change. It is safe for concurrent use.
type Files struct {
	cert, key string
	failed    func(error)
	roots     *x509.CertPool // of the public authorities; nil means those of the system

	mu      sync.Mutex
	checked time.Time
	seen    [2]time.Time
	loaded  *tls.Certificate
	public  bool
}

// OpenFiles reads a certificate with its chain and its private key. If changed files
// cannot be read, the previous certificate stays in use, and failed is called, once for
// each change.
func OpenFiles(cert, key string, failed func(error)) (*Files, error) {
	f := &Files{cert: cert, key: key, failed: failed}
	f.seen = f.times()
	if err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Files) load() error {
	loaded, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("read the certificate in %s and %s: %w", f.cert, f.key, err)
	}
	f.loaded, f.public = &loaded, f.isPublic(&loaded)
	return nil
}

// isPublic reports whether browsers trust a certificate without being told to: it is by
// an authority that the system knows.
func (f *Files) isPublic(c *tls.Certificate) bool {
	chain, err := parseCertificates(c.Certificate[1:])
	if err != nil {
		return false
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{Roots: f.roots, Intermediates: certPool(chain)})
	return err == nil
}

// Public reports whether the certificate is by an authority that browsers trust.
func (f *Files) Public() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.public
}

func (f *Files) times() (list [2]time.Time) {
	for i, path := range []string{f.cert, f.key} {
		if info, err := os.Stat(path); err == nil {
			list[i] = info.ModTime()
		}
	}
	return list
}

// Certificate returns the certificate. It may be a second older than the files.
func (f *Files) Certificate() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < fileCheck {
		return f.loaded, nil
	}
	f.checked = time.Now()
	if now := f.times(); now != f.seen {
		// A renewal writes one file after the other. Until the second is written they do
		// not fit together; they are then read again.
		f.seen = now
		if err := f.load(); err != nil {
			f.failed(err)
		}
	}
	return f.loaded, nil
}

// Config returns the configuration for accepting connections of clients at a frontend
// without an identity.
func (f *Files) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.Certificate() },
	}
}
