package cluster

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/enroll"
	"laurel/cluster/raftlog"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// ServerID returns the name, id@instance, of the member with an id and a data directory, which is made if it does not exist. A certificate for it is
// made before the member starts.
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

func (m *Member) enrollConfig() enroll.Config {
	return enroll.Config{Group: enrollGroup{m}, Self: m.self, Identity: m.opts.Identity, Auth: m.auth, Port: m.port, ValidID: validID, Logger: m.log}
}

// Secure reports whether the members of this group authenticate each other.
func (m *Member) Secure() bool { return m.opts.Identity != nil }

// NewJoinToken makes a join token; see enroll.Issuer.
func (m *Member) NewJoinToken(ctx context.Context, by string, ttl time.Duration, uses int) (text string, err error) {
	return m.issuer.NewJoinToken(ctx, by, ttl, uses)
}

// Enroll issues the first certificate of a frontend that joins; see enroll.Issuer.
func (m *Member) Enroll(ctx context.Context, token string, csr []byte, member string) (*pki.IssuedCertificate, error) {
	return m.issuer.Enroll(ctx, token, csr, member)
}

// AuthorityPEM returns the authorities that this member trusts; see enroll.Issuer.
func (m *Member) AuthorityPEM() []byte { return m.issuer.AuthorityPEM() }

// RotateAuthority begins a rotation of the authority; see enroll.Issuer.
func (m *Member) RotateAuthority(ctx context.Context, by string) error {
	return m.issuer.RotateAuthority(ctx, by)
}

// FinishRotation ends a rotation of the authority; see enroll.Issuer.
func (m *Member) FinishRotation(ctx context.Context, by string) error {
	return m.issuer.FinishRotation(ctx, by)
}

// enrollGroup is the group as package enroll sees it.
type enrollGroup struct{ m *Member }

func (g enrollGroup) IsMaster() bool { return g.m.leads() != nil }

func (g enrollGroup) OtherMaster() string {
	master, _ := g.m.masters.now()
	if master == g.m.opts.Peer {
		return ""
	}
	return master
}

func (g enrollGroup) Servers() []raft.Server { return g.m.servers() }

func (g enrollGroup) IsVoter(id raft.ServerID) bool {
	lead := g.m.leads()
	if lead == nil {
		return false
	}
	s, in := lead.member(id)
	return in && s.Suffrage == raft.Voter
}

func (g enrollGroup) Connected(id raft.ServerID) bool {
	l := g.m.reign.Load()
	return l != nil && l.push.Connected(id) || id == g.m.self
}

func (g enrollGroup) Certificates(id raft.ServerID) (enroll.Certificates, bool) {
	h, fresh := g.m.neighbour.last(id)
	return h.Certificates, fresh
}

func (g enrollGroup) Access() *access.State { return g.m.machine.Access() }

func (g enrollGroup) ChangeAccess(ctx context.Context, c access.Change) error {
	return g.m.ChangeAccess(ctx, c)
}
