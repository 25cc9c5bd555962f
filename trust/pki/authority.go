package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Authority is a certificate authority with its private key. It is immutable.
type Authority struct {
	Certificate *x509.Certificate
	// cross is a certificate of the same key, issued by the previous authority, whose
	// certificate is before. Members that do not know this authority yet accept its
	// certificates by it. Both are nil for the first authority.
	cross, before *x509.Certificate
	key           *ecdsa.PrivateKey
}

// NewAuthority makes an authority. If before is not nil, it cross-signs the new one, so
// that members that trust only before accept its certificates.
func NewAuthority(before *Authority, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := authorityTemplate(now)
	if err != nil {
		return nil, err
	}
	// The newer of two authorities must be the later one even if the clocks of their
	// makers differ.
	if before != nil && !template.NotBefore.After(before.Certificate.NotBefore) {
		template.NotBefore = before.Certificate.NotBefore.Add(time.Second)
	}
	a := &Authority{key: key}
	if a.Certificate, err = sign(template, template, key, key); err != nil {
		return nil, err
	}
	if before == nil {
		return a, nil
	}
	if template.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	if template.NotAfter.After(before.Certificate.NotAfter) {
		template.NotAfter = before.Certificate.NotAfter
	}
	a.before = before.Certificate
	a.cross, err = sign(template, before.Certificate, key, before.key)
	return a, err
}

func authorityTemplate(now time.Time) (*x509.Certificate, error) {
	number, err := serial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: number,
		// If two authorities of a group had the same name, chains would be built by
		// trial.
		Subject:               pkix.Name{CommonName: "laurel authority " + strings.ToLower(rand.Text()[:10])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(AuthorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // for the cross certificate of the next authority
	}, nil
}

func serial() (*big.Int, error) { return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) }

func sign(template, parent *x509.Certificate, of, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, of.Public(), by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Fingerprint returns the fingerprint of the authority's certificate.
func (a *Authority) Fingerprint() string { return Fingerprint(a.Certificate) }

// Issue issues the certificate that the member requests in csr.
func (a *Authority) Issue(csr []byte, member string, now time.Time) (*IssuedCertificate, error) {
	r, named, err := ParseRequest(csr)
	switch {
	case err != nil:
		return nil, err
	case named != member:
		return nil, refuse(WrongMember, "the certificate request is for %q, but comes from %q", named, member)
	}
	number, err := serial()
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: number,
		Subject:      pkix.Name{CommonName: member},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(MemberLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         r.URIs,
		DNSNames:     r.DNSNames,
		IPAddresses:  r.IPAddresses,

		BasicConstraintsValid: true,
	}
	if c.NotAfter.After(a.Certificate.NotAfter) {
		c.NotAfter = a.Certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.Certificate, r.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &IssuedCertificate{Certificate: der, Chain: a.chain()}, nil
}

// chain returns the certificates that a member sends with its own. They include those of
// the authorities, for joining frontends, which know only a fingerprint.
func (a *Authority) chain() [][]byte {
	chain := [][]byte{a.Certificate.Raw}
	if a.cross != nil {
		chain = append(chain, a.cross.Raw, a.before.Raw)
	}
	return chain
}

// IssuedCertificate is a new certificate of a member with its chain, the issuer's
// certificate first. All are DER.
type IssuedCertificate struct {
	Certificate []byte   `json:"certificate"`
	Chain       [][]byte `json:"chain"`
	Authorities [][]byte `json:"authorities,omitempty"` // of the group; if empty, those of the chain
}

func (c *IssuedCertificate) all() [][]byte { return append([][]byte{c.Certificate}, c.Chain...) }

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// Encode returns the authority with its private key in PEM.
func (a *Authority) Encode() ([]byte, error) {
	b, err := encodeKey(a.key)
	if err != nil {
		return nil, err
	}
	return append(b, EncodeCertificates(a.chain())...), nil
}

// ParseAuthority parses the result of Encode.
func ParseAuthority(text []byte) (*Authority, error) {
	key, list, err := parsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	if key == nil || len(list) != 1 && len(list) != 3 {
		return nil, errors.New("parse authority: want a private key and one or three certificates")
	}
	a := &Authority{Certificate: list[0], key: key}
	if len(list) == 3 {
		a.cross, a.before = list[1], list[2]
		if !key.PublicKey.Equal(a.cross.PublicKey) || a.cross.CheckSignatureFrom(a.before) != nil {
			return nil, errors.New("parse authority: the cross certificate is not signed by the previous authority")
		}
	}
	if !a.Certificate.IsCA || !key.PublicKey.Equal(a.Certificate.PublicKey) {
		return nil, errors.New("parse authority: the key does not belong to the certificate")
	}
	return a, nil
}

// EncodeCertificates returns certificates (DER) in PEM.
func EncodeCertificates(list [][]byte) []byte {
	var b []byte
	for _, der := range list {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})...)
	}
	return b
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func parsePEM(text []byte) (key *ecdsa.PrivateKey, list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case pemCertificate:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, c)
		case pemKey:
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				// The parser's error might quote the key.
				return nil, nil, errors.New("the private key is damaged")
			}
			ec, ok := parsed.(*ecdsa.PrivateKey)
			if !ok {
				return nil, nil, errors.New("the private key is not an ECDSA key")
			}
			key = ec
		default:
			return nil, nil, fmt.Errorf("unexpected PEM block %q", block.Type)
		}
	}
	return key, list, nil
}

func parseCertificates(list [][]byte) ([]*x509.Certificate, error) {
	parsed := make([]*x509.Certificate, len(list))
	for i, der := range list {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i, err)
		}
		parsed[i] = c
	}
	return parsed, nil
}

// short returns the beginning of a fingerprint, for file names and logs.
func short(fingerprint string) string {
	if _, err := hex.DecodeString(fingerprint); err != nil || len(fingerprint) < 16 {
		return "unknown"
	}
	return fingerprint[:16]
}
