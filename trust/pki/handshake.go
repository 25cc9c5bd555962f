package pki

import (
	"crypto/tls"
	"crypto/x509"
)

// ServerName is what members and those who join ask for in a handshake at the port for clients: there the certificate shown may be another,
// which the public knows, and by it they would get the member's.
const ServerName = "member.laurel.internal"

// Answers is how a member takes connections of others: TLS 1.3, with a certificate of a member. That it still is one the caller checks.
func (i *Identity) PeerServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
		// It is required, but VerifyConnection is who refuses, so that the reason is known.
		ClientAuth:             tls.RequestClientCert,
		VerifyConnection:       func(s tls.ConnectionState) error { return i.check(s.PeerCertificates, "") },
		SessionTicketsDisabled: true, // a ticket would outlive the certificate
		Time:                   i.now,
	}
}

// Asks is how a member connects to another: to meant, id@instance, or to any where that is "".
func (i *Identity) PeerClientConfig(meant string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		ServerName:           ServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
		// Members are known by the name in their certificates and not by where they live: VerifyConnection checks it, and the chain.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return i.check(s.PeerCertificates, meant) },
		Time:               i.now,
	}
}

func (i *Identity) check(chain []*x509.Certificate, meant string) error {
	member, err := i.Verify(chain)
	switch {
	case err != nil:
		return err
	case meant != "" && member != meant:
		return refuse(WrongMember, "the certificate is for %q, but %q was meant", member, meant)
	}
	return nil
}
