package cluster

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"laurel/trust/pki"
)

// move gives a node that is stopped further names and addresses.
func (g *secureGroup) move(n *node, hosts ...string) {
	g.t.Helper()
	who := g.options(&n.opts)
	who.Hosts = append(who.Hosts, hosts...)
	var err error
	if n.opts.Identity, err = pki.Open(who); err != nil {
		g.t.Fatal(err)
	}
}

// trustedAt returns an error unless a client that knows only the authorities in roots trusts the node at all hosts.
func trustedAt(n *node, roots *x509.CertPool, hosts ...string) error {
	sent := n.opts.Identity.Certificate()
	others := x509.NewCertPool()
	for _, der := range sent.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		others.AddCert(c)
	}
	var errs []error
	for _, h := range hosts {
		_, err := sent.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: h})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// clientRoots returns what a client of the group has stored.
func (g *secureGroup) clientRoots() *x509.CertPool {
	g.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(g.master().member().issuer.AuthorityPEM()) {
		g.t.Fatal("the group has no authority")
	}
	return roots
}

func (g *secureGroup) awaitTrust(n *node, roots *x509.CertPool, hosts ...string) {
	g.t.Helper()
	eventually(g.t, n.opts.ID+" is trusted", func() error { return trustedAt(n, roots, hosts...) })
}

func TestMembersThatMoveOneByOneAreTrustedAtTheirNewAddresses(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2)
	g.addSecure(func(o *Options) { o.Nonvoter = true }).start()
	g.settle()
	g.holdKeys()
	roots := g.clientRoots()
	for i, n := range g.nodes {
		hosts := []string{fmt.Sprintf("f%d.moved.example", i+1), fmt.Sprintf("127.0.1.%d", i+1)}
		n.stop()
		g.move(n, hosts...)
		if trustedAt(n, roots, hosts...) == nil {
			t.Fatalf("%s is trusted at %q before it has moved", n.opts.ID, hosts)
		}
		n.start()
		g.settle()
		if n.opts.Nonvoter { // it could not make that certificate itself, so an operator must name the host
			as := n.asNew()
			as.URL, as.Voter, hosts = "https://"+hosts[0]+":8001", false, hosts[:1]
			eventually(t, "its host is named", func() error { // it may just be renewing its certificate
				return g.master().member().Join(t.Context(), as, true)
			})
		}
		g.awaitTrust(n, roots, append(hosts, "127.0.0.1")...)
		if missing := n.opts.Identity.MissingHosts(); len(missing) > 0 && !n.opts.Nonvoter {
			t.Errorf("the certificate of %s lacks %q", n.opts.ID, missing)
		}
	}
	mustPost(t, g.nodes[1], alerts("bard/a", 1, 3))
	g.agree(3)
}

func TestGroupThatMovesAllAtOnceIsTrustedAtItsNewAddresses(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	g.holdKeys()
	roots := g.clientRoots()
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		g.move(n, n.opts.ID+".moved.example")
	}
	for _, n := range g.nodes {
		n.start()
	}
	for _, n := range g.nodes {
		g.awaitTrust(n, roots, n.opts.ID+".moved.example")
	}
	g.settle()
	mustPost(t, g.nodes[1], alerts("bard/a", 1, 3))
}

// Members that have moved and do not find each other have no master. An operator must still reach one to see why.
func TestVoterWithoutAMasterIsTrustedAtItsNewAddress(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	g.holdKeys()
	roots := g.clientRoots()
	for _, n := range g.nodes {
		n.stop()
	}
	n := g.nodes[1]
	g.move(n, "alone.example")
	n.start()
	eventually(t, "it is trusted", func() error {
		g.fakeCalendar.advance(time.Second)
		return trustedAt(n, roots, "alone.example")
	})
}

func TestAddressThatIsGoneRenewsNoCertificate(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	n := g.nodes[0]
	n.stop()
	g.move(n, "name.example")
	n.start()
	g.settle()
	roots := g.clientRoots()
	g.awaitTrust(n, roots, "name.example")
	n.stop()
	g.move(n) // without the name
	has := n.opts.Identity.Expires()
	if missing := n.opts.Identity.MissingHosts(); len(missing) > 0 {
		t.Errorf("the certificate lacks %q", missing)
	}
	n.start()
	g.settle()
	// The next one is renewed for its age alone. It keeps the name, which an operator may have allowed.
	g.fakeCalendar.advance(pki.MemberLife*2/3 + time.Hour)
	eventually(t, "it renews", func() error {
		if !n.opts.Identity.Expires().After(has) {
			return errors.New("it has not")
		}
		return nil
	})
	if hosts := n.opts.Identity.CertifiedHosts(); !slices.Contains(hosts, "name.example") {
		t.Errorf("the certificate has %q", hosts)
	}
}
