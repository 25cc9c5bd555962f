package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Identity is a member's certificate with its private key, whom it trusts, and the authorities whose private keys it holds. What is
// changed is on the disk first, and holds for the next handshake. It is safe for concurrent use.
type Identity struct {
	dir    string
	member string
	hosts  []string
	now    func() time.Time

	changing sync.Mutex
	state    atomic.Pointer[state]
}

// state does not change.
type state struct {
	certificate *tls.Certificate
	chain       []*x509.Certificate // shown with it; the issuer first
	trusted     []*x509.Certificate // by the group, as far as is known here
	keys        map[string]*Authority
}

// Options say whose identity it is and where it is kept.
type Options struct {
	Dir    string           // made if it is missing
	Member string           // id@instance
	Hosts  []string         // names and addresses under which it is reached, for its certificates
	Now    func() time.Time // nil: time.Now
}

func (o Options) new() (*Identity, error) {
	if _, err := nameURI(o.Member); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Identity{dir: o.Dir, member: o.Member, hosts: o.Hosts, now: o.Now}, nil
}

// Open reads an identity. The error is fs.ErrNotExist where there is none. A certificate that is over is no error: its holder may have
// the authority's key, or a token; see Expired.
func Open(o Options) (*Identity, error) {
	i, err := o.new()
	if err != nil {
		return nil, err
	}
	s := &state{}
	if s.certificate, s.chain, err = readMember(i.dir); err != nil {
		return nil, err
	}
	named, err := MemberOf(s.certificate.Leaf)
	if err != nil || named != i.member {
		return nil, fmt.Errorf("the certificate in %s is for %q, but this is %q: it belongs to another data directory", i.dir, named, i.member)
	}
	if s.trusted, err = readAuthorities(i.dir); err != nil {
		return nil, err
	}
	if s.keys, err = readKeys(i.dir); err != nil {
		return nil, err
	}
	i.state.Store(s)
	return i, nil
}

// Found makes the identity of the first member of a group, and the group's authority.
func Bootstrap(o Options) (*Identity, error) {
	i, err := o.empty()
	if err != nil {
		return nil, err
	}
	a, err := NewAuthority(nil, i.now())
	if err != nil {
		return nil, err
	}
	if err := i.AddKey(a); err != nil {
		return nil, err
	}
	return i, i.renew(a)
}

// Adopt makes the identity of a member that has got its first certificate, or one in the place of a certificate that is over.
func NewIdentity(o Options, key *ecdsa.PrivateKey, issued *IssuedCertificate) (*Identity, error) {
	i, err := o.empty()
	if err != nil {
		return nil, err
	}
	keys, err := readKeys(i.dir)
	if err != nil {
		return nil, err
	}
	i.state.Store(&state{keys: keys})
	if err := i.Install(key, issued); err != nil {
		return nil, err
	}
	trusted := issued.Authorities
	if len(trusted) == 0 {
		trusted = issued.Chain[:1]
	}
	return i, i.SetTrusted(trusted)
}

func (o Options) empty() (*Identity, error) {
	i, err := o.new()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the keys: %w", err)
	}
	i.state.Store(&state{keys: map[string]*Authority{}})
	return i, nil
}

// change makes the next state of a copy of the present one. i.changing must be held.
func (i *Identity) change(f func(*state)) {
	s := *i.state.Load()
	s.keys = maps.Clone(s.keys)
	f(&s)
	i.state.Store(&s)
}

// Install puts a certificate in the place of the present one. The issuer need not be trusted by the group yet.
func (i *Identity) Install(key *ecdsa.PrivateKey, issued *IssuedCertificate) error {
	leaf, err := x509.ParseCertificate(issued.Certificate)
	if err != nil {
		return fmt.Errorf("the new certificate cannot be read: %w", err)
	}
	chain, err := parseCertificates(issued.Chain)
	if err != nil {
		return fmt.Errorf("the new certificate's chain cannot be read: %w", err)
	}
	if len(chain) == 0 {
		return errors.New("the new certificate comes without its issuer's")
	}
	named, err := verify(append([]*x509.Certificate{leaf}, chain...), chain[:1], i.now())
	if err != nil {
		return fmt.Errorf("the new certificate is no good: %w", err)
	}
	if named != i.member || !key.PublicKey.Equal(leaf.PublicKey) {
		return fmt.Errorf("the new certificate is for %q, or for another key; want one for %q", named, i.member)
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	if err := writeMember(i.dir, key, issued); err != nil {
		return fmt.Errorf("keep the new certificate: %w", err)
	}
	c := &tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: append([][]byte{issued.Certificate}, issued.Chain...)}
	i.change(func(s *state) { s.certificate, s.chain = c, chain })
	return nil
}

// Renew gives this member a certificate by an authority whose key it holds itself.
func (i *Identity) Renew(fingerprint string) error {
	a := i.state.Load().keys[fingerprint]
	if a == nil {
		return fmt.Errorf("the key of the authority %s is not here", short(fingerprint))
	}
	return i.renew(a)
}

func (i *Identity) renew(a *Authority) error {
	key, csr, err := i.Request()
	if err != nil {
		return err
	}
	issued, err := a.Issue(csr, i.member, i.now())
	if err != nil {
		return err
	}
	return i.Install(key, issued)
}

// Request asks for a certificate for a new key.
func (i *Identity) Request() (*ecdsa.PrivateKey, []byte, error) { return NewRequest(i.member, i.hosts) }

// Trust says whom the group trusts, in DER. What this member's own certificate was issued by it trusts besides: it may hear the group's
// history from the beginning, when others were trusted.
func (i *Identity) SetTrusted(authorities [][]byte) error {
	list, err := parseCertificates(authorities)
	if err != nil {
		return err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	if slices.EqualFunc(list, i.state.Load().trusted, (*x509.Certificate).Equal) {
		return nil
	}
	i.change(func(s *state) { s.trusted = list })
	return WritePrivateFile(filepath.Join(i.dir, authoritiesFile), EncodeCertificates(authorities))
}

// Hold keeps an authority with its private key.
func (i *Identity) AddKey(a *Authority) error {
	text, err := a.Encode()
	if err != nil {
		return err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	if err := WritePrivateFile(authorityPath(i.dir, a.Fingerprint()), text); err != nil {
		return fmt.Errorf("keep the authority's key: %w", err)
	}
	i.change(func(s *state) { s.keys[a.Fingerprint()] = a })
	return nil
}

// ForgetBefore deletes the private keys of authorities that are older than all of those named, in DER. One that is younger may not have been
// named yet.
func (i *Identity) DeleteKeysBefore(authorities [][]byte) error {
	list, err := parseCertificates(authorities)
	if err != nil || len(list) == 0 {
		return err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	for f, a := range i.state.Load().keys {
		if slices.ContainsFunc(list, func(c *x509.Certificate) bool { return !a.Certificate.NotBefore.Before(c.NotBefore) }) {
			continue
		}
		if err := os.Remove(authorityPath(i.dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the key of an authority that is trusted no more: %w", err)
		}
		i.change(func(s *state) { delete(s.keys, f) })
	}
	return nil
}

// Member is the name, id@instance, of the member.
func (i *Identity) Member() string { return i.member }

// Now is the time by which certificates are judged.
func (i *Identity) Now() time.Time { return i.now() }

// Authority is an authority whose key is here, or nil.
func (i *Identity) Authority(fingerprint string) *Authority { return i.state.Load().keys[fingerprint] }

// Keys are the fingerprints of the authorities whose keys are here, in order.
func (i *Identity) Keys() []string { return slices.Sorted(maps.Keys(i.state.Load().keys)) }

// IssuedBy is the fingerprint of the authority that the certificate is by.
func (i *Identity) IssuedBy() string { return Fingerprint(i.state.Load().chain[0]) }

// Expires is when the certificate ends.
func (i *Identity) Expires() time.Time { return i.state.Load().certificate.Leaf.NotAfter }

// Expired tells whether the certificate is over.
func (i *Identity) Expired() bool { return i.now().After(i.Expires()) }

// RenewAt is when two thirds of the certificate's life are over.
func (i *Identity) RenewAt() time.Time {
	leaf := i.state.Load().certificate.Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// Authorities are those that are trusted, in DER: the group's, and the one that this member's own certificate is by.
func (i *Identity) Authorities() [][]byte {
	var list [][]byte
	for _, c := range i.state.Load().roots() {
		list = append(list, c.Raw)
	}
	return list
}

func (s *state) roots() []*x509.Certificate {
	issuer := s.chain[0]
	if slices.ContainsFunc(s.trusted, issuer.Equal) {
		return s.trusted
	}
	return append(slices.Clone(s.trusted), issuer)
}

// Trusts tells whether certificates by the authority are accepted.
func (i *Identity) Trusts(fingerprint string) bool {
	return slices.ContainsFunc(i.state.Load().roots(), func(c *x509.Certificate) bool { return Fingerprint(c) == fingerprint })
}

// Verify gives the name of the member whose certificate comes first in the chain that somebody has shown. The error is a *CertificateError. That the
// member still is one it does not say.
func (i *Identity) Verify(chain []*x509.Certificate) (member string, err error) {
	return verify(chain, i.state.Load().roots(), i.now())
}

// Certificate is what this member shows.
func (i *Identity) Certificate() *tls.Certificate { return i.state.Load().certificate }

// PEM is the certificates of the authorities that are trusted, for people to hand to clients.
func (i *Identity) PEM() []byte { return EncodeCertificates(i.Authorities()) }
