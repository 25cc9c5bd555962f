package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// testGroup is the first member of a group, with a clock.
type testGroup struct {
	t     *testing.T
	at    time.Time
	first *Identity
}

func newTestGroup(t *testing.T) *testGroup {
	w := &testGroup{t: t, at: time.Date(2032, 7, 23, 12, 0, 0, 0, time.UTC)}
	var err error
	if w.first, err = Bootstrap(w.options("f1@one")); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *testGroup) now() time.Time { return w.at }

func (w *testGroup) options(member string) Options {
	return Options{Dir: filepath.Join(w.t.TempDir(), "trust"), Member: member,
		Hosts: []string{"127.0.0.1", "f.example"}, Now: w.now}
}

func (w *testGroup) authority() *Authority { return w.first.Authority(w.first.IssuedBy()) }

func (w *testGroup) request(member string) (*ecdsa.PrivateKey, []byte) {
	w.t.Helper()
	key, csr, err := NewRequest(member, []string{"127.0.0.1"})
	if err != nil {
		w.t.Fatal(err)
	}
	return key, csr
}

// member returns a member with a certificate by the authority.
func (w *testGroup) member(name string, by *Authority) *Identity {
	w.t.Helper()
	o := w.options(name)
	key, _ := w.request(name)
	issued, err := by.Issue(key.Public(), Holder{name, Voter, []string{"127.0.0.1"}}, w.at)
	if err != nil {
		w.t.Fatal(err)
	}
	i, err := NewIdentity(o, key, issued)
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

func (w *testGroup) chain(i *Identity) (list []*x509.Certificate) {
	list, err := parseCertificates(i.Certificate().Certificate)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *testGroup) refused(err error, reason string) {
	w.t.Helper()
	var r *CertificateError
	if !errors.As(err, &r) || r.Reason != reason {
		w.t.Errorf("got %v; want a refusal for %s", err, reason)
	}
}

func TestOnlyMembersOfTheGroupAreAccepted(t *testing.T) {
	w := newTestGroup(t)
	f2 := w.member("f2@two", w.authority())
	if h, err := w.first.Verify(w.chain(f2)); err != nil || h.Member != "f2@two" || h.Role != Voter {
		t.Errorf("a member: %v, %v", h, err)
	}
	_, err := w.first.Verify(nil)
	w.refused(err, NoCertificate)

	other, err := NewAuthority(nil, w.at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.first.Verify(w.chain(w.member("f2@two", other)))
	w.refused(err, WrongAuthority)
	_, err = w.first.Verify([]*x509.Certificate{w.authority().Certificate})
	w.refused(err, NotMember)

	w.at = w.at.Add(MemberLife + time.Minute)
	_, err = w.first.Verify(w.chain(f2))
	w.refused(err, Expired)
	w.at = w.at.Add(-MemberLife - 2*time.Hour)
	_, err = w.first.Verify(w.chain(f2))
	w.refused(err, Expired)
}

func TestMemberCannotIssueCertificates(t *testing.T) {
	w := newTestGroup(t)
	f2 := w.member("f2@two", w.authority())
	forger := &Authority{Certificate: f2.Certificate().Leaf, key: f2.Certificate().PrivateKey}
	key, _ := w.request("f3@three")
	issued, err := forger.Issue(key.Public(), Holder{Member: "f3@three", Role: Voter}, w.at)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(issued.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.first.Verify(append([]*x509.Certificate{leaf}, w.chain(f2)...))
	w.refused(err, WrongAuthority)
}

func TestARequestIsSignedByItsKeyAndNamesAMember(t *testing.T) {
	w := newTestGroup(t)
	_, csr := w.request("f2@two")
	if _, member, err := ParseRequest(csr); err != nil || member != "f2@two" {
		t.Errorf("the request is for %q, %v", member, err)
	}
	csr[len(csr)-1] ^= 1
	if _, _, err := ParseRequest(csr); err == nil {
		t.Error("a request that is not signed by its key was accepted")
	}
	for _, bad := range []string{"", "f2", "@x", "f2@", "f/2@x", "f2@x/y", "f2@x?y"} {
		if _, _, err := NewRequest(bad, nil); err == nil {
			t.Errorf("%q passes for a member's name", bad)
		}
	}
	var many []string
	for i := range MaxHosts + 1 {
		many = append(many, fmt.Sprintf("h%d.example", i))
	}
	if _, _, err := NewRequest("f2@two", many); err == nil {
		t.Errorf("%d hosts were asked for", len(many))
	}
	key, _ := w.request("f2@two")
	if _, err := w.authority().Issue(key.Public(), Holder{"f2@two", Voter, many}, w.at); err == nil {
		t.Errorf("%d hosts were taken", len(many))
	}
}

func TestIdentityIsTheSameAfterARestart(t *testing.T) {
	w := newTestGroup(t)
	again, err := Open(Options{Dir: w.first.Dir, Member: "f1@one", Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if again.IssuedBy() != w.first.IssuedBy() || !slices.Equal(again.Keys(), w.first.Keys()) ||
		!again.Expires().Equal(w.first.Expires()) {
		t.Errorf("got %+v", again)
	}
	if _, err := Open(Options{Dir: w.first.Dir, Member: "f2@two", Now: w.now}); err == nil {
		t.Error("f2 opens the identity of f1")
	}
	if _, err := Open(w.options("f9@nine")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an identity that is not there: %v", err)
	}
	files, err := os.ReadDir(w.first.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	path := filepath.Join(w.first.Dir, memberFile)
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: w.first.Dir, Member: "f1@one", Now: w.now}); err == nil ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestTheNextAuthorityIsAcceptedByMembersThatTrustThePreviousOne(t *testing.T) {
	w := newTestGroup(t)
	old := w.authority()
	asleep := w.member("f2@two", old)
	w.at = w.at.Add(time.Second)
	next, err := NewAuthority(old, w.at)
	if err != nil {
		t.Fatal(err)
	}
	text, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if next, err = ParseAuthority(text); err != nil {
		t.Fatal(err)
	}
	if err := w.first.AddKey(next); err != nil {
		t.Fatal(err)
	}
	if err := w.first.Renew(next); err != nil {
		t.Fatal(err)
	}
	if name, err := asleep.Verify(w.chain(w.first)); err != nil || name.Member != "f1@one" {
		t.Errorf("who slept does not accept the other: %q, %v", name, err)
	}
	if _, err := w.first.Verify(w.chain(asleep)); err == nil {
		t.Error("the new authority alone accepts certificates by the old one")
	}
	both := [][]byte{old.Certificate.Raw, next.Certificate.Raw}
	if err := w.first.SetTrusted(both); err != nil {
		t.Fatal(err)
	}
	if _, err := w.first.Verify(w.chain(asleep)); err != nil {
		t.Errorf("while both are trusted: %v", err)
	}
	if err := w.first.DeleteOldKeys(); err != nil || len(w.first.Keys()) != 2 {
		t.Errorf("a key was deleted too early: %v, %v", w.first.Keys(), err)
	}
	if err := w.first.SetTrusted(both[1:]); err != nil {
		t.Fatal(err)
	}
	if err := w.first.DeleteOldKeys(); err != nil || !slices.Equal(w.first.Keys(), []string{next.Fingerprint()}) {
		t.Errorf("it holds %v, %v", w.first.Keys(), err)
	}
	_, err = w.first.Verify(w.chain(asleep))
	w.refused(err, WrongAuthority)
	if w.first.Trusts(old.Fingerprint()) {
		t.Error("it still trusts the old one")
	}
}

func TestTheOwnIssuerIsAlwaysTrusted(t *testing.T) {
	w := newTestGroup(t)
	other, err := NewAuthority(nil, w.at)
	if err != nil {
		t.Fatal(err)
	}
	f2 := w.member("f2@two", w.authority())
	if err := f2.SetTrusted([][]byte{other.Certificate.Raw}); err != nil { // as in the log that a joining member replays
		t.Fatal(err)
	}
	if _, err := f2.Verify(w.chain(w.first)); err != nil {
		t.Error(err)
	}
}

// handshake runs a handshake between two configurations.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		done <- err
		a.Close()
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	return <-done, clientErr
}

func TestHandshakeIsMutual(t *testing.T) {
	w := newTestGroup(t)
	f2, f3 := w.member("f2@two", w.authority()), w.member("f3@three", w.authority())
	if s, c := handshake(t, w.first.PeerServerConfig(), f2.PeerClientConfig("f1@one")); s != nil || c != nil {
		t.Errorf("two members: %v, %v", s, c)
	}
	_, c := handshake(t, f3.PeerServerConfig(), f2.PeerClientConfig("f1@one"))
	w.refused(c, WrongMember)
	bare := f2.PeerClientConfig("")
	bare.GetClientCertificate = nil
	s, _ := handshake(t, w.first.PeerServerConfig(), bare)
	w.refused(s, NoCertificate)
	old := f2.PeerClientConfig("")
	old.MaxVersion, old.MinVersion = tls.VersionTLS12, tls.VersionTLS12
	if s, _ := handshake(t, w.first.PeerServerConfig(), old); s == nil {
		t.Error("TLS 1.2 was accepted")
	}
	// A stolen certificate, without its key.
	stolen := f2.PeerClientConfig("")
	stolen.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: f3.Certificate().Certificate, PrivateKey: f2.Certificate().PrivateKey}, nil
	}
	if s, _ := handshake(t, w.first.PeerServerConfig(), stolen); s == nil {
		t.Error("a certificate without its key was accepted")
	}
}

func TestClientsNeedNoCertificateButABadOneIsRefused(t *testing.T) {
	w := newTestGroup(t)
	f2 := w.member("f2@two", w.authority())
	out := false
	serves := w.first.PublicConfig(nil, func(member string) bool { return out && member == "f2@two" })
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(EncodeCertificates(w.first.Authorities())) {
		t.Fatal("the authority's certificate cannot be read")
	}
	for _, host := range []string{"f.example", "127.0.0.1"} {
		if s, c := handshake(t, serves, &tls.Config{RootCAs: roots, ServerName: host, Time: w.now}); s != nil ||
			c != nil {
			t.Errorf("%s: %v, %v", host, s, c)
		}
	}
	if s, c := handshake(t, serves, f2.PeerClientConfig("")); s != nil || c != nil {
		t.Errorf("a member: %v, %v", s, c)
	}
	for host, right := range map[string]bool{"f.example": true, "127.0.0.1": true, "g.example": false} {
		reads := f2.PublicClientConfig()
		reads.ServerName = host
		if _, c := handshake(t, serves, reads); (c == nil) != right {
			t.Errorf("a member that reads from %s: %v", host, c)
		}
	}
	out = true
	if s, _ := handshake(t, serves, f2.PeerClientConfig("")); s == nil {
		t.Error("one who was removed was let in")
	}
	other, err := NewAuthority(nil, w.at)
	if err != nil {
		t.Fatal(err)
	}
	unknown := w.member("f2@two", other).PeerClientConfig("")
	unknown.VerifyConnection = nil
	if s, _ := handshake(t, serves, unknown); s == nil {
		t.Error("a certificate by an unknown authority was accepted")
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	w := newTestGroup(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	put := func(i *Identity, at time.Time) {
		b, err := encodePair(i.Certificate().PrivateKey, nil)
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{key: b, cert: EncodeCertificates(i.Certificate().Certificate)} {
			if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(w.first, time.Now().Add(-time.Hour))
	failures := 0
	f, err := OpenFiles(cert, key, func(error) { failures++ })
	if err != nil {
		t.Fatal(err)
	}
	f2 := w.member("f2@two", w.authority())
	put(f2, time.Now())
	f.checked = time.Time{}
	if c, err := f.Certificate(); err != nil || !slices.Equal(c.Certificate[0], f2.Certificate().Certificate[0]) {
		t.Errorf("the old one is shown: %v", err)
	}
	if err := os.WriteFile(cert, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.checked = time.Time{}
		if c, err := f.Certificate(); err != nil || !slices.Equal(c.Certificate[0], f2.Certificate().Certificate[0]) {
			t.Errorf("a damaged file: %v", err)
		}
	}
	if failures != 1 {
		t.Errorf("%d failures were told; want one", failures)
	}
}

func TestACertificateIsPublicIfTheSystemTrustsItsAuthority(t *testing.T) {
	w := &testGroup{t: t, at: time.Now()}
	var err error
	if w.first, err = Bootstrap(w.options("f1@one")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	put := func(i *Identity) {
		t.Helper()
		b, err := encodePair(i.Certificate().PrivateKey, nil)
		if err == nil {
			err = errors.Join(os.WriteFile(key, b, 0o600),
				os.WriteFile(cert, EncodeCertificates(i.Certificate().Certificate), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(w.first)
	f, err := OpenFiles(cert, key, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if f.Public() {
		t.Error("a certificate by the group's own authority is public")
	}
	other, err := NewAuthority(nil, w.at)
	if err != nil {
		t.Fatal(err)
	}
	f.roots = certPool([]*x509.Certificate{w.authority().Certificate})
	for _, one := range []struct {
		by   *Authority
		want bool
	}{{w.authority(), true}, {other, false}, {w.authority(), true}} {
		put(w.member("f2@two", one.by))
		f.checked, f.seen = time.Time{}, [2]time.Time{}
		if _, err := f.Certificate(); err != nil || f.Public() != one.want {
			t.Errorf("after a change of the files: public %t, %v; want %t", f.Public(), err, one.want)
		}
	}
}
