package cluster

import (
	"context"
	"slices"
	"strings"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// A rotation gives the group another authority in two steps. Between them both are trusted, and the members renew their certificates by
// themselves; one that was down hears of the new authority when it is back, and accepts the others because the old one vouches for the new.

// AuthorityPEM is the certificates of the authorities that this member trusts; nil in an insecure group.
func (m *Member) AuthorityPEM() []byte {
	if !m.Secure() {
		return nil
	}
	m.auth.UpdateTrust()
	return m.opts.Identity.PEM()
}

// RotateAuthority makes a new authority and has the group trust it beside the old one. Only the master can; the error is a *score.Problem.
func (m *Member) RotateAuthority(ctx context.Context, by string) error {
	if p := m.secureOnly(); p != nil {
		return p
	}
	if m.leads() == nil {
		return notMaster()
	}
	i := m.opts.Identity
	list := m.machine.Access().Authorities
	if len(list) != 1 {
		return score.Problemf(score.StatusConflict, "the group trusts %d authorities: a rotation is under way, or the group has just begun; see laurel cluster ca finish", len(list))
	}
	before := i.Authority(access.Fingerprint(list[0]))
	if before == nil {
		return score.Problemf(score.NotReady, "this master does not hold the key of the group's authority yet; ask again in a second")
	}
	next, err := pki.NewAuthority(before, i.Now())
	if err != nil {
		return score.Problemf(score.NotReady, "no authority could be made: %v", err)
	}
	// The key is here before anybody trusts it.
	if err := i.AddKey(next); err != nil {
		return score.Problemf(score.NotReady, "the new authority could not be kept: %v", err)
	}
	if err := m.ChangeAccess(ctx, access.Change{At: i.Now().UTC(), By: by, AddAuthority: next.Certificate.Raw}); err != nil {
		return err
	}
	m.log.Info("the group has a new authority; its members renew their certificates", "authority", next.Fingerprint())
	return nil
}

// FinishRotation has the group trust the newest authority only. It is refused while a member has a certificate by another, or cannot be
// asked. Only the master can; the error is a *score.Problem.
func (m *Member) FinishRotation(ctx context.Context, by string) error {
	if p := m.secureOnly(); p != nil {
		return p
	}
	if m.leads() == nil {
		return notMaster()
	}
	list := m.machine.Access().Authorities
	if len(list) < 2 {
		return score.Problemf(score.StatusConflict, "no rotation is under way; begin one with laurel cluster ca rotate")
	}
	if late := m.uncertified(m.issuing()); len(late) > 0 {
		return score.Problemf(score.StatusConflict, "not ready yet: %s. Without a certificate by the new authority, and voters without its key, they could not come back. While they run that takes some seconds, so try again in a few; one that is down has to be started, or taken out with laurel cluster leave",
			strings.Join(late, ", "))
	}
	for _, der := range list[:len(list)-1] {
		if err := m.ChangeAccess(ctx, access.Change{At: m.opts.Identity.Now().UTC(), By: by, DropAuthority: access.Fingerprint(der)}); err != nil {
			return err
		}
	}
	m.log.Info("the group trusts only the new authority", "authority", m.issuing())
	return nil
}

// uncertified are the members without a certificate by an authority, and the voters without its key.
func (m *Member) uncertified(authority string) (ids []string) {
	for _, s := range m.servers() {
		said, fresh := m.neighbour.last(s.ID)
		if s.ID == m.self {
			said, fresh = heard{peerStatus: m.status("")}, true
		}
		holds := !m.votes(s.ID) || slices.Contains(said.Keys, authority)
		if !fresh || said.IssuedBy != authority || !holds {
			ids = append(ids, memberID(s.ID))
		}
	}
	return ids
}
