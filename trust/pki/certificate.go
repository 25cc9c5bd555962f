package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Validity of certificates.
const (
	JoinerLife    = time.Hour
	MemberLife    = 90 * 24 * time.Hour
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// RenewWarning is how long before its certificate expires a member warns that it
	// cannot renew it.
	RenewWarning = 30 * 24 * time.Hour
	// backdate is for members whose clocks are behind the issuer's.
	backdate = time.Hour
)

// CertificateError is the reason why a certificate is not accepted. Reason is a label of
// the metric laurel_peer_refused_total.
type CertificateError struct {
	Reason string
	Err    error
}

func (r *CertificateError) Error() string { return r.Err.Error() }
func (r *CertificateError) Unwrap() error { return r.Err }

// Values of CertificateError.Reason.
const (
	NoCertificate  = "no_certificate"
	WrongAuthority = "wrong_authority"
	Expired        = "expired"
	NotMember      = "no_member"    // not the certificate of a member
	WrongMember    = "other_member" // another member's certificate
	WrongRole      = "role"         // it does not permit what its holder asks for
)

func refuse(reason, format string, args ...any) error {
	return &CertificateError{reason, fmt.Errorf(format, args...)}
}

// nameURI returns a member's name as it is in its certificate:
// laurel://member/ID/INSTANCE.
func nameURI(member string) (*url.URL, error) {
	id, instance, ok := strings.Cut(member, "@")
	if !ok || id == "" || instance == "" || strings.ContainsAny(member, "/?#%") {
		return nil, fmt.Errorf("%q is not the name of a member; want id@instance", member)
	}
	return &url.URL{Scheme: "laurel", Host: "member", Path: "/" + id + "/" + instance}, nil
}

func memberOf(uris []*url.URL) (string, error) {
	if len(uris) != 1 || uris[0].Scheme != "laurel" || uris[0].Host != "member" {
		return "", refuse(NotMember, "the certificate is not for a member")
	}
	id, instance, _ := strings.Cut(strings.TrimPrefix(uris[0].Path, "/"), "/")
	member := id + "@" + instance
	if u, err := nameURI(member); err != nil || u.String() != uris[0].String() {
		return "", refuse(NotMember, "the certificate is not for a member, but for %q", uris[0])
	}
	return member, nil
}

// Fingerprint returns the SHA-256 of a certificate in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func certPool(list []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool
}

// verify verifies a chain that begins with a member's certificate against the roots and
// the time. It returns what the certificate states.
func verify(chain, roots []*x509.Certificate, now time.Time) (Holder, error) {
	if len(chain) == 0 {
		return Holder{}, refuse(NoCertificate, "no certificate was sent")
	}
	o := x509.VerifyOptions{
		Roots:         certPool(roots),
		Intermediates: certPool(chain[1:]),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	_, err := chain[0].Verify(o)
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Holder{}, refuse(Expired, "the certificate is valid from %s to %s, but the time here is %s",
			chain[0].NotBefore.Format(time.RFC3339),
			chain[0].NotAfter.Format(time.RFC3339),
			now.UTC().Format(time.RFC3339))
	case err != nil:
		return Holder{}, &CertificateError{WrongAuthority, err}
	}
	// An authority's certificate is not a member's, whatever its name is.
	if chain[0].IsCA {
		return Holder{}, refuse(NotMember, "the certificate is for an authority, not for a member")
	}
	return HolderOf(chain[0])
}

// NewRequest makes a private key and a certificate request for it. hosts are the names
// and IP addresses of the member.
func NewRequest(member string, hosts []string) (key *ecdsa.PrivateKey, csr []byte, err error) {
	name, err := nameURI(member)
	if err != nil {
		return nil, nil, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	names, ips, err := splitHosts(hosts)
	if err != nil {
		return nil, nil, err
	}
	r := &x509.CertificateRequest{URIs: []*url.URL{name}, DNSNames: names, IPAddresses: ips}
	csr, err = x509.CreateCertificateRequest(rand.Reader, r, key)
	return key, csr, err
}

// splitHosts returns the names and the addresses of a list of hosts, each once.
func splitHosts(hosts []string) (names []string, ips []net.IP, err error) {
	for _, h := range hosts {
		switch ip := net.ParseIP(h); {
		case h == "" || namesHost(names, ips, h):
		case ip != nil:
			ips = append(ips, ip)
		default:
			if err := CheckHost(h); err != nil {
				return nil, nil, err
			}
			names = append(names, h)
		}
	}
	if n := len(names) + len(ips); n > MaxHosts {
		return nil, nil, fmt.Errorf("a certificate for %d hosts; the most is %d", n, MaxHosts)
	}
	return names, ips, nil
}

// namesHost reports whether a host, a name or an IP address, is among names and ips.
func namesHost(names []string, ips []net.IP, host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return slices.ContainsFunc(ips, ip.Equal)
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, host) })
}

// ParseRequest parses a certificate request, checks it, and returns the member that it is
// for. The hosts in it are a wish.
func ParseRequest(csr []byte) (r *x509.CertificateRequest, member string, err error) {
	r, err = x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, "", fmt.Errorf("parse certificate request: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, "", fmt.Errorf("the certificate request is not signed by its key: %w", err)
	}
	if key, ok := r.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, "", errors.New("the certificate request has the wrong kind of key; want ECDSA on P-256")
	}
	if len(r.DNSNames)+len(r.IPAddresses) > MaxHosts {
		return nil, "", fmt.Errorf("the certificate request names %d hosts; the most is %d",
			len(r.DNSNames)+len(r.IPAddresses), MaxHosts)
	}
	member, err = memberOf(r.URIs)
	return r, member, err
}
