package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cluster/enroll"
	"laurel/cluster/internal/hclogger"
	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/cluster/push"
	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// attacker is somebody with a certificate of the group who speaks the protocols of its members.
type attacker struct {
	t    *testing.T
	who  *pki.Identity
	port *peer.Port
	raft *raft.NetworkTransport
}

// newWitness returns the key of a frontend that no roster has.
func newWitness(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAttacker(t *testing.T, who *pki.Identity) *attacker {
	t.Helper()
	auth := peer.NewAuthenticator(peer.AuthConfig{
		Identity: who, Access: access.NewState, Logger: testLog(t), Witness: newWitness(t),
		Servers: func() []raft.Server { return nil }, Leader: func() raft.ServerID { return "" },
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "refused"}, []string{"reason"}),
	})
	auth.Open()
	p, err := peer.Listen(peer.Config{Address: loopback(), ServerID: raft.ServerID(who.Member), Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{t: t, who: who, port: p}
	a.raft = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: p.RaftLayer(patient), MaxPool: 1, Timeout: patient, Logger: hclogger.New(testLog(t), nil),
	})
	t.Cleanup(func() { a.raft.Close(); p.Close() })
	return a
}

// sendRaft sends messages of Raft to a node in the name of a member at an address, and returns the errors.
func (a *attacker) sendRaft(n *node, id raft.ServerID, addr string) (errs map[string]error) {
	m := n.member()
	to, at := m.self, peer.Address(m.self, raft.ServerAddress(m.Peer()))
	h := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(addr)}
	term, last := m.Epoch()+1, entries(m)
	entry := &raft.Log{Index: last + 1, Term: term, Type: raft.LogNoop}
	body := "a state"
	return map[string]error{
		"a heartbeat of the next leader": a.raft.AppendEntries(to, at,
			&raft.AppendEntriesRequest{RPCHeader: h, Term: term}, new(raft.AppendEntriesResponse)),
		"a heartbeat of this leader": a.raft.AppendEntries(to, at,
			&raft.AppendEntriesRequest{RPCHeader: h, Term: m.Epoch()}, new(raft.AppendEntriesResponse)),
		"an entry of the next leader": a.raft.AppendEntries(to, at, &raft.AppendEntriesRequest{
			RPCHeader: h, Term: term, PrevLogEntry: last, PrevLogTerm: m.Epoch(), Entries: []*raft.Log{entry},
		}, new(raft.AppendEntriesResponse)),
		"a candidacy": a.raft.RequestVote(to, at, &raft.RequestVoteRequest{
			RPCHeader: h, Term: term, LastLogIndex: last, LastLogTerm: m.Epoch(), LeadershipTransfer: true,
		}, new(raft.RequestVoteResponse)),
		"a candidacy ahead of time": a.raft.RequestPreVote(to, at, &raft.RequestPreVoteRequest{
			RPCHeader: h, Term: term, LastLogIndex: last, LastLogTerm: m.Epoch(),
		}, new(raft.RequestPreVoteResponse)),
		"a request to stand for election": a.raft.TimeoutNow(to, at,
			&raft.TimeoutNowRequest{RPCHeader: h}, new(raft.TimeoutNowResponse)),
		"a snapshot": a.raft.InstallSnapshot(to, at, &raft.InstallSnapshotRequest{
			RPCHeader: h, SnapshotVersion: raft.SnapshotVersionMax, Term: term, LastLogIndex: last + 9, LastLogTerm: term,
			ConfigurationIndex: 1, Configuration: raft.EncodeConfiguration(raft.Configuration{}), Size: int64(len(body)),
		}, new(raft.InstallSnapshotResponse), strings.NewReader(body)),
	}
}

// attack tries at each member what would harm the group.
func (a *attacker) attack(g *group) {
	a.t.Helper()
	master := g.master()
	for _, n := range g.running() {
		if n.opts.Identity == a.who {
			continue
		}
		for _, id := range []string{a.who.Member, master.serverID()} {
			for what, err := range a.sendRaft(n, raft.ServerID(id), a.port.Addr().String()) {
				if err == nil {
					a.t.Errorf("%s at %s in the name of %s was answered", what, n.opts.ID, id)
				}
			}
		}
		a.pushTo(n)
		for _, path := range []string{postsPath, enroll.KeysPath, enroll.PromotePath} {
			err := a.port.Call(context.Background(), n.member().Peer(), http.MethodPost, path, strings.NewReader("{}"), nil)
			if err == nil {
				a.t.Errorf("%s was answered at %s", path, n.opts.ID)
			}
		}
	}
}

// join answers the master as a new frontend does, and asks it for a vote.
func (a *attacker) join(master *Member) error {
	a.port.HandleHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == status.Path {
			_ = json.MarshalWrite(w, status.Status{
				Member: raft.ServerID(a.who.Member), OldestFormat: access.OldestFormat, NewestFormat: access.NewestFormat,
			})
		}
	}), testLog(a.t))
	body, err := json.Marshal(score.NewMember{
		ID: peer.MemberID(raft.ServerID(a.who.Member)), Peer: a.port.Addr().String(), URL: "https://x", Voter: true,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.port.Call(a.t.Context(), master.Peer(), http.MethodPost, join.MembersPath, bytes.NewReader(body), nil)
}

// pushTo opens a stream as only the master does. The node must close it without an answer.
func (a *attacker) pushTo(n *node) {
	a.t.Helper()
	conn, err := dialAs(a.t, n, a.who)
	if err != nil {
		return
	}
	defer conn.Close()
	hello := &cache.Hello{Epoch: n.member().Epoch(), Master: a.who.Member, Lease: n.member().timings().Lease}
	_, _ = conn.Write(append(peer.Preamble(peer.ProtocolPush, n.member().self), lie(hello)...))
	if answer, err := push.ReadMessage(bufio.NewReader(conn)); err == nil {
		a.t.Errorf("%s answered a stream with %+v", n.opts.ID, answer)
	}
}

// checkUnharmed attacks a group while it is used. Afterwards no member has gone, there is no event that was not
// posted, no answer is old, and the master is the same.
func checkUnharmed(t *testing.T, g *group, attack func()) {
	t.Helper()
	members, revision := len(g.master().member().servers()), g.master().member().machine.Revision()
	// A busy machine may lose the master by itself. An attack that costs it its office does so each
	// time.
	eventually(t, "the master stays the master", func() error {
		m := g.master().member()
		epoch := m.Epoch()
		attack()
		if now := g.master().member(); len(now.servers()) != members || now.machine.Revision() != revision {
			t.Errorf("there are %d members after %d, and revision %d after %d",
				len(now.servers()), members, now.machine.Revision(), revision)
		}
		if !m.Master() || m.Epoch() != epoch {
			return fmt.Errorf("it leads is %t, in epoch %d after %d", m.Master(), m.Epoch(), epoch)
		}
		return nil
	})
	for i, n := range g.running() {
		checkRuns(t, n)
		checkShowsAcked(t, g, n, revision+uint64(i)+1)
	}
}

// attackedGroup returns a group of three voters and a non-voter.
func attackedGroup(t *testing.T) (g *secureGroup, nonvoter *node) {
	g = newSecureGroup(t, 3)
	nonvoter = g.addSecure(func(o *Options) { o.Nonvoter = true })
	nonvoter.start()
	g.settle()
	g.holdKeys()
	return g, nonvoter
}

func (g *secureGroup) outsider(member string) pki.Options {
	return pki.Options{Dir: g.t.TempDir(), Member: member, Hosts: []string{"www.example.com"}, Now: g.fakeCalendar.now}
}

func TestAHolderOfAJoinTokenThatNeverJoinsHarmsNobody(t *testing.T) {
	t.Parallel()
	g, _ := attackedGroup(t)
	who := g.enroll(g.outsider("g1@outside"), access.Terms{})
	checkUnharmed(t, g.group, func() { newAttacker(t, who).attack(g.group) })
	if h := who.Holder(); h.Role != pki.Joiner || len(h.Hosts) > 0 {
		t.Errorf("its certificate is %+v", h)
	}
}

func TestANonvoterHarmsNobodyAndGivesItselfNoVote(t *testing.T) {
	t.Parallel()
	g, nonvoter := attackedGroup(t)
	checkUnharmed(t, g.group, func() { newAttacker(t, nonvoter.opts.Identity).attack(g.group) })
	p := g.refusedByMaster(score.Forbidden, func(m *Member) error { return m.Join(t.Context(), nonvoter.asNew(), false) })
	if p.Field != "voter" {
		t.Errorf("the problem is about %q", p.Field)
	}
	eventually(t, "an operator gives it a vote", func() error {
		return g.master().member().Join(t.Context(), nonvoter.asNew(), true)
	})
	eventually(t, "it has a voter's certificate", func() error {
		if role := nonvoter.opts.Identity.Holder().Role; role != pki.Voter {
			return fmt.Errorf("it is a %s", role)
		}
		return nil
	})
}

// A voter that was removed holds the authority's key, with which it can make certificates.
func TestARemovedVoterThatMakesCertificatesHarmsNobody(t *testing.T) {
	t.Parallel()
	g, _ := attackedGroup(t)
	gone := g.addSecure()
	gone.start()
	g.settle()
	g.holdKeys()
	thief := gone.opts.Identity.Authority(gone.opts.Identity.IssuedBy())
	g.remove(gone.opts.ID, true)
	gone.stop()
	for _, n := range g.running() {
		eventually(t, n.opts.ID+" knows of the removal and of the key", func() error {
			holders := n.member().Frontends().KeyHolders
			if !n.member().Removed(gone.opts.Identity.Member) || !slices.Equal(holders, []string{gone.opts.ID}) ||
				n.metric("laurel_authority_key_holders", "") != 1 {
				return fmt.Errorf("it knows %q", holders)
			}
			return nil
		})
	}
	made := map[string]*pki.Identity{"its own name": gone.opts.Identity}
	for what, role := range map[string]pki.Role{"a voter": pki.Voter, "a non-voter": pki.Nonvoter} {
		who, err := adopt(g.outsider("g1@"+strings.ReplaceAll(what, " ", "")), thief, role)
		if err != nil {
			t.Fatal(err)
		}
		made[what] = who
	}
	for what, who := range made {
		t.Log(what)
		checkUnharmed(t, g.group, func() { newAttacker(t, who).attack(g.group) })
	}
	joiner, err := adopt(g.outsider("g1@joiner"), thief, pki.Joiner)
	if err != nil {
		t.Fatal(err)
	}
	made["a joiner"] = joiner
	for what, who := range made {
		checkUnharmed(t, g.group, func() {
			p := g.refusedByMaster(score.Forbidden, func(m *Member) error { return newAttacker(t, who).join(m) })
			if what != "its own name" && !strings.Contains(p.Detail, "no join token") {
				t.Errorf("%s is refused with %v", what, p)
			}
		})
	}
	g.rotate()
	for what, who := range made {
		if conn, err := dialAs(t, g.master(), who); err == nil {
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%s: after the rotation the connection ends with %v", what, err)
			}
		}
	}
	if holders := g.master().member().Frontends().KeyHolders; len(holders) > 0 {
		t.Errorf("after the rotation %q hold the key", holders)
	}
}

// beginRotation has the group trust another authority, too.
func (g *secureGroup) beginRotation() {
	g.t.Helper()
	eventually(g.t, "a rotation has begun", func() error {
		m := g.master().member()
		err := m.issuer.RotateAuthority(g.t.Context(), "operator")
		if err != nil && len(m.Access().Authorities) == 2 {
			return nil // by an attempt of unknown outcome
		}
		return err
	})
}

// finishRotation has the group trust only the new authority.
func (g *secureGroup) finishRotation() {
	g.t.Helper()
	eventually(g.t, "the rotation is finished", func() error {
		m := g.master().member()
		err := m.issuer.FinishRotation(g.t.Context(), "operator")
		if err != nil && len(m.Access().Authorities) == 1 {
			return nil // by an attempt of unknown outcome
		}
		return err
	})
}

// rotate replaces the group's authority.
func (g *secureGroup) rotate() {
	g.t.Helper()
	g.beginRotation()
	g.finishRotation()
	for _, n := range g.running() {
		eventually(g.t, n.opts.ID+" trusts one authority", func() error {
			if many := len(n.opts.Identity.Authorities()); many != 1 {
				return fmt.Errorf("it trusts %d", many)
			}
			return nil
		})
	}
}

// A voter may not speak for another one, on the fast path of heartbeats either.
func TestTheSenderOfARaftMessageIsTheConnectionsCertificate(t *testing.T) {
	t.Parallel()
	g, _ := attackedGroup(t)
	master := g.master()
	others := g.others(master)
	to, with := others[0], others[1]
	if with.opts.Nonvoter || to.opts.Nonvoter {
		t.Fatal("want two voters")
	}
	a := newAttacker(t, with.opts.Identity)
	for what, one := range map[string]struct {
		id   raft.ServerID
		addr string
	}{
		"in the master's name":      {master.member().self, with.member().Peer()},
		"in nobody's name":          {"", with.member().Peer()},
		"without an address":        {with.member().self, ""},
		"at the master's address":   {with.member().self, master.member().Peer()},
		"at the receiver's address": {with.member().self, to.member().Peer()},
	} {
		before := to.metric("laurel_raft_refused_total", "sender")
		for kind, err := range a.sendRaft(to, one.id, one.addr) {
			if err == nil {
				t.Errorf("%s %s was answered", kind, what)
			}
		}
		eventually(t, what+", the refusals are counted", func() error {
			if after := to.metric("laurel_raft_refused_total", "sender"); after < before+7 {
				return fmt.Errorf("%v are; want 7", after-before)
			}
			return nil
		})
	}
	checkUnharmed(t, g.group, func() {})
}

func TestAJoinTokenDecidesAboutVoteAndHosts(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 2)
	terms := access.Terms{Nonvoter: true, Hosts: []string{"scores.example.org", "192.0.2.7"}}
	n := g.add(func(o *Options) { o.Nonvoter = true })
	who := g.options(&n.opts)
	who.Hosts = append(who.Hosts, "www.example.com", "f1.example")
	n.enroll = func() *pki.Identity { return g.enroll(who, terms) }
	n.serveTLS()
	n.start()
	g.settle()
	reached, _, _ := strings.Cut(n.member().Peer(), ":")
	want := append(slices.Clone(pki.LoopbackHosts), "scores.example.org", "192.0.2.7", reached)
	slices.Sort(want)
	h := n.opts.Identity.Holder()
	if h.Role != pki.Nonvoter || !slices.Equal(h.Hosts, want) {
		t.Errorf("its certificate is %+v; want the hosts %q", h, want)
	}
	// Renewal keeps the role and the hosts.
	expires := n.opts.Identity.Expires()
	g.fakeCalendar.advance(pki.MemberLife*2/3 + time.Hour)
	eventually(t, "it renews", func() error {
		if !n.opts.Identity.Expires().After(expires) {
			return errors.New("it has not")
		}
		return nil
	})
	if again := n.opts.Identity.Holder(); again.Role != h.Role || !slices.Equal(again.Hosts, want) {
		t.Errorf("after the renewal its certificate is %+v", again)
	}
	// Connections from before the renewal have the old certificate, for another key.
	eventually(t, "it gets a vote", func() error {
		return g.master().member().Join(t.Context(), n.asNew(), true)
	})
	if now := n.opts.Identity.Holder(); now.Role != pki.Voter || !slices.Equal(now.Hosts, want) {
		t.Errorf("with a vote its certificate is %+v", now)
	}
	asks := newNode(t, "g9")
	asks.opts.Join = []string{g.nodes[0].server.URL}
	asks.opts.Identity = g.enroll(g.options(&asks.opts), access.Terms{Nonvoter: true})
	asks.serveTLS()
	asks.start()
	if why := ended(t, asks); !strings.Contains(why.Error(), "without a vote only") {
		t.Errorf("a frontend that asks for a vote which its token does not allow ended with %v", why)
	}
	if _, err := g.master().member().issuer.NewJoinToken(t.Context(), "operator", time.Hour, 1,
		access.Terms{Hosts: []string{"a b"}}); err == nil {
		t.Error("a token for an invalid host was made")
	}
}

// A member may be away for longer than its certificate is valid.
func TestAVoterThatUsesATokenAgainIsAVoterAgain(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	n := g.others(g.master())[0]
	n.stop()
	n.opts.Identity = g.enroll(g.options(&n.opts), access.Terms{})
	if role := n.opts.Identity.Holder().Role; role != pki.Joiner {
		t.Fatalf("a token gave it the role %s", role)
	}
	n.start()
	eventually(t, "it has a voter's certificate", func() error {
		if role := n.opts.Identity.Holder().Role; role != pki.Voter {
			return fmt.Errorf("it is a %s", role)
		}
		return nil
	})
	g.settle()
	checkShowsAcked(t, g.group, n, 1)
}

// Whoever is at a voter's address with a joiner's certificate must not get Raft's messages: its answers would count.
func TestAJoinersCertificateAtAVotersAddressIsSentNoMessageOfRaft(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3)
	away := g.others(g.master())[0]
	away.stop()
	who := g.options(&away.opts)
	who.Dir = t.TempDir()
	thief := g.enroll(who, access.Terms{Nonvoter: true})
	auth := peer.NewAuthenticator(peer.AuthConfig{
		Identity: thief, Access: access.NewState, Logger: testLog(t), Witness: newWitness(t),
		Servers: func() []raft.Server { return nil }, Leader: func() raft.ServerID { return "" },
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "refused"}, []string{"reason"}),
	})
	auth.Open()
	p, err := peer.Listen(peer.Config{Address: away.opts.Peer, ServerID: raft.ServerID(who.Member), Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got := make(chan struct{}, 1)
	layer := p.RaftLayer(patient)
	defer layer.Close()
	go func() {
		if _, err := layer.Accept(); err == nil {
			got <- struct{}{}
		}
	}()
	master := g.master()
	eventually(t, "the master refuses it", func() error {
		if n := master.refusals(pki.WrongRole); n < 3 {
			return fmt.Errorf("%v refusals", n)
		}
		return nil
	})
	mustPost(t, master, alerts("bard/a", 1, 3))
	select {
	case <-got:
		t.Error("it got a connection of Raft")
	default:
	}
}
