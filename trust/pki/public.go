package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Public says how a frontend speaks TLS with its clients.
type PublicOptions struct {
	// Files has the certificate that clients are shown. nil: the member's own. Other members, who ask for ServerName, are shown that in any case.
	Files *Files
	// Removed tells of a member whether it was removed from the group. Its certificate is refused then. nil: nobody was.
	Removed func(member string) bool
}

// Serves is how a frontend speaks TLS with its clients: 1.2 or later. Who shows a certificate must be a member.
func (i *Identity) PublicConfig(p PublicOptions) *tls.Config {
	var mu sync.Mutex
	var made *tls.Config
	var of *state
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		Time:       i.now,
		// The group's authorities change; the choice is made anew when they do.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			mu.Lock()
			defer mu.Unlock()
			if now := i.state.Load(); of != now {
				made, of = i.serves(p, now), now
			}
			return made, nil
		},
	}
}

func (i *Identity) serves(p PublicOptions, s *state) *tls.Config {
	members := x509.NewCertPool()
	for _, c := range s.roots() {
		members.AddCert(c)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		Time:       i.now,
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  members,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if p.Files == nil || hello.ServerName == ServerName {
				return i.Certificate(), nil
			}
			return p.Files.Certificate()
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			member, err := i.Verify(state.PeerCertificates)
			if err == nil && p.Removed != nil && p.Removed(member) {
				err = refuse("removed", "%q was removed from the group", member)
			}
			return err
		},
	}
}

// fileCheck is how often files are looked at for a change.
const fileCheck = time.Second

// Files is a certificate in two files, in PEM, that is read again when they change. It is safe for concurrent use.
type Files struct {
	cert, key string
	failed    func(error)

	mu      sync.Mutex
	checked time.Time
	seen    []time.Time
	loaded  *tls.Certificate
}

// OpenFiles reads a certificate with its chain, and its private key. failed is told, once for each change, of files that became unreadable; the
// certificate that was read before stays in use then.
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
	f.loaded = &loaded
	return nil
}

func (f *Files) times() []time.Time {
	var list []time.Time
	for _, path := range []string{f.cert, f.key} {
		var at time.Time
		if info, err := os.Stat(path); err == nil {
			at = info.ModTime()
		}
		list = append(list, at)
	}
	return list
}

// Certificate is the one in the files as they were a second ago.
func (f *Files) Certificate() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < fileCheck {
		return f.loaded, nil
	}
	f.checked = time.Now()
	if now := f.times(); !slices.EqualFunc(now, f.seen, time.Time.Equal) {
		// Who renews writes one file after the other: what does not fit together yet is read again when the second has changed.
		f.seen = now
		if err := f.load(); err != nil {
			f.failed(err)
		}
	}
	return f.loaded, nil
}

// Serves is how a frontend without an identity speaks TLS with its clients.
func (f *Files) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.Certificate() },
	}
}
