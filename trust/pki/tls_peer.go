package pki

import (
	"crypto/tls"
	"crypto/x509"
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
		Time:                   i.now,
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
		Time:               i.now,
	}
}

func (i *Identity) check(chain []*x509.Certificate, want string) error {
	member, err := i.Verify(chain)
	switch {
	case err != nil:
		return err
	case want != "" && member != want:
		return refuse(WrongMember, "the certificate is for %q; want %q", member, want)
	}
	return nil
}
