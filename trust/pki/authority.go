package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Authority is a certificate authority with its private key. It is immutable.
type Authority struct {
	Certificate *x509.Certificate
	// chain is what a member sends with a certificate by this authority, in another order;
	// see parseMember. It begins with the authority's own certificate, for joining
	// frontends, which know only a fingerprint. If there was an authority before, it
	// continues with a certificate of the same key by that one (the cross certificate), and
	// with the certificate of that one, for members and clients that do not know this
	// authority yet.
	chain [][]byte
	key   crypto.PrivateKey
}

// NewAuthority makes an authority. If before is not nil, it cross-signs the new one, so
// that members that trust only before accept its certificates.
func NewAuthority(before *Authority, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// If two authorities of a group had the same name, chains would be built by trial.
	template := newTemplate("laurel authority "+strings.ToLower(rand.Text()[:10]), now, AuthorityLife)
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.IsCA = true
	template.MaxPathLen = 1 // for the cross certificate of the next authority
	// The newer of two authorities must be the later one even if the clocks of their
	// makers differ.
	if before != nil && !template.NotBefore.After(before.Certificate.NotBefore) {
		template.NotBefore = before.Certificate.NotBefore.Add(time.Second)
	}
	own, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	a := &Authority{chain: [][]byte{own}, key: key}
	if a.Certificate, err = x509.ParseCertificate(own); err != nil || before == nil {
		return a, err
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	cross, err := before.sign(template, key.Public())
	a.chain = append(a.chain, cross, before.Certificate.Raw)
	return a, err
}

// newTemplate returns what all certificates have in common.
func newTemplate(name string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		BasicConstraintsValid: true,
	}
}

// sign issues a certificate (DER) that does not outlive the authority's own.
func (a *Authority) sign(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	if template.NotAfter.After(a.Certificate.NotAfter) {
		template.NotAfter = a.Certificate.NotAfter
	}
	return x509.CreateCertificate(rand.Reader, template, a.Certificate, public, a.key)
}

// Fingerprint returns the fingerprint of the authority's certificate.
func (a *Authority) Fingerprint() string { return Fingerprint(a.Certificate) }

// Issue issues the certificate of a public key for a holder. That of a joiner has no
// hosts, and clients accept it from no server.
func (a *Authority) Issue(public crypto.PublicKey, h Holder, now time.Time) (*IssuedCertificate, error) {
	name, err := nameURI(h.Member)
	if err != nil {
		return nil, err
	}
	life, usage := MemberLife, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	if h.Role == Joiner {
		life, usage, h.Hosts = JoinerLife, usage[:1], nil
	}
	template := newTemplate(h.Member, now, life)
	template.Subject.OrganizationalUnit = []string{h.Role.String()}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, usage
	template.URIs = []*url.URL{name}
	if template.DNSNames, template.IPAddresses, err = splitHosts(h.Hosts); err != nil {
		return nil, err
	}
	der, err := a.sign(template, public)
	if err != nil {
		return nil, err
	}
	return &IssuedCertificate{Certificate: der, Chain: a.chain}, nil
}

// IssuedCertificate is a new certificate of a member with its chain, the issuer's
// certificate first. All are DER.
type IssuedCertificate struct {
	Certificate []byte   `json:"certificate"`
	Chain       [][]byte `json:"chain"`
	Authorities [][]byte `json:"authorities,omitempty"` // of the group; if empty, those of the chain
}

func (c *IssuedCertificate) all() [][]byte { return append([][]byte{c.Certificate}, c.Chain...) }

// Encode returns the authority with its private key in PEM.
func (a *Authority) Encode() ([]byte, error) { return encodePair(a.key, a.chain) }

// ParseAuthority parses the result of Encode.
func ParseAuthority(text []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	list, err := parseCertificates(pair.Certificate)
	switch {
	case err != nil:
		return nil, fmt.Errorf("parse authority: %w", err)
	case len(list) != 1 && len(list) != 3:
		return nil, errors.New("parse authority: want one or three certificates")
	case !pair.Leaf.IsCA:
		return nil, errors.New("parse authority: the certificate is not that of an authority")
	case len(list) == 3 && (list[1].CheckSignatureFrom(list[2]) != nil ||
		!bytes.Equal(list[0].RawSubjectPublicKeyInfo, list[1].RawSubjectPublicKeyInfo)):
		return nil, errors.New("parse authority: the cross certificate is not signed by the previous authority")
	}
	return &Authority{pair.Leaf, pair.Certificate, pair.PrivateKey}, nil
}

// EncodeCertificates returns certificates (DER) in PEM.
func EncodeCertificates(list [][]byte) []byte {
	var b []byte
	for _, der := range list {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return b
}

// encodePair returns a private key and its certificate with the chain (DER) in PEM.
// tls.X509KeyPair parses it.
func encodePair(key crypto.PrivateKey, chain [][]byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return append(b, EncodeCertificates(chain)...), nil
}

func parseCertificates(list [][]byte) ([]*x509.Certificate, error) {
	parsed := make([]*x509.Certificate, len(list))
	for i, der := range list { // each must be one certificate
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		parsed[i] = c
	}
	return parsed, nil
}

// short returns the beginning of a fingerprint, for file names and logs.
func short(fingerprint string) string { return fingerprint[:min(16, len(fingerprint))] }
