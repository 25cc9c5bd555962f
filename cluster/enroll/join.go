package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Candidate is a frontend that is to become a member, or a member that is to get a vote or
// another address.
type Candidate struct {
	Certificate *x509.Certificate // that the master has seen at Peer; nil for the master itself
	Peer        string
	URL         string       // at which clients reach it
	Known       *raft.Server // its entry in the configuration; nil for none
	Voter       bool         // whether it is to vote
	ByOperator  bool         // whether an operator asks for it, not the frontend itself
}

// promoteTimeout bounds the installation of a certificate at another frontend.
const promoteTimeout = 5 * time.Second

// Promote makes sure that a frontend has the certificate of what it is to be, before the
// configuration makes it that. The error is a *score.Problem. It does nothing in an
// insecure group.
//
// A join token decides what its holder may become. The store remembers what it allows, and
// for which key it was used: whoever has only the authority's key cannot join. An operator
// may give a vote to a frontend whose token does not allow one.
func (i *Issuer) Promote(ctx context.Context, c Candidate) error {
	if i.Auth == nil || c.Certificate == nil { // it is this member, which no connection has shown a certificate
		return nil
	}
	h, err := pki.HolderOf(c.Certificate)
	if err != nil {
		return score.Problemf(score.Forbidden, "%v", err)
	}
	enrolled := i.Auth.Access().Enrolled(h.Member,
		access.KeyHash(c.Certificate.RawSubjectPublicKeyInfo), i.Auth.Identity.Now())
	want := pki.Nonvoter
	if c.Voter || c.Known != nil && c.Known.Suffrage == raft.Voter {
		want = pki.Voter
	}
	if p := mayBecome(h, want, &c, enrolled); p != nil {
		return p
	}
	next := pki.Holder{Member: h.Member, Role: max(h.Role, want), Hosts: i.hostsOf(h, &c, enrolled)}
	if next.Role == h.Role && slices.Equal(next.Hosts, h.Hosts) {
		return nil
	}
	return i.promote(ctx, c.Peer, c.Certificate.PublicKey, next)
}

// MayReplace reports whether the join token of a frontend, which has shown the certificate,
// lets it take the place of the dead member id. In an insecure group everybody may.
func (i *Issuer) MayReplace(c *x509.Certificate, id string) bool {
	if i.Auth == nil || c == nil {
		return i.Auth == nil
	}
	h, err := pki.HolderOf(c)
	if err != nil {
		return false
	}
	e := i.Auth.Access().Enrolled(h.Member, access.KeyHash(c.RawSubjectPublicKeyInfo), i.Auth.Identity.Now())
	return e != nil && e.Replace == id
}

// mayBecome returns a problem if a frontend may not become what is asked for.
func mayBecome(h pki.Holder, want pki.Role, c *Candidate, enrolled *access.Enrolment) *score.Problem {
	id := peer.MemberID(raft.ServerID(h.Member))
	switch {
	case enrolled == nil && (c.Known == nil || h.Role < pki.Nonvoter):
		return score.Problemf(score.Forbidden, "%q has used no join token within the last hour with its present key; "+
			"an operator can make a token, with which it is to be started", id)
	case want < pki.Voter || c.ByOperator || c.Known != nil && h.Role == pki.Voter ||
		enrolled != nil && !enrolled.Nonvoter:
		return nil
	}
	return score.Problemf(score.Forbidden, "%q may join without a vote only, as its join token says; "+
		"start it with --nonvoter, or let an operator give it a vote", id).At("voter")
}

// hostsOf returns the hosts of a frontend's next certificate: the one at which the master
// reaches it, those of its join token, the one of the URL that an operator gives, and those
// of the present certificate, without the address from which it has moved.
func (i *Issuer) hostsOf(h pki.Holder, c *Candidate, enrolled *access.Enrolment) []string {
	reached := address.Hostname(c.Peer)
	old := h.Hosts
	if c.Known != nil && address.Hostname(string(c.Known.Address)) != reached {
		moved := func(s string) bool { return s == address.Hostname(string(c.Known.Address)) }
		old = slices.DeleteFunc(slices.Clone(old), moved)
	}
	var given []string
	if enrolled != nil {
		given = slices.Clone(enrolled.Hosts)
	}
	if u, err := address.Parse(c.URL); err == nil && c.ByOperator {
		given = append(given, u.Hostname())
	}
	return i.allowed(raft.ServerID(h.Member), []string{reached}, given, old)
}

// allowed returns the hosts of a member's certificate, sorted: those of loopback, which are
// everybody's own, those of own at which no other member is reached, and those of given and
// of old. If they are too many, old ones are left out.
func (i *Issuer) allowed(member raft.ServerID, own, given, old []string) (hosts []string) {
	add := func(s string) {
		if !slices.Contains(hosts, s) && pki.CheckHost(s) == nil && len(hosts) < pki.MaxHosts {
			hosts = append(hosts, s)
		}
	}
	for _, s := range pki.LoopbackHosts {
		add(s)
	}
	for _, s := range own {
		others := func(o raft.Server) bool {
			return o.ID != member && strings.EqualFold(address.Hostname(string(o.Address)), s)
		}
		if !slices.ContainsFunc(i.Auth.Servers(), others) {
			add(s)
		}
	}
	for _, s := range append(given, old...) {
		add(s)
	}
	slices.Sort(hosts)
	return hosts
}

// promote issues a certificate and has the frontend at addr install it.
func (i *Issuer) promote(ctx context.Context, addr string, public crypto.PublicKey, next pki.Holder) error {
	issued, err := i.issue(public, next)
	if err != nil {
		return err
	}
	body, err := json.Marshal(issued)
	if err != nil {
		return score.Problemf(score.NotReady, "encode the certificate: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, promoteTimeout)
	defer cancel()
	if err := i.Port.Call(ctx, addr, http.MethodPost, PromotePath, bytes.NewReader(body), nil); err != nil {
		return score.Problemf(score.NotReady,
			"the frontend at %s did not install its new certificate: %v", addr, err).At("peer")
	}
	return nil
}

// ServePromote installs a certificate that the master has issued for this member.
func (i *Issuer) ServePromote(w http.ResponseWriter, r *http.Request) error {
	if i.Auth == nil {
		return i.requireMaster()
	}
	issued := new(pki.IssuedCertificate)
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxRequest), issued); err != nil {
		return err
	}
	who := i.Auth.Identity
	if err := who.Promote(issued); err != nil {
		return score.Problemf(score.InvalidEvent, "%v", err).At("certificate")
	}
	i.Port.Reconnect()
	h := who.Holder()
	i.Auth.Logger.Info("installed the certificate of a member",
		"role", h.Role, "hosts", h.Hosts, "expires", who.Expires())
	return nil
}
