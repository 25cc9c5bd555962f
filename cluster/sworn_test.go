package cluster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/cluster/sworn"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/operator"
	"laurel/trust/pki"
)

const reasonWitness = "witness"

// newSwornGroup returns a sworn group whose operator is getafix.
func newSwornGroup(t *testing.T, size int, change ...func(*Options)) *secureGroup {
	t.Helper()
	g := &secureGroup{group: &group{t: t}, operator: newWitness(t)}
	g.addSecure(append(slices.Clone(change), func(o *Options) {
		o.Guarded = true
		o.Sworn.Operator, o.Sworn.Name = g.operator.Public().(ed25519.PublicKey), "getafix"
	})...).start()
	g.settle()
	for range size - 1 {
		g.addSworn(slices.Clone(change)...).start()
	}
	g.settle()
	return g
}

// addSworn makes the next node, whose key the operator signs in, without starting it.
func (g *secureGroup) addSworn(change ...func(*Options)) *node {
	g.t.Helper()
	n := g.addSecure(append(change, func(o *Options) { o.Guarded = true })...)
	g.rosterKey(n)
	return n
}

// rosterKey has the operator sign in the key of a node.
func (g *secureGroup) rosterKey(n *node) {
	g.t.Helper()
	key, err := sworn.WitnessKey(n.opts.Dir)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mustSign(access.Change{Sworn: &access.SwornChange{
		Frontend: &access.RosterEntry{Name: n.opts.ID, Key: key.Public().(ed25519.PublicKey)},
	}})
}

// sign returns a change that the operator has signed.
func (g *secureGroup) sign(c access.Change) *access.SignedChange {
	g.t.Helper()
	g.number++
	c.At, c.By = g.fakeCalendar.now().UTC(), "getafix"
	signed, err := access.Sign(g.operator, g.master().member().Lineage(), g.number, c)
	if err != nil {
		g.t.Fatal(err)
	}
	return signed
}

func (g *secureGroup) mustSign(c access.Change) {
	g.t.Helper()
	signed := g.sign(c)
	eventually(g.t, "the change is made", func() error {
		return g.master().member().ChangeSigned(context.Background(), signed)
	})
}

// signedToken returns a join token that the operator has made.
func (g *secureGroup) signedToken(terms access.Terms) (string, error) {
	token := pki.NewJoinToken(g.founder().IssuedBy())
	expires := g.fakeCalendar.now().Add(time.Hour).UTC()
	err := g.master().member().ChangeSigned(context.Background(), g.sign(access.Change{JoinToken: &access.JoinToken{
		ID: token.ID, Hash: token.Hash(), Expires: expires, Uses: 1, Terms: terms,
	}}))
	return token.Text(), err
}

// swornBard returns a bard whose key the operator has granted.
func (g *secureGroup) swornBard(source string) *bardClient {
	g.t.Helper()
	bard := &bardClient{t: g.t, private: newWitness(g.t), lineage: g.master().member().Lineage(), source: source}
	key := bard.private.Public().(ed25519.PublicKey)
	g.mustSign(access.Change{Grant: &access.Grant{
		ID: score.KeyID(key), Name: source, Role: access.RoleBard, Public: key,
	}})
	return bard
}

// proposeEntry appends an entry to the log of the master, as a corrupt one can.
func (g *group) proposeEntry(data []byte) *score.Problem {
	g.t.Helper()
	return g.appendEntry(data).(fsm.Outcome)[0][0].Problem
}

func (g *secureGroup) expectSame(what string, see func(*Member) string) {
	g.t.Helper()
	want := see(g.master().member())
	index := g.master().member().machine.Applied()
	for _, n := range g.running() {
		eventually(g.t, n.opts.ID+" has applied it", func() error {
			if now := n.member().machine.Applied(); now < index {
				return fmt.Errorf("it has applied %d of %d", now, index)
			}
			return nil
		})
		if got := see(n.member()); got != want {
			g.t.Errorf("%s: %s has %s, the master %s", what, n.opts.ID, got, want)
		}
	}
}

func TestACorruptMasterCannotGrantAKeyInASwornGroup(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	master := g.master()
	public := newWitness(t).Public().(ed25519.PublicKey)
	grant := &access.Grant{ID: score.KeyID(public), Name: "bard/impostor", Role: access.RoleBard, Public: public}
	before := len(master.member().Access().Grants)
	unsigned := map[string]access.Change{
		"a bard's key": {Grant: grant},
		"an operator":  {Recover: &access.Recovery{ID: "new", Hash: make([]byte, 32)}},
		"a setting":    {Setting: &access.Setting{Name: access.SettingPrivate, Value: "true"}},
		"a join token": {JoinToken: &access.JoinToken{ID: "j", Hash: make([]byte, 32), Expires: time.Now().Add(time.Hour), Uses: 1}},
	}
	for what, c := range unsigned {
		c.At, c.By = time.Now().UTC(), "getafix"
		data, err := entry.EncodeChange(c)
		if err != nil {
			t.Fatal(err)
		}
		if p := g.proposeEntry(data); p == nil || p.Code != score.Unsigned {
			t.Errorf("%s: %v", what, p)
		}
	}
	forged := g.sign(access.Change{Grant: grant})
	forged.Change.Grant = &access.Grant{ID: grant.ID, Name: "bard/other", Role: access.RoleBard, Public: public}
	data, err := entry.EncodeSigned(forged)
	if err != nil {
		t.Fatal(err)
	}
	if p := g.proposeEntry(data); p == nil || p.Code != score.Unsigned {
		t.Errorf("a change that was altered after it was signed: %v", p)
	}
	g.expectSame("the grants", func(m *Member) string { return fmt.Sprint(len(m.Access().Grants), m.Access().Settings.Private) })
	if now := len(master.member().Access().Grants); now != before {
		t.Errorf("there are %d grants after %d", now, before)
	}
	bard := g.swornBard("bard/cacofonix")
	mustPost(t, g.master(), bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
}

// A voter holds the key of the authority, and so it has a certificate in every name.
func TestACertificateInAnotherFrontendsNameIsRefusedAtThePeerPort(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	g.holdKeys()
	f2, f3 := g.nodes[1], g.nodes[2]
	thief := f2.opts.Identity.Authority(f2.opts.Identity.IssuedBy())
	who := g.options(&f3.opts)
	who.Dir = t.TempDir()
	impostor, err := adopt(who, thief, pki.Voter)
	if err != nil {
		t.Fatal(err)
	}
	attack := newAttacker(t, impostor)
	for _, n := range g.nodes {
		if n == f3 {
			continue
		}
		before := n.refusals(reasonWitness)
		for what, err := range attack.sendRaft(n, f3.member().self, f3.member().Peer()) {
			if err == nil {
				t.Errorf("%s at %s in the name of f3 was answered", what, n.opts.ID)
			}
		}
		attack.pushTo(n)
		for _, path := range []string{postsPath, enroll.KeysPath, enroll.PromotePath, status.Path} {
			err := attack.port.Call(t.Context(), n.member().Peer(), http.MethodPost, path, strings.NewReader("{}"), nil)
			if err == nil || score.CodeOf(err) != "" {
				t.Errorf("%s was answered at %s: %v", path, n.opts.ID, err)
			}
		}
		eventually(t, n.opts.ID+" counts the refusals", func() error {
			if n.refusals(reasonWitness) <= before {
				return errors.New("it has counted none")
			}
			return nil
		})
		// A certificate without a hello is not enough either.
		g.expectRefusal(n, reasonWitness, impostor.PeerClientConfig(""))
	}
	if p := probe(f3, f2.opts.Identity.PeerClientConfig("")); p == nil {
		t.Error("f2 was let in without a hello")
	}
	g.settle()
}

func TestAFrontendThatNoOperatorHasSignedInDoesNotJoin(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 3)
	n := g.addSecure(func(o *Options) { o.Guarded = true })
	n.start()
	eventually(t, "the master refuses it", func() error {
		if g.master().refusals(reasonWitness) == 0 {
			return errors.New("nothing counted")
		}
		return nil
	})
	if _, in := peer.Find(g.master().member().servers(), n.member().self); in {
		t.Error("it is in the group")
	}
	g.rosterKey(n)
	g.settle()
}

// It knew an older roster than the master, of which it can learn the newer one only from the master.
func TestAFrontendThatWasDownBelievesANewKeyThatAnOperatorHasSigned(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	away, changed := g.nodes[3], g.nodes[1]
	away.stop()
	// Three are left, which can commit the change while the key is exchanged.
	if err := os.Remove(filepath.Join(changed.opts.Dir, "witness.key")); err != nil {
		t.Fatal(err)
	}
	g.rosterKey(changed)
	changed.stop()
	changed.start()
	g.settle()
	eventually(t, "the frontend with another key is the master", func() error {
		if changed.member().Master() {
			return nil
		}
		return errors.Join(errors.New("it is not"), g.master().member().Transfer(t.Context(), changed.opts.ID))
	})
	away.start()
	g.settle()
	g.expectSame("the roster", func(m *Member) string { return score.KeyID(m.Access().KeyOf(changed.opts.ID)) })
	if n := away.refusals(reasonWitness); n > 0 {
		t.Errorf("it has refused %v connections", n)
	}
}

// While a state machine is rebuilt it knows no roster.
func TestAFrontendThatRebuildsItsStateRemembersTheRoster(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	g.holdKeys()
	f2, last := g.nodes[1], g.nodes[3]
	who := g.options(&g.nodes[2].opts)
	who.Dir = t.TempDir()
	impostor, err := adopt(who, f2.opts.Identity.Authority(f2.opts.Identity.IssuedBy()), pki.Voter)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range g.nodes {
		n.stop()
	}
	if err := os.Remove(filepath.Join(last.opts.Dir, fsm.File)); err != nil {
		t.Fatal(err)
	}
	last.start()
	if last.member().Access().Settings.Sworn {
		t.Error("the state machine is not rebuilt")
	}
	g.expectRefusal(last, reasonWitness, impostor.PeerClientConfig(""))
	for what, err := range newAttacker(t, impostor).sendRaft(last, raft.ServerID(who.Member), g.nodes[2].opts.Peer) {
		if err == nil {
			t.Errorf("%s was answered", what)
		}
	}
}

func TestAFrontendDoesNotJoinAGroupOfAnotherFounder(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 3)
	founder := operator.Fingerprint(g.operator.Public().(ed25519.PublicKey))
	g.addSworn(func(o *Options) { o.Sworn.Founder = founder }).start()
	g.settle()
	n := g.addSworn(func(o *Options) { o.Sworn.Founder = strings.Repeat("0", len(founder)) })
	n.start()
	select {
	case err := <-n.member().Ended():
		if _, ok := errors.AsType[*sworn.FounderError](err); !ok {
			t.Errorf("it has ended with %v", err)
		}
	case <-time.After(patient):
		t.Error("it goes on")
	}
}
