package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
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

// Identity is a member's certificate with its private key, the authorities that it
// trusts, and those whose private keys it holds. Changes are written to the disk first
// and are used from the next handshake on. An Identity is safe for concurrent use.
type Identity struct {
	Options
	changing sync.Mutex
	state    atomic.Pointer[state]
}

// state is immutable.
type state struct {
	certificate tls.Certificate // with its chain, as it is sent
	issuer      *x509.Certificate
	trusted     []*x509.Certificate   // by the group, as far as known here
	keys        map[string]*Authority // by fingerprint
}

// DirName is the name, in the data directory of a member, of the directory of its identity.
const DirName = "trust"

// DirIn returns the directory of the identity in the data directory of a member.
func DirIn(data string) string { return filepath.Join(data, DirName) }

// Options are the options of an Identity.
type Options struct {
	Dir    string           // created if missing; see DirIn
	Member string           // id@instance
	Hosts  []string         // names and addresses for its certificates
	Now    func() time.Time // by which certificates are verified; time.Now if nil
}

func (o Options) new() *Identity {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Identity{Options: o}
}

// Open reads an identity. The error is fs.ErrNotExist if there is none. An expired
// certificate is not an error, because the member may hold an authority's key or a token
// to get another; see Expires.
func Open(o Options) (*Identity, error) {
	i := o.new()
	s := &state{}
	var h Holder
	var err error
	if s.certificate, s.issuer, h, err = readMember(i.Dir); err != nil {
		return nil, err
	}
	if h.Member != i.Member {
		return nil, fmt.Errorf(
			"the certificate in %s is for %q, but this is %q: it belongs to another data directory",
			i.Dir, h.Member, i.Member)
	}
	if s.trusted, err = readAuthorities(i.Dir); err != nil {
		return nil, err
	}
	if s.keys, err = readKeys(i.Dir); err != nil {
		return nil, err
	}
	i.state.Store(s)
	return i, nil
}

// ReadHolder returns what the certificate in the directory of an identity states. The
// error is fs.ErrNotExist if there is none.
func ReadHolder(dir string) (Holder, error) {
	_, _, h, err := readMember(dir)
	return h, err
}

// Bootstrap makes the group's first authority and the identity of its first member.
func Bootstrap(o Options) (*Identity, error) {
	a, err := NewAuthority(nil, o.new().Now())
	if err != nil {
		return nil, err
	}
	return Found(o, a)
}

// Found makes the identity of the first member of a group with an authority.
func Found(o Options, a *Authority) (*Identity, error) {
	i, err := o.withoutCertificate()
	if err != nil {
		return nil, err
	}
	if err := i.AddKey(a); err != nil {
		return nil, err
	}
	return i, i.issue(a, Holder{i.Member, Voter, i.Hosts})
}

// Rename gives the identity in a directory another name, as the first voter of a group that
// trusts authorities, the last of which issues. If the directory lacks the key of that
// one, the identity has a new authority; IssuedBy tells which. The certificate that it had
// gives the hosts, beside those of the options. Renaming again changes nothing.
func Rename(o Options, authorities [][]byte) (*Identity, error) {
	before, err := ReadHolder(o.Dir)
	if err == nil && before.Member == o.Member {
		return Open(o)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	i, err := o.withoutCertificate()
	if err != nil {
		return nil, err
	}
	var a *Authority
	if n := len(authorities); n > 0 {
		sum := sha256.Sum256(authorities[n-1])
		a = i.Authority(hex.EncodeToString(sum[:]))
	}
	if a == nil {
		if a, err = NewAuthority(nil, i.Now()); err != nil {
			return nil, err
		}
		if err := i.AddKey(a); err != nil {
			return nil, err
		}
		authorities = [][]byte{a.Certificate.Raw}
	}
	for _, host := range before.Hosts {
		if !slices.Contains(i.Hosts, host) && len(i.Hosts) < MaxHosts {
			i.Hosts = append(slices.Clip(i.Hosts), host)
		}
	}
	if err := i.SetTrusted(authorities); err != nil {
		return nil, err
	}
	return i, i.issue(a, Holder{i.Member, Voter, i.Hosts})
}

// NewIdentity makes the identity of a member from its first certificate, or from one that
// replaces an expired certificate. Authority keys in the directory are kept.
func NewIdentity(o Options, key *ecdsa.PrivateKey, issued *IssuedCertificate) (*Identity, error) {
	i, err := o.withoutCertificate()
	if err != nil {
		return nil, err
	}
	if err := i.Install(key, issued); err != nil {
		return nil, err
	}
	trusted := issued.Authorities
	if len(trusted) == 0 {
		trusted = issued.Chain[:1]
	}
	return i, i.SetTrusted(trusted)
}

// withoutCertificate makes the directory and reads the keys of authorities that it has.
func (o Options) withoutCertificate() (*Identity, error) {
	i := o.new()
	if err := os.MkdirAll(i.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory of the keys: %w", err)
	}
	keys, err := readKeys(i.Dir)
	i.state.Store(&state{keys: keys})
	return i, err
}

// change applies f to a copy of the state and stores the copy. The caller must hold
// i.changing.
func (i *Identity) change(f func(*state)) {
	s := *i.state.Load()
	s.keys = maps.Clone(s.keys)
	f(&s)
	i.state.Store(&s)
}

// Install replaces the certificate. The group need not trust the issuer yet.
func (i *Identity) Install(key crypto.PrivateKey, issued *IssuedCertificate) error {
	text, err := encodePair(key, issued.all())
	if err != nil {
		return err
	}
	certificate, issuer, err := parseMember(text)
	if err != nil {
		return fmt.Errorf("parse the new certificate and its chain: %w", err)
	}
	h, err := verify([]*x509.Certificate{certificate.Leaf}, []*x509.Certificate{issuer}, i.Now())
	if err != nil {
		return fmt.Errorf("invalid certificate: %w", err)
	}
	if h.Member != i.Member {
		return fmt.Errorf("the new certificate is for %q; want one for %q", h.Member, i.Member)
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	if err := WritePrivateFile(filepath.Join(i.Dir, memberFile), text); err != nil {
		return fmt.Errorf("store the new certificate: %w", err)
	}
	i.change(func(s *state) { s.certificate, s.issuer = certificate, issuer })
	return nil
}

// Renew issues a new certificate to this member by an authority whose key it holds. It
// has the role of the present one, and the hosts of this member before those of the present
// one.
func (i *Identity) Renew(a *Authority) error {
	h := i.Holder()
	hosts := slices.Clone(i.Hosts)
	for _, old := range h.Hosts {
		if !slices.Contains(hosts, old) && len(hosts) < MaxHosts {
			hosts = append(hosts, old)
		}
	}
	h.Hosts = hosts
	return i.issue(a, h)
}

func (i *Identity) issue(a *Authority, h Holder) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	issued, err := a.Issue(key.Public(), h, i.Now())
	if err != nil {
		return err
	}
	return i.Install(key, issued)
}

// Promote installs a certificate for the present key with a higher role than the present
// certificate has. The group must trust its issuer. A lower role is refused, so that no
// other member can take this one's role away by a certificate.
func (i *Identity) Promote(issued *IssuedCertificate) error {
	chain, err := parseCertificates(issued.all())
	if err != nil {
		return fmt.Errorf("parse the new certificate and its chain: %w", err)
	}
	h, err := i.Verify(chain)
	if err != nil {
		return fmt.Errorf("invalid certificate: %w", err)
	}
	if now := i.Holder(); h.Role < now.Role || h.Role < Nonvoter {
		return fmt.Errorf("the new certificate has the role %s; this frontend is a %s", h.Role, now.Role)
	}
	return i.Install(i.Certificate().PrivateKey, issued)
}

// Holder returns what the present certificate states.
func (i *Identity) Holder() Holder {
	h, _ := HolderOf(i.state.Load().certificate.Leaf) // it was checked when it was installed
	return h
}

// Request makes a new key and a certificate request for it.
func (i *Identity) Request() (*ecdsa.PrivateKey, []byte, error) { return NewRequest(i.Member, i.Hosts) }

// SetTrusted sets the authorities (DER) that the group trusts. The member also trusts the
// issuer of its own certificate: while it replays the group's log from the beginning, the
// group may have trusted others.
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
	return WritePrivateFile(filepath.Join(i.Dir, authoritiesFile), EncodeCertificates(authorities))
}

// AddKey stores an authority with its private key.
func (i *Identity) AddKey(a *Authority) error {
	text, err := a.Encode()
	if err != nil {
		return err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	if err := WritePrivateFile(authorityPath(i.Dir, a.Fingerprint()), text); err != nil {
		return fmt.Errorf("store the key of the authority: %w", err)
	}
	i.change(func(s *state) { s.keys[a.Fingerprint()] = a })
	return nil
}

// DeleteOldKeys deletes the private keys of authorities that are older than all those of
// the group. It keeps newer ones, which the group may not have announced yet.
func (i *Identity) DeleteOldKeys() error {
	i.changing.Lock()
	defer i.changing.Unlock()
	now := i.state.Load()
	for f, a := range now.keys {
		notOlder := func(c *x509.Certificate) bool {
			return !a.Certificate.NotBefore.Before(c.NotBefore)
		}
		if len(now.trusted) == 0 || slices.ContainsFunc(now.trusted, notOlder) {
			continue
		}
		if err := os.Remove(authorityPath(i.Dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the key of an authority that is no longer trusted: %w", err)
		}
		i.change(func(s *state) { delete(s.keys, f) })
	}
	return nil
}

// Authority returns an authority whose key this member holds, or nil.
func (i *Identity) Authority(fingerprint string) *Authority { return i.state.Load().keys[fingerprint] }

// Keys returns the sorted fingerprints of the authorities whose keys this member holds.
func (i *Identity) Keys() []string { return slices.Sorted(maps.Keys(i.state.Load().keys)) }

// IssuedBy returns the fingerprint of the authority that issued the certificate.
func (i *Identity) IssuedBy() string { return Fingerprint(i.state.Load().issuer) }

// Expires returns the time at which the certificate expires.
func (i *Identity) Expires() time.Time { return i.state.Load().certificate.Leaf.NotAfter }

// RenewAt returns the time to renew the certificate: after two thirds of its validity.
func (i *Identity) RenewAt() time.Time {
	leaf := i.state.Load().certificate.Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// CertifiedHosts returns the names and addresses that the certificate has.
func (i *Identity) CertifiedHosts() []string {
	leaf := i.state.Load().certificate.Leaf
	hosts := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

// MissingHosts returns those names and addresses of this member that its certificate does
// not have: clients that use them do not trust it.
func (i *Identity) MissingHosts() (missing []string) {
	leaf := i.state.Load().certificate.Leaf
	for _, h := range i.Hosts {
		if h != "" && !namesHost(leaf.DNSNames, leaf.IPAddresses, h) {
			missing = append(missing, h)
		}
	}
	return missing
}

// Authorities returns the trusted authorities (DER): those of the group, and the issuer
// of the member's own certificate.
func (i *Identity) Authorities() [][]byte {
	var list [][]byte
	for _, c := range i.state.Load().roots() {
		list = append(list, c.Raw)
	}
	return list
}

func (s *state) roots() []*x509.Certificate {
	if slices.ContainsFunc(s.trusted, s.issuer.Equal) {
		return s.trusted
	}
	return append(slices.Clone(s.trusted), s.issuer)
}

// Trusts reports whether certificates by the authority are accepted.
func (i *Identity) Trusts(fingerprint string) bool {
	return slices.ContainsFunc(i.state.Load().roots(), func(c *x509.Certificate) bool {
		return Fingerprint(c) == fingerprint
	})
}

// Verify verifies a chain that begins with a member's certificate and returns what that
// states. The error is a *CertificateError. Verify does not know whether the member still
// is one.
func (i *Identity) Verify(chain []*x509.Certificate) (Holder, error) {
	return verify(chain, i.state.Load().roots(), i.Now())
}

// Certificate returns the certificate that this member sends.
func (i *Identity) Certificate() *tls.Certificate { return &i.state.Load().certificate }
