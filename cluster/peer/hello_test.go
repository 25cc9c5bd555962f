package peer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicKey(n byte) ed25519.PublicKey { return testKey(n).Public().(ed25519.PublicKey) }

// identities returns the identities of f1, f2 and f3 in one group.
func identities(t *testing.T) (list []*pki.Identity) {
	t.Helper()
	first, err := pki.Bootstrap(pki.Options{Dir: t.TempDir(), Member: "f1@a"})
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, first)
	for _, member := range []string{"f2@b", "f3@c"} {
		o := pki.Options{Dir: t.TempDir(), Member: member}
		key, _, err := pki.NewRequest(member, nil)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := first.Authority(first.IssuedBy()).Issue(key.Public(), pki.Holder{Member: member, Role: pki.Voter}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		i, err := pki.NewIdentity(o, key, issued)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, i)
	}
	return list
}

// connected returns both ends of a TLS connection between two members.
func connected(t *testing.T, from, to *pki.Identity) (dialed, accepted *conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := &Port{open: map[*conn]struct{}{}}
	end := func(t *tls.Conn, raw net.Conn, peer string) *conn {
		return &conn{Conn: t, raw: raw, port: p, tls: t, peer: pki.Holder{Member: peer}}
	}
	dialed = end(tls.Client(raw, from.PeerClientConfig(to.Member)), raw, to.Member)
	accepted = end(tls.Server(other, to.PeerServerConfig()), other, from.Member)
	shaken := make(chan error, 1)
	go func() { shaken <- accepted.tls.Handshake() }()
	if err := dialed.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(); other.Close() })
	return dialed, accepted
}

func authOf(i *pki.Identity, key byte) *Authenticator {
	return &Authenticator{AuthConfig: AuthConfig{Identity: i, Witness: testKey(key)}}
}

// receive has c read a hello that was sent from the other end.
func receive(t *testing.T, end string, c, other *conn, hello []byte) (*hello, error) {
	t.Helper()
	go other.Write(hello)
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil || first[0] != protocolHello {
		t.Fatalf("the hello begins with %q, %v", first, err)
	}
	return readPeerHello(end, c)
}

func TestAHelloIsForOneConnectionAndOneEndOfIt(t *testing.T) {
	all := identities(t)
	f1, f2, f3 := all[0], all[1], all[2]
	dialed, accepted := connected(t, f3, f2)
	own, err := authOf(f3, 3).appendHello(nil, dials, dialed.tls)
	if err != nil {
		t.Fatal(err)
	}
	h, err := receive(t, dials, accepted, dialed, own)
	if err != nil || !h.key.Equal(publicKey(3)) {
		t.Fatalf("the hello of f3 is %+v, %v", h, err)
	}
	// f2 says to f1 what f3 has said to f2.
	relayed, atF1 := connected(t, f2, f1)
	atF1.peer.Member = f3.Member // by a certificate that it has made
	if _, err := receive(t, dials, atF1, relayed, own); err != errHello {
		t.Errorf("the hello of another connection: %v", err)
	}
	// f2 sends it back, with a certificate in the name of f3.
	dialed.peer.Member = f3.Member
	if _, err := receive(t, accepts, dialed, accepted, own); err != errHello {
		t.Errorf("the hello of the other end: %v", err)
	}
	// f2 says it in the name of f3.
	dialed, accepted = connected(t, f2, f1)
	if own, err = authOf(f2, 3).appendHello(nil, dials, dialed.tls); err != nil {
		t.Fatal(err)
	}
	accepted.peer.Member = f3.Member
	if _, err := receive(t, dials, accepted, dialed, own); err != errHello {
		t.Errorf("the hello of another member: %v", err)
	}
}

// rosterOf returns the state of a sworn group with the operator testKey(9) and f1, whose key is
// testKey(1).
func rosterOf(t testing.TB) *access.State {
	t.Helper()
	s := access.NewState()
	s, _, p := s.ApplySigned(&access.SignedChange{Change: access.Change{
		At: time.Unix(1e9, 0).UTC(), By: "f1", Sworn: &access.SwornChange{Found: &access.Founding{
			Operator: publicKey(9), Name: "getafix", Frontend: access.RosterEntry{Name: "f1", Key: publicKey(1)},
		}},
	}}, access.OldestFormat)
	if p == nil {
		s, _, p = s.Apply(&access.Change{At: time.Unix(1e9, 0).UTC(), By: "f1", Setting: &access.Setting{
			Name: access.SettingLineage, Value: "games",
		}}, access.OldestFormat)
	}
	if p != nil {
		t.Fatal(p)
	}
	return s
}

func signedIn(t testing.TB, by byte, number uint64, name string, key byte) *access.SignedChange {
	t.Helper()
	c, err := access.Sign(testKey(by), "games", number, access.Change{
		At: time.Unix(1e9, 0).UTC(), By: "getafix",
		Sworn: &access.SwornChange{Frontend: &access.RosterEntry{Name: name, Key: publicKey(key)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnlyTheKeyOfTheRosterSpeaksForAFrontend(t *testing.T) {
	s := rosterOf(t)
	s, _, p := s.ApplySigned(signedIn(t, 9, 5, "f2", 2), access.OldestFormat)
	if p != nil {
		t.Fatal(p)
	}
	a := &Authenticator{AuthConfig: AuthConfig{Sworn: func() *access.State { return s }}}
	announces := func(c *access.SignedChange) *hello { return &hello{publicKey(7), c} }
	for what, c := range map[string]struct {
		name string
		h    *hello
		good bool
	}{
		"the founder":                       {"f1", &hello{publicKey(1), nil}, true},
		"one that was signed in":            {"f2", &hello{publicKey(2), nil}, true},
		"without a hello":                   {"f1", new(hello), false},
		"another frontend's key":            {"f1", &hello{publicKey(2), nil}, false},
		"an unknown frontend":               {"f3", &hello{publicKey(7), nil}, false},
		"a newer word of the operator":      {"f1", announces(signedIn(t, 9, 6, "f1", 7)), true},
		"for a frontend that is new":        {"f3", announces(signedIn(t, 9, 6, "f3", 7)), true},
		"an older word of the operator":     {"f1", announces(signedIn(t, 9, 5, "f1", 7)), false},
		"the word of somebody else":         {"f1", announces(signedIn(t, 8, 6, "f1", 7)), false},
		"the word about another frontend":   {"f1", announces(signedIn(t, 9, 6, "f2", 7)), false},
		"the word about another one's key":  {"f1", announces(signedIn(t, 9, 6, "f1", 6)), false},
		"a change that is about no roster":  {"f1", announces(&access.SignedChange{Key: score.KeyID(publicKey(9)), Number: 6}), false},
		"an announcement without any words": {"f1", announces(new(access.SignedChange)), false},
	} {
		if err := a.checkWitness(pki.Holder{Member: c.name + "@x"}, c.h); (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
	}
	a.Sworn = func() *access.State { return nil }
	if err := a.checkWitness(pki.Holder{Member: "f3@x"}, new(hello)); err != nil {
		t.Errorf("in a group that is not sworn: %v", err)
	}
}

func FuzzHello(f *testing.F) {
	text, err := json.Marshal(signedIn(f, 9, 6, "f1", 7))
	if err != nil {
		f.Fatal(err)
	}
	for _, announcement := range [][]byte{nil, text, []byte("{}"), []byte("x")} {
		b := binary.BigEndian.AppendUint16(make([]byte, helloSize-2), uint16(len(announcement)))
		f.Add(append(b, announcement...))
	}
	state := rosterOf(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, valid := range []bool{true, false} {
			h, err := readHello(bytes.NewReader(b), func(ed25519.PublicKey, []byte) bool { return valid })
			switch {
			case err != nil:
			case !valid:
				t.Fatal("a hello without a valid signature is taken")
			case !slices.Equal(h.key, b[:ed25519.PublicKeySize]):
				t.Fatalf("the key is %x", h.key)
			case h.announcement != nil && state.Announces(h.announcement, "f1", h.key):
				if h.announcement.Number <= state.Operators[h.announcement.Key].Number {
					t.Fatalf("an old announcement is believed: %+v", h.announcement)
				}
			}
		}
	})
}
