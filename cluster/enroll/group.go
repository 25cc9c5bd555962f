package enroll

import (
	"context"
	"log/slog"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Group is the group as this member sees it.
type Group interface {
	// IsMaster reports whether this member is the master.
	IsMaster() bool
	// OtherMaster returns the peer address of the master if that is another member; else
	// "".
	OtherMaster() string
	// Servers returns the latest configuration.
	Servers() []raft.Server
	// IsVoter reports whether the master knows a server as a voter of the committed
	// configuration.
	IsVoter(raft.ServerID) bool
	// Connected reports whether the master has a stream to a server.
	Connected(raft.ServerID) bool
	// Certificates returns what a server last said of its certificates. ok is false if
	// that was too long ago.
	Certificates(raft.ServerID) (c Certificates, ok bool)
	// Access returns the applied access control.
	Access() *access.State
	// ChangeAccess commits a change of it. The error is a *score.Problem.
	ChangeAccess(context.Context, access.Change) error
}

// Certificates is what a member says of its certificates. All strings are fingerprints of
// authorities.
type Certificates struct {
	// IssuedBy is the authority that issued the member's certificate.
	IssuedBy string `json:"issued_by,omitzero"`
	// Keys are the authorities whose private keys the member holds.
	Keys []string `json:"keys,omitzero"`
}

// CertificatesOf returns the certificates of an identity, which may be nil.
func CertificatesOf(i *pki.Identity) (c Certificates) {
	if i != nil {
		c.IssuedBy, c.Keys = i.IssuedBy(), i.Keys()
	}
	return c
}

// Config is what an Issuer and a Renewer need of their member.
type Config struct {
	Group    Group
	Self     raft.ServerID
	Identity *pki.Identity // nil in an insecure group
	Auth     *peer.Authenticator
	Port     *peer.Port
	ValidID  func(id string) bool // reports whether a member may have an id
	Logger   *slog.Logger
}

// issuing returns the fingerprint of the authority that is to issue the group's
// certificates.
func (c *Config) issuing() string {
	if list := c.Group.Access().Authorities; len(list) > 0 {
		return access.Fingerprint(list[len(list)-1])
	}
	return c.Identity.IssuedBy()
}

// isVoter reports whether a server is a voter of the latest configuration.
func (c *Config) isVoter(id raft.ServerID) bool {
	for _, s := range c.Group.Servers() {
		if s.ID == id {
			return s.Suffrage == raft.Voter
		}
	}
	return false
}

// by returns the name under which this member changes the access control.
func (c *Config) by() string { return peer.MemberID(c.Self) }

// requireSecure returns a problem in an insecure group.
func (c *Config) requireSecure() *score.Problem {
	if c.Identity != nil {
		return nil
	}
	return score.Problemf(score.StatusConflict,
		"this group is insecure: it has no certificates, and joining needs no token")
}

// requireMaster returns a problem in an insecure group, and on a member that is not the
// master.
func (c *Config) requireMaster() *score.Problem {
	if p := c.requireSecure(); p != nil {
		return p
	}
	if !c.Group.IsMaster() {
		return peer.NotMaster()
	}
	return nil
}
