package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Bounds of join tokens.
const (
	maxTokenTTL  = 30 * 24 * time.Hour
	maxTokenUses = 1000
)

// ServerID is the name, id@instance, under which a frontend of that id is or will be a member with the data directory dir, which is made if it is
// missing. A certificate for it is made before the member starts.
func ServerID(dir, id string) (string, error) {
	if !validID(id) {
		return "", fmt.Errorf("the id %q of the frontend is not valid: want at most %d letters, digits and ._~-", id, maxID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	server, err := raftlog.LoadServerID(dir, id)
	return string(server), err
}

// Secure tells whether the members of this group authenticate each other.
func (m *Member) Secure() bool { return m.opts.Identity != nil }

func (m *Member) secureOnly() *score.Problem {
	if m.Secure() {
		return nil
	}
	return score.Problemf(score.StatusConflict, "this group was started with --insecure: it has no certificates, and nobody needs a token to join")
}

// NewJoinToken makes a token with which frontends may join, as often as uses says and for as long as ttl says, and gives its text, which is kept
// nowhere. by is the name of the operator who wants it. Only the master can; the error is a *score.Problem.
func (m *Member) NewJoinToken(ctx context.Context, by string, ttl time.Duration, uses int) (text string, err error) {
	if p := m.secureOnly(); p != nil {
		return "", p
	}
	field, problem := "", (*score.Problem)(nil)
	switch {
	case ttl <= 0 || ttl > maxTokenTTL:
		field, problem = "ttl", score.Problemf(score.InvalidEvent, "got %s; want more than 0 and at most %s", ttl, maxTokenTTL)
	case uses < 1 || uses > maxTokenUses:
		field, problem = "uses", score.Problemf(score.InvalidEvent, "got %d; want 1 to %d", uses, maxTokenUses)
	}
	if problem != nil {
		problem.Field = field
		return "", problem
	}
	if m.leads() == nil {
		return "", notMaster()
	}
	i := m.opts.Identity
	token := pki.NewJoinToken(m.issuing())
	change := access.Change{At: i.Now().UTC(), By: by, JoinToken: &access.JoinToken{ID: token.ID, Hash: token.Hash(), Expires: i.Now().Add(ttl).UTC(), Uses: uses}}
	if err := m.ChangeAccess(ctx, change); err != nil {
		return "", err
	}
	return token.Text(), nil
}

// errToken is all that is told to one without a good token: not whether there is one of that name, or is no more.
func errToken() *score.Problem {
	return score.Problemf(score.Unauthorized, "the join token is not valid here, or is used up or over; an operator makes another with laurel cluster token")
}

// Enroll gives a frontend that joins its first certificate, for its request csr (DER), and uses the token up once. member is id@instance. Only the
// master can; the error is a *score.Problem.
func (m *Member) Enroll(ctx context.Context, token string, csr []byte, member string) (*pki.IssuedCertificate, error) {
	if p := m.secureOnly(); p != nil {
		return nil, p
	}
	if m.leads() == nil {
		return nil, notMaster()
	}
	t, err := pki.ParseJoinToken(token)
	if err != nil {
		return nil, score.Problemf(score.Unauthorized, "%v", err)
	}
	if p := m.checkToken(t); p != nil {
		m.log.Warn("a frontend was not let in: its join token is no good", "token", t.ID, "member", member)
		return nil, p
	}
	if p := m.checkJoiner(csr, member); p != nil {
		return nil, p
	}
	if m.issuer() == nil {
		return nil, score.Problemf(score.NotReady, "this master does not hold the key of the group's authority yet; ask again in a second")
	}
	if err := m.ChangeAccess(ctx, access.Change{At: m.opts.Identity.Now().UTC(), By: member, UseJoinToken: t.ID}); err != nil {
		return nil, err
	}
	return m.issue(csr, member)
}

func (m *Member) checkToken(t pki.JoinToken) *score.Problem {
	known := m.machine.Access().JoinTokens[t.ID]
	if known == nil {
		known = &access.JoinToken{Hash: make([]byte, 32)} // it takes as long
	}
	same := access.SecretMatches(t.Secret, known.Hash)
	if !same || known.Uses < 1 || !m.opts.Identity.Now().Before(known.Expires) || !m.opts.Identity.Trusts(t.Fingerprint) {
		return errToken()
	}
	return nil
}

// checkJoiner says why a frontend could not be taken in, before its token is used.
func (m *Member) checkJoiner(csr []byte, member string) *score.Problem {
	named, err := pki.ParseRequest(csr)
	if err == nil && named != member {
		err = fmt.Errorf("the request is for %q, but %q asks", named, member)
	}
	if err == nil && !validID(memberID(raft.ServerID(member))) {
		err = fmt.Errorf("the id %q is not valid", memberID(raft.ServerID(member)))
	}
	if err != nil {
		p := score.Problemf(score.InvalidEvent, "%v", err)
		p.Field = "csr"
		return p
	}
	taken := func(s raft.Server) bool {
		return memberID(s.ID) == memberID(raft.ServerID(member)) && string(s.ID) != member
	}
	switch {
	case m.auth.Removed(raft.ServerID(member)):
		return score.Problemf(score.Forbidden, "%q was removed from the group; to join as a new member, start it with an empty data directory", member)
	case slices.ContainsFunc(m.servers(), taken):
		p := score.Problemf(score.IDConflict, "the id %q is taken by a frontend with other data; choose another id, or take that one out first (laurel cluster leave)", memberID(raft.ServerID(member)))
		p.Field = "id"
		return p
	case m.present(raft.ServerID(member)):
		// Whoever has a join token could else become any member whose name it has heard.
		p := score.Problemf(score.IDConflict, "the frontend %q is a member and is here; it renews its certificate by itself", memberID(raft.ServerID(member)))
		p.Field = "id"
		return p
	}
	return nil
}

// present reports whether a member is this one, or has a stream of this master: then it has a certificate.
func (m *Member) present(id raft.ServerID) bool {
	if id == m.self {
		return true
	}
	l := m.reign.Load()
	return l != nil && l.push.Connected(id)
}
