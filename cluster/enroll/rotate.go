package enroll

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// A rotation gives the group another authority in two steps. Between them both are
// trusted, and the members renew their certificates by themselves. A member that was down
// learns of the new authority when it is back, and accepts the others because the old
// authority vouches for the new one.

// AuthorityPEM returns the trusted authorities; nil in an insecure group.
func (i *Issuer) AuthorityPEM() []byte {
	if i.Auth == nil {
		return nil
	}
	i.Auth.UpdateTrust()
	return pki.EncodeCertificates(i.Auth.Identity.Authorities())
}

// RotateAuthority adds a new authority beside the old one. The error is a *score.Problem.
func (i *Issuer) RotateAuthority(ctx context.Context, by string) error {
	if p := i.requireMaster(); p != nil {
		return p
	}
	list := i.Auth.Access().Authorities
	if len(list) != 1 {
		return score.Problemf(score.StatusConflict,
			"the group trusts %d authorities: a rotation is in progress and must be finished first, "+
				"or the group has just begun",
			len(list))
	}
	old := i.Auth.Identity.Authority(access.Fingerprint(list[0]))
	if old == nil {
		return noKey()
	}
	now := i.Auth.Identity.Now()
	next, err := pki.NewAuthority(old, now)
	if err != nil {
		return score.Problemf(score.NotReady, "make an authority: %v", err)
	}
	// The key is stored here before anybody trusts the authority.
	if err := i.Auth.Identity.AddKey(next); err != nil {
		return score.Problemf(score.NotReady, "store the key of the new authority: %v", err)
	}
	err = i.ChangeAccess(ctx, access.Change{At: now.UTC(), By: by, AddAuthority: next.Certificate.Raw})
	if err != nil {
		return err
	}
	i.Auth.Logger.Info("the group has a new authority; its members renew their certificates",
		"authority", next.Fingerprint())
	return nil
}

// FinishRotation makes the group trust the newest authority only. It refuses that while a
// member has a certificate of another authority, or cannot be asked. The error is a
// *score.Problem.
func (i *Issuer) FinishRotation(ctx context.Context, by string) error {
	if p := i.requireMaster(); p != nil {
		return p
	}
	list := i.Auth.Access().Authorities
	if len(list) < 2 {
		return score.Problemf(score.StatusConflict, "no rotation of the authority is in progress")
	}
	if late := i.notRenewed(i.issuing()); len(late) > 0 {
		return score.Problemf(score.StatusConflict,
			"not ready yet: %s. Without a certificate of the new authority, and voters without its key, "+
				"they could not come back. Running members need some seconds; "+
				"start those that are down, or remove them",
			strings.Join(late, ", "))
	}
	for _, der := range list[:len(list)-1] {
		change := access.Change{At: i.Auth.Identity.Now().UTC(), By: by, DropAuthority: access.Fingerprint(der)}
		if err := i.ChangeAccess(ctx, change); err != nil {
			return err
		}
	}
	i.Auth.Logger.Info("the group trusts only the new authority", "authority", i.issuing())
	return nil
}

// notRenewed returns the members without a certificate of an authority, and the voters
// without its key.
func (i *Issuer) notRenewed(authority string) (ids []string) {
	for _, s := range i.Auth.Servers() {
		c, ok := i.Certificates(s.ID)
		if s.ID == i.Self {
			c, ok = CertificatesOf(i.Auth.Identity), true
		}
		hasKey := s.Suffrage != raft.Voter || slices.Contains(c.Keys, authority)
		if !ok || c.IssuedBy != authority || !hasKey {
			ids = append(ids, peer.MemberID(s.ID))
		}
	}
	return ids
}
