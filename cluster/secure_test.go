package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"laurel/cluster/peer"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// fakeCalendar is the clock with which the certificates of a group are checked.
type fakeCalendar struct{ ahead atomic.Int64 }

func (a *fakeCalendar) now() time.Time          { return time.Now().Add(time.Duration(a.ahead.Load())) }
func (a *fakeCalendar) advance(d time.Duration) { a.ahead.Add(int64(d)) }

// secureGroup is a group whose members authenticate each other.
type secureGroup struct {
	*group
	fakeCalendar fakeCalendar
	operator     ed25519.PrivateKey // of a sworn group
	number       uint64             // of the operator's last change
}

func newSecureGroup(t *testing.T, size int, change ...func(*Options)) *secureGroup {
	g := &secureGroup{group: &group{t: t}}
	for range size {
		g.addSecure(change...).start()
	}
	g.settle()
	return g
}

func (g *secureGroup) founder() *pki.Identity { return g.nodes[0].opts.Identity }

// addSecure makes the next node without starting it. The first one founds the group, and the
// others use a join token when they start.
func (g *secureGroup) addSecure(change ...func(*Options)) *node {
	g.t.Helper()
	n := g.add(change...)
	if len(g.nodes) > 1 {
		n.enroll = func() *pki.Identity { return g.enroll(g.options(&n.opts), access.Terms{Nonvoter: n.opts.Nonvoter}) }
	} else {
		var err error
		if n.opts.Identity, err = certificate(&n.opts, nil, g.fakeCalendar.now); err != nil {
			g.t.Fatal(err)
		}
	}
	n.serveTLS()
	return n
}

// enroll returns the identity of one who has used a join token on the terms.
func (g *secureGroup) enroll(who pki.Options, terms access.Terms) (i *pki.Identity) {
	g.t.Helper()
	eventually(g.t, "a join token is used", func() (err error) {
		i, err = g.tryEnroll(who, terms)
		return err
	})
	return i
}

// tryEnroll makes a join token on the terms, and uses it once.
func (g *secureGroup) tryEnroll(who pki.Options, terms access.Terms) (*pki.Identity, error) {
	g.t.Helper()
	key, csr, err := pki.NewRequest(who.Member, who.Hosts)
	if err != nil {
		g.t.Fatal(err)
	}
	issuer := g.master().member().issuer
	var text string
	if g.operator != nil {
		text, err = g.signedToken(terms)
	} else {
		text, err = issuer.NewJoinToken(context.Background(), "operator", time.Hour, 1, terms)
	}
	if err != nil {
		return nil, err
	}
	issued, err := issuer.Enroll(context.Background(), text, csr, who.Member)
	if err != nil {
		return nil, err
	}
	return pki.NewIdentity(who, key, issued)
}

func (g *secureGroup) options(o *Options) pki.Options {
	g.t.Helper()
	who, err := holder(o, g.fakeCalendar.now)
	if err != nil {
		g.t.Fatal(err)
	}
	return who
}

// holder returns the options of a member's identity.
func holder(o *Options, now func() time.Time) (pki.Options, error) {
	member, err := ServerID(o.Dir, o.ID)
	return pki.Options{Dir: filepath.Join(o.Dir, "trust"), Member: member, Hosts: []string{"127.0.0.1"}, Now: now}, err
}

// certificate returns the identity of a member: of the founder if founder is nil, else issued by
// the founder's authority.
func certificate(o *Options, founder *pki.Identity, now func() time.Time) (*pki.Identity, error) {
	who, err := holder(o, now)
	switch {
	case err != nil:
		return nil, err
	case founder == nil:
		return pki.Bootstrap(who)
	}
	return adopt(who, founder.Authority(founder.IssuedBy()), pki.Voter)
}

// adopt returns an identity that somebody with an authority's key has made.
func adopt(who pki.Options, a *pki.Authority, role pki.Role) (*pki.Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issued, err := a.Issue(key.Public(), pki.Holder{Member: who.Member, Role: role, Hosts: who.Hosts}, who.Now())
	if err != nil {
		return nil, err
	}
	return pki.NewIdentity(who, key, issued)
}

// enrollByHand records at the master that the holder of an identity has used a join token.
func enrollByHand(ctx context.Context, m *Member, i *pki.Identity) error {
	key := access.KeyHash(i.Certificate().Leaf.RawSubjectPublicKeyInfo)
	if m.Access().Enrolled(i.Member, key, i.Now()) != nil {
		return nil
	}
	token := pki.NewJoinToken(i.IssuedBy())
	now := i.Now().UTC()
	err := m.ChangeAccess(ctx, access.Change{At: now, By: "operator", JoinToken: &access.JoinToken{
		ID: token.ID, Hash: token.Hash(), Expires: now.Add(time.Hour), Uses: 1,
	}})
	if err != nil {
		return err
	}
	return m.ChangeAccess(ctx, access.Change{At: now, By: i.Member, UseJoinToken: token.ID, JoinKey: key})
}

// serveTLS makes the node's server for clients use TLS with the node's certificate.
func (n *node) serveTLS() {
	n.server.Close()
	n.server = httptest.NewUnstartedServer(n.handler(true))
	n.server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return n.shown.Load().Certificate(), nil
	}}
	n.server.StartTLS()
	n.opts.URL = n.server.URL
}

// refusals returns the number of refusals that the node has counted for a reason.
func (n *node) refusals(reason string) float64 {
	return metric(n.t, n, "laurel_peer_refused_total", reason)
}

// probe asks for the status on the node's peer port over TLS. The error is the refusal.
func probe(n *node, c *tls.Config) error {
	conn, err := tls.Dial("tcp", n.member().Peer(), c)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patient))
	if _, err := fmt.Fprintf(conn, "%cGET /peer/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", peer.ProtocolHTTP); err != nil {
		return err
	}
	b := make([]byte, 256)
	size, err := conn.Read(b)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(b[:size], []byte("HTTP/1.1 200")) {
		return fmt.Errorf("it answered %q", b[:size])
	}
	return nil
}

func (g *secureGroup) expectRefusal(n *node, reason string, c *tls.Config) {
	g.t.Helper()
	before := n.refusals(reason)
	if err := probe(n, c); err == nil {
		g.t.Errorf("%s: it was let in", reason)
	}
	eventually(g.t, "the refusal is counted as "+reason, func() error {
		if n.refusals(reason) <= before {
			return fmt.Errorf("still %v", before)
		}
		return nil
	})
}

func TestOnlyMembersConnectToThePeerPort(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2, unhurried)
	f1, f2 := g.nodes[0], g.nodes[1]
	if err := probe(f1, f2.opts.Identity.PeerClientConfig(string(f1.member().self))); err != nil {
		t.Fatalf("a member was not let in: %v", err)
	}

	none := f2.opts.Identity.PeerClientConfig("")
	none.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return new(tls.Certificate), nil
	}
	g.expectRefusal(f1, pki.NoCertificate, none)

	other, err := pki.NewAuthority(nil, g.fakeCalendar.now())
	if err != nil {
		t.Fatal(err)
	}
	who := g.options(&f2.opts)
	who.Dir = t.TempDir()
	impostor, err := adopt(who, other, pki.Voter)
	if err != nil {
		t.Fatal(err)
	}
	c := impostor.PeerClientConfig("")
	c.VerifyConnection = nil // it would turn away first
	g.expectRefusal(f1, pki.WrongAuthority, c)

	old := f2.opts.Identity.PeerClientConfig("")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := g.founder().Authority(g.founder().IssuedBy())
	h := pki.Holder{Member: who.Member, Role: pki.Voter}
	past, err := authority.Issue(key.Public(), h, g.fakeCalendar.now().Add(-pki.MemberLife-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	old.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: append([][]byte{past.Certificate}, past.Chain...), PrivateKey: key}, nil
	}
	g.expectRefusal(f1, pki.Expired, old)

	weak := f2.opts.Identity.PeerClientConfig("")
	weak.MinVersion, weak.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	g.expectRefusal(f1, "handshake", weak)

	plain, err := net.Dial("tcp", f1.member().Peer())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	before := f1.refusals("handshake")
	fmt.Fprintf(plain, "%cGET /peer/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", peer.ProtocolHTTP)
	eventually(t, "plain text is refused", func() error {
		if f1.refusals("handshake") == before {
			return fmt.Errorf("not counted")
		}
		return nil
	})
}

func TestCertificateOfAnotherMemberIsRefused(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	f1, f2, f3 := g.nodes[0], g.nodes[1], g.nodes[2]
	o := f3.again()
	o.Identity = f2.opts.Identity
	f3.stop()
	if m, err := Start(o); err == nil || !strings.Contains(err.Error(), "the certificate is for") {
		if err == nil {
			m.Close()
		}
		t.Fatalf("f3 with the certificate of f2: %v", err)
	}
	// The others close connections to a server with that certificate at f3's address.
	l, err := tls.Listen("tcp", f3.opts.Peer, f2.opts.Identity.PeerServerConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go c.(*tls.Conn).Handshake()
		}
	}()
	eventually(t, "f1 notices", func() error {
		if f1.refusals(pki.WrongMember) == 0 {
			return fmt.Errorf("nothing counted")
		}
		return nil
	})
}

func TestRemovedMemberIsDisconnectedAtOnceAndTold(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3, steady)
	master := g.master()
	leaver := g.others(master)[0]
	stays := g.others(master)[1]
	down := g.addSecure(steady)
	down.start()
	g.settle()
	eventually(t, "the fourth knows that it is a member", func() error {
		if !down.member().storage.Joined() {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	down.stop()
	id := leaver.member().self
	identity := leaver.opts.Identity

	// An open connection of the leaver.
	open, err := tls.Dial("tcp", stays.member().Peer(), identity.PeerClientConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	fmt.Fprintf(open, "%cGET /peer/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", peer.ProtocolHTTP)
	if _, err := open.Read(make([]byte, 1<<12)); err != nil {
		t.Fatal(err)
	}

	ended := leaver.member().Ended()
	g.remove(leaver.opts.ID, true)
	if err := probe(master, identity.PeerClientConfig("")); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("the master lets it in: %v", err)
	}
	eventually(t, "the others have it out, too", func() error {
		if err := probe(stays, identity.PeerClientConfig("")); err == nil {
			return fmt.Errorf("it is let in")
		}
		return nil
	})
	open.SetReadDeadline(time.Now().Add(patient))
	if _, err := open.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the open connection goes on: %v", err)
	}
	for _, carries := range []byte{peer.ProtocolRaft, peer.ProtocolPush} {
		c, err := tls.Dial("tcp", master.member().Peer(), identity.PeerClientConfig(""))
		if err != nil {
			t.Fatal(err)
		}
		c.Write(peer.Preamble(carries, master.member().self))
		c.SetReadDeadline(time.Now().Add(patient))
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("%c: it is let in: %v", carries, err)
		}
		c.Close()
	}
	select {
	case err := <-ended:
		if err != ErrRemoved {
			t.Errorf("the leaver ends with %v", err)
		}
	case <-time.After(patient):
		t.Error("the leaver does not learn of it")
	}
	leaver.stop()
	if master.refusals("removed") == 0 {
		t.Error("no refusal is counted")
	}

	// A member that was down learns of its removal when it is back.
	g.remove(down.opts.ID, true)
	m := down.start()
	select {
	case err := <-m.Ended():
		if err != ErrRemoved {
			t.Errorf("the one that was down ends with %v", err)
		}
	case <-time.After(patient):
		t.Error("the one that was down does not learn of it")
	}
	down.stop()
	if m := master.member(); !m.auth.Removed(id) {
		t.Errorf("%s is forgotten", id)
	}
}

func TestMemberThatWasDownAcceptsAMasterThatJoinedMeanwhile(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 3))
	sleeper := g.nodes[2]
	sleeper.stop()
	f4 := g.addSecure()
	f4.start()
	g.settle()
	for f4.member() != g.master().member() {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		err := g.master().member().Transfer(ctx, f4.opts.ID)
		cancel()
		if err != nil {
			t.Log(err)
		}
	}
	g.settle()
	g.nodes[0].stop()
	sleeper.start()
	eventually(t, "f2 and f4 and the sleeper go on", func() error {
		if f := sleeper.member().Frontends(); f.Master == "" || len(f.Frontends) != 4 {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	mustPost(t, sleeper, alerts("bard/a", 4, 3))
}

func TestHalfOpenConnectionsKeepNoMemberOut(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	f1 := g.nodes[0]
	f1.stop()
	f1.opts.hooks.handshakeTimeout = time.Hour // so that nobody can wait for their end
	f1.start()
	g.settle()
	for range 3 * peer.MaxHandshakes {
		c, err := net.Dial("tcp", f1.member().Peer())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	f2 := g.addSecure()
	f2.start()
	g.settle()
	eventually(t, "no more than MaxHandshakes of them are open", func() error {
		if closed := f1.refusals("crowded"); closed < 2*peer.MaxHandshakes {
			return fmt.Errorf("only %v were closed", closed)
		}
		return nil
	})
}
