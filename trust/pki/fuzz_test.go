package pki

import (
	"crypto/x509"
	"net/url"
	"testing"
	"time"
)

// FuzzParseRequest checks that a certificate issued for any accepted request is for that
// member and not for an authority. Joining frontends, which are not trusted yet, send
// such requests.
func FuzzParseRequest(f *testing.F) {
	now := time.Date(2032, 7, 23, 12, 0, 0, 0, time.UTC)
	authority, err := NewAuthority(nil, now)
	if err != nil {
		f.Fatal(err)
	}
	for _, hosts := range [][]string{nil, {"127.0.0.1", "::1", "f.example"}} {
		_, csr, err := NewRequest("f2@two", hosts)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(csr)
	}
	f.Fuzz(func(t *testing.T, csr []byte) {
		r, member, err := ParseRequest(csr)
		if err != nil {
			return
		}
		issued, err := authority.Issue(r.PublicKey, Holder{Member: member, Role: Nonvoter}, now)
		if err != nil {
			t.Fatalf("a request of %q is good, and nothing is issued for it: %v", member, err)
		}
		leaf, err := x509.ParseCertificate(issued.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		roots := []*x509.Certificate{authority.Certificate}
		if h, err := verify([]*x509.Certificate{leaf}, roots, now); err != nil || h.Member != member {
			t.Errorf("the certificate is for %q, asked for was %q: %v", h.Member, member, err)
		}
	})
}

// FuzzMemberOf checks that a name that is read from a certificate is written the same
// way, so that two URIs never name one member.
func FuzzMemberOf(f *testing.F) {
	for _, name := range []string{
		"laurel://member/f1/one", "laurel://member/f1/one?x", "laurel://member/f1%2Fone/two",
		"laurel://x@member/f1/one", "spiffe://member/f1/one", "laurel:member/f1/one",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		u, err := url.Parse(name)
		if err != nil {
			return
		}
		member, err := memberOf([]*url.URL{u})
		if err != nil {
			return
		}
		if again, err := nameURI(member); err != nil || again.String() != u.String() {
			t.Errorf("%q names %q, which is written %q: %v", name, member, again, err)
		}
	})
}
