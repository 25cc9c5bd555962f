package cluster

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster/enroll"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// newJoiner returns a frontend without a certificate.
func (g *secureGroup) newJoiner() (n *node, who pki.Options) {
	n = newNode(g.t, fmt.Sprintf("f%d", len(g.nodes)+1))
	return n, g.options(&n.opts)
}

func request(t *testing.T, who pki.Options) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, csr, err := pki.NewRequest(who.Member, who.Hosts)
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

func (g *secureGroup) token(ttl time.Duration, uses int) (text string) {
	g.t.Helper()
	g.askMaster("a join token", func(m *Member) (err error) {
		text, err = m.issuer.NewJoinToken(context.Background(), "operator", ttl, uses, access.Terms{})
		return err
	})
	return text
}

// serveEnrollment adds the route of package httpapi to a node.
func (g *secureGroup) serveEnrollment(n *node) {
	inner := n.server.Config.Handler
	n.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != pki.EnrollPath {
			inner.ServeHTTP(w, r)
			return
		}
		var e pki.EnrollRequest
		err := json.UnmarshalRead(r.Body, &e)
		var issued *pki.IssuedCertificate
		if err == nil {
			issued, err = n.member().issuer.Enroll(r.Context(), e.Token, e.CSR, e.Member)
		}
		if p := (*score.Problem)(nil); errors.As(err, &p) {
			w.WriteHeader(p.Status)
			json.MarshalWrite(w, p)
			return
		}
		json.MarshalWrite(w, issued)
	})
}

func TestFrontendJoinsWithATokenAlone(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	f1 := g.nodes[0]
	g.serveEnrollment(f1)
	text := g.token(time.Hour, 1)
	token, err := pki.ParseJoinToken(text)
	if err != nil {
		t.Fatal(err)
	}
	n, who := g.newJoiner()
	key, csr := request(t, who)
	var issued *pki.IssuedCertificate
	eventually(t, "a certificate is issued", func() error { // again for the same csr takes no further use of the token
		issued, err = pki.Enroll(context.Background(), f1.server.URL, token, who, csr)
		return err
	})
	if n.opts.Identity, err = pki.NewIdentity(who, key, issued); err != nil {
		t.Fatal(err)
	}
	n.opts.Join = []string{f1.server.URL}
	n.serveTLS()
	g.nodes = append(g.nodes, n)
	n.start()
	g.settle()

	// The token is used up.
	_, who = g.newJoiner()
	_, csr = request(t, who)
	eventually(t, "it is answered whether the token works again", func() error {
		_, err = pki.Enroll(context.Background(), f1.server.URL, token, who, csr)
		e := (*pki.EnrollError)(nil)
		if errors.As(err, &e) && e.Temporary() || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	})
	if e := (*pki.EnrollError)(nil); !errors.As(err, &e) || e.Status != http.StatusUnauthorized || e.Temporary() {
		t.Errorf("the token works again: %v", err)
	} else if strings.Contains(err.Error(), token.Secret) {
		t.Errorf("the error tells the secret: %v", err)
	}
	// A token of another group does not reach this one.
	other := token
	other.Fingerprint = strings.Repeat("0", 64)
	eventually(t, "the frontend of the other token's group is asked", func() error {
		_, err = pki.Enroll(context.Background(), f1.server.URL, other, who, csr)
		if errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "not a member of that group") {
		t.Errorf("another group's token: %v", err)
	}
}

func TestInvalidTokensAreRefused(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	m := g.nodes[0].member()
	ctx := context.Background()
	_, who := g.newJoiner()
	_, csr := request(t, who)
	enroll := func(text, member string) error {
		_, err := m.issuer.Enroll(ctx, text, csr, member)
		return err
	}
	over := g.token(time.Minute, 5)
	g.fakeCalendar.advance(2 * time.Minute)
	refused(t, enroll(over, who.Member), score.Unauthorized)

	good := g.token(time.Hour, 5)
	parsed, err := pki.ParseJoinToken(good)
	if err != nil {
		t.Fatal(err)
	}
	forged := pki.NewJoinToken(parsed.Fingerprint)
	forged.ID = parsed.ID
	refused(t, enroll(forged.Text(), who.Member), score.Unauthorized)
	refused(t, enroll(pki.NewJoinToken(parsed.Fingerprint).Text(), who.Member), score.Unauthorized)
	refused(t, enroll("laurel-join-1.x", who.Member), score.Unauthorized)
	// A name is looked at before the token, and before it gets into the log.
	for _, name := range []string{strings.Repeat("x", 4<<20), "f9@" + strings.Repeat("x", 4<<20), "f/9@x", "@x", ""} {
		refused(t, enroll(forged.Text(), name), score.InvalidEvent)
	}
	refused(t, enroll(good, "f9@other"), score.InvalidEvent)
	refused(t, enroll(good, m.opts.Identity.Member), score.InvalidEvent)

	// The id of a member is taken.
	taken := who
	taken.Member = "f1@another"
	_, theirs := request(t, taken)
	_, err = m.issuer.Enroll(ctx, good, theirs, taken.Member)
	refused(t, err, score.IDConflict)

	if err := m.ChangeAccess(ctx, access.Change{By: "operator", Revoke: parsed.ID}); err != nil {
		t.Fatal(err)
	}
	refused(t, enroll(good, who.Member), score.Unauthorized)
	if _, err := m.issuer.NewJoinToken(ctx, "operator", 0, 1, access.Terms{}); err == nil {
		t.Error("a token that is over at once was made")
	}
	if _, err := m.issuer.NewJoinToken(ctx, "operator", time.Hour, 0, access.Terms{}); err == nil {
		t.Error("a token for nobody was made")
	}
}

// The answer to an enrolment may be lost, or its master may not know whether it was
// committed. The frontend asks again.
func TestAnEnrolmentThatIsRepeatedTakesOneUseOfItsToken(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	m := g.nodes[0].member()
	ctx := context.Background()
	_, who := g.newJoiner()
	_, csr := request(t, who)
	for _, uses := range []int{1, 2} {
		text := g.token(time.Hour, uses)
		for range 3 {
			if _, err := m.issuer.Enroll(ctx, text, csr, who.Member); err != nil {
				t.Errorf("a token of %d uses: %v", uses, err)
			}
		}
	}
	// It is for the same frontend, its key and its token only.
	text := g.token(time.Hour, 1)
	_, first := request(t, who)
	if _, err := m.issuer.Enroll(ctx, text, first, who.Member); err != nil {
		t.Fatal(err)
	}
	_, another := request(t, who)
	_, err := m.issuer.Enroll(ctx, text, another, who.Member)
	refused(t, err, score.Unauthorized)
	_, other := g.newJoiner()
	_, theirs := request(t, other)
	_, err = m.issuer.Enroll(ctx, text, theirs, other.Member)
	refused(t, err, score.Unauthorized)
	parsed, err := pki.ParseJoinToken(text)
	if err != nil {
		t.Fatal(err)
	}
	forged := pki.NewJoinToken(parsed.Fingerprint)
	forged.ID = parsed.ID
	_, err = m.issuer.Enroll(ctx, forged.Text(), first, who.Member)
	refused(t, err, score.Unauthorized)
	g.fakeCalendar.advance(2 * time.Hour)
	_, err = m.issuer.Enroll(ctx, text, first, who.Member)
	refused(t, err, score.Unauthorized)
}

func TestEachUseOfATokenAdmitsOneMember(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 1)
	m := g.nodes[0].member()
	text := g.token(time.Hour, 1)
	var in sync.WaitGroup
	let := make(chan string, 8)
	for i := range cap(let) {
		who := pki.Options{Member: fmt.Sprintf("g%d@x", i)}
		_, csr := request(t, who)
		in.Go(func() {
			if _, err := m.issuer.Enroll(context.Background(), text, csr, who.Member); err == nil {
				let <- who.Member
			}
		})
	}
	in.Wait()
	if len(let) != 1 {
		t.Errorf("%d got a certificate with a token for one", len(let))
	}
}

func TestCertificatesRenewThemselves(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2)
	n := g.addSecure(func(o *Options) { o.Nonvoter = true })
	n.start()
	g.settle()
	var first []time.Time
	for _, n := range g.nodes {
		first = append(first, n.opts.Identity.Expires())
	}
	g.fakeCalendar.advance(pki.MemberLife*2/3 + time.Hour)
	for i, n := range g.nodes {
		eventually(t, n.opts.ID+" renews", func() error {
			if now := n.opts.Identity.Expires(); !now.After(first[i]) {
				return fmt.Errorf("it still has the one until %s", now)
			}
			return nil
		})
	}
	// All connections are replaced by those with the new certificates.
	g.fakeCalendar.advance(pki.MemberLife * 2 / 3)
	for _, n := range g.nodes {
		n.member().port.Recheck()
	}
	g.settle()
	mustPost(t, g.nodes[1], alerts("bard/a", 1, 3))
	g.agree(3)
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	err := n.member().port.Call(ctx, g.master().member().Peer(), http.MethodPost, enroll.KeysPath, nil, nil)
	refused(t, err, score.Forbidden)
	if has := n.opts.Identity.Keys(); len(has) > 0 {
		t.Errorf("one without a vote holds keys: %v", has)
	}
}

// Three lifetimes of a certificate pass in a few seconds, while posts go to each member without a pause.
func TestCertificatesRenewUnderAStreamOfPosts(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	g.holdKeys()
	epoch := g.master().member().Frontends().Epoch
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	posted := make([]atomic.Uint64, len(g.nodes))
	var bards sync.WaitGroup
	for i, n := range g.nodes {
		bards.Go(func() {
			for ctx.Err() == nil {
				mustPost(t, n, alerts(fmt.Sprintf("bard/%d", i), posted[i].Load()+1, 1))
				posted[i].Add(1)
			}
		})
	}
	for range 5 {
		last := g.fakeCalendar.now().Add(pki.MemberLife) // when the certificates of now are over, all of them
		g.fakeCalendar.advance(pki.MemberLife*2/3 + time.Hour)
		for _, n := range g.nodes {
			eventually(t, n.opts.ID+" renews", func() error {
				if now := n.opts.Identity.Expires(); !now.After(last) {
					return fmt.Errorf("it still has the one until %s", now)
				}
				return nil
			})
		}
		// The previous certificates have expired by now: no connection may go on with one.
		for _, n := range g.nodes {
			eventually(t, n.opts.ID+" lets go of connections whose certificates are over", func() error {
				if n.member().port.Recheck() {
					return errors.New("some are left")
				}
				return nil
			})
		}
		for i := range posted {
			before := posted[i].Load()
			eventually(t, "posts go on", func() error {
				if posted[i].Load() < before+5 {
					return fmt.Errorf("bard %d stands at %d after %d", i, posted[i].Load(), before)
				}
				return nil
			})
		}
	}
	stop()
	bards.Wait()
	all := uint64(0)
	for i := range posted {
		all += posted[i].Load()
	}
	g.agree(all) // none is lost, none is counted twice
	t.Logf("%d posts; epoch %d, before %d", all, g.master().member().Frontends().Epoch, epoch)
}

func TestGroupComesBackAfterAllCertificatesExpired(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 3))
	g.holdKeys()
	for _, n := range g.nodes {
		n.stop()
	}
	g.fakeCalendar.advance(2 * pki.MemberLife)
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	mustPost(t, g.nodes[2], alerts("bard/a", 4, 3))
}

// holdKeys waits until every voter holds the key of the authority.
func (g *secureGroup) holdKeys() {
	g.t.Helper()
	for _, n := range g.running() {
		if n.opts.Nonvoter {
			continue
		}
		eventually(g.t, n.opts.ID+" holds the key", func() error {
			if n.opts.Identity.Authority(g.founder().IssuedBy()) == nil {
				return fmt.Errorf("it does not")
			}
			return nil
		})
	}
}

func TestAnyMasterCanEnrollAFrontend(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	g.holdKeys()
	g.nodes[0].stop()
	if err := os.RemoveAll(filepath.Join(g.nodes[0].opts.Dir, "trust")); err != nil {
		t.Fatal(err)
	}
	text := g.token(time.Hour, 1)
	_, who := g.newJoiner()
	_, csr := request(t, who)
	g.askMaster("a certificate", func(m *Member) error {
		_, err := m.issuer.Enroll(context.Background(), text, csr, who.Member)
		return err
	})
}

func TestRotationReplacesTheAuthorityUnderLoad(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	n := g.addSecure(func(o *Options) { o.Nonvoter = true })
	n.start()
	g.settle()
	g.holdKeys()
	ctx, stop := context.WithCancel(context.Background())
	posted := make(chan uint64)
	go func() {
		seq := uint64(0)
		for ctx.Err() == nil {
			mustPost(t, g.nodes[1], alerts("bard/load", seq+1, 1))
			seq++
		}
		posted <- seq
	}()
	old := g.founder().IssuedBy()
	oldIdentity := g.options(&g.nodes[0].opts)
	oldIdentity.Dir = t.TempDir()
	thief, err := adopt(oldIdentity, g.founder().Authority(old), pki.Voter)
	if err != nil {
		t.Fatal(err)
	}
	// One member is down while the authority is replaced.
	g.nodes[2].stop()
	g.beginRotation()
	g.refusedByMaster(score.StatusConflict, func(m *Member) error { return m.issuer.RotateAuthority(ctx, "operator") })
	for _, n := range g.running() {
		eventually(t, n.opts.ID+" has a certificate by the new authority", func() error {
			if n.opts.Identity.IssuedBy() == old {
				return errors.New("it has not")
			}
			return nil
		})
	}
	p := g.refusedByMaster(score.StatusConflict, func(m *Member) error { return m.issuer.FinishRotation(ctx, "operator") })
	if !strings.Contains(p.Detail, "f3") {
		t.Errorf("f3 is down, but it says %q", p.Detail)
	}
	g.nodes[2].start()
	g.settle()
	g.finishRotation()
	g.settle()
	stop()
	g.agree(<-posted)
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" trusts the new authority alone", func() error {
			i := n.opts.Identity
			if i.Trusts(old) || len(i.Authorities()) != 1 || i.Authority(old) != nil {
				return fmt.Errorf("it trusts %d; the old one %t; holds its key %t",
					len(i.Authorities()), i.Trusts(old), i.Authority(old) != nil)
			}
			return nil
		})
	}
	c := thief.PeerClientConfig("")
	c.VerifyConnection = nil
	g.expectRefusal(g.nodes[0], pki.WrongAuthority, c)
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
}

func TestTokenDoesNotEnrollAConnectedMember(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	text := g.token(time.Hour, 1)
	master := g.master()
	enroll := func(m *Member, n *node) error {
		_, csr := request(t, pki.Options{Member: n.opts.Identity.Member})
		_, err := m.issuer.Enroll(context.Background(), text, csr, n.opts.Identity.Member)
		return err
	}
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" is connected", func() error {
			if !g.master().member().issuer.Connected(n.member().self) {
				return errors.New("it is not")
			}
			return nil
		})
		g.refusedByMaster(score.IDConflict, func(m *Member) error { return enroll(m, n) })
	}
	// A member may be away because its certificate has expired.
	away := g.others(master)[0]
	away.stop()
	eventually(t, "one that is away gets a certificate", func() error {
		return enroll(g.master().member(), away)
	})
}
