package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/trust/access"
	"laurel/trust/pki"
)

const (
	checkEvery = 500 * time.Millisecond
	retryPause = 2 * time.Second // after a failure
	// RenewTimeout bounds one round of renewals, at a time scale of 1.
	RenewTimeout = 5 * time.Second
	// expiryLogPause is the pause between two warnings that a certificate expires.
	expiryLogPause = 24 * time.Hour
	// maxHostsPause bounds the pause after a master has answered that it does not issue a
	// certificate with the addresses of this member. The pause doubles each time.
	maxHostsPause = 10 * time.Minute
	// withoutMaster is how long no master must have answered before a voter renews its
	// certificate itself for its new addresses.
	withoutMaster = 10 * time.Second
)

// Renewer keeps a member's certificate and keys up to date.
type Renewer struct {
	*Issuer               // this member's own, for when it is the master
	Timeout time.Duration // of a round of renewals

	notBefore    time.Time // of the next attempt
	hostsAfter   time.Time // of the next attempt to get a certificate for other addresses
	hostsPause   time.Duration
	masterlessAt time.Time // of the first of the attempts that no master has answered; zero if the last was
	expiryLogged time.Time
	lastErr      string
}

// Run checks the certificate and the keys until ctx ends.
func (r *Renewer) Run(ctx context.Context) {
	tick := time.Tick(checkEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		r.check(ctx)
	}
}

// check does what is due. It logs errors and retries later.
func (r *Renewer) check(ctx context.Context) {
	who := r.Auth.Identity
	now := who.Now()
	if now.Before(r.notBefore) || who.Holder().Role == pki.Joiner {
		return // the master gives a joiner the certificate of a member
	}
	round, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	err := errors.Join(r.addFirstAuthority(round), r.fetchKeys(round), who.DeleteOldKeys(), r.renew(round))
	switch {
	case err == nil:
		r.lastErr = ""
	case ctx.Err() == nil:
		r.notBefore = now.Add(retryPause)
		if text := err.Error(); text != r.lastErr {
			r.lastErr = text
			r.Auth.Logger.Info("certificates are not up to date yet", "err", err)
		}
	}
	if left := who.Expires().Sub(now); left < pki.RenewWarning && now.Sub(r.expiryLogged) >= expiryLogPause {
		r.expiryLogged = now
		r.Auth.Logger.Warn("the certificate of this frontend expires soon and could not be renewed by the master; "+
			"check that a master can be reached",
			"expires", who.Expires(), "left", left.Round(time.Second))
	}
}

// addFirstAuthority records in the store the authority that the group was founded with.
func (r *Renewer) addFirstAuthority(ctx context.Context) error {
	if !r.IsMaster() || len(r.Auth.Access().Authorities) > 0 {
		return nil
	}
	a := r.Auth.Identity.Authority(r.Auth.Identity.IssuedBy())
	if a == nil {
		return errors.New("the store has no authority, and this frontend does not hold the key of its own one")
	}
	return r.ChangeAccess(ctx, access.Change{By: peer.MemberID(r.Self), AddAuthority: a.Certificate.Raw})
}

// fetchKeys gets the keys that this voter lacks from the master.
func (r *Renewer) fetchKeys(ctx context.Context) error {
	self, in := peer.Find(r.Auth.Servers(), r.Self)
	isVoter := in && self.Suffrage == raft.Voter
	if r.Auth.Identity.Authority(r.issuing()) != nil || r.IsMaster() || !isVoter {
		return nil
	}
	var answer keysAnswer
	if err := r.callMaster(ctx, KeysPath, nil, &answer); err != nil {
		return fmt.Errorf("get the key of the authority: %w", err)
	}
	for _, text := range answer.Authorities {
		a, err := pki.ParseAuthority(text)
		if err != nil {
			return err
		}
		if !r.Auth.Identity.Trusts(a.Fingerprint()) || r.Auth.Identity.Authority(a.Fingerprint()) != nil {
			continue
		}
		if err := r.Auth.Identity.AddKey(a); err != nil {
			return err
		}
		r.Auth.Logger.Info("stored the key of the authority", "authority", a.Fingerprint())
	}
	return nil
}

// renew gets a new certificate if the present one is due, is by another authority than
// the one that issues now, or lacks an address of this member.
func (r *Renewer) renew(ctx context.Context) error {
	i := r.Auth.Identity
	now := i.Now()
	missing := i.MissingHosts()
	if now.Before(r.hostsAfter) {
		missing = nil
	}
	due := !now.Before(i.RenewAt())
	if !due && len(missing) == 0 && i.IssuedBy() == r.issuing() {
		return nil
	}
	err := r.renewAtMaster(ctx, due || len(missing) > 0)
	if own := i.Authority(i.IssuedBy()); own != nil && r.renewsItself(err, missing) {
		err = i.Renew(own)
	}
	r.noteHosts(err, missing)
	if err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	return nil
}

// renewsItself reports whether a voter renews its certificate itself because no master
// does, with err: all members may have been down for long, or all may have moved and not
// find each other. A certificate for its new addresses is never one that a master refused.
func (r *Renewer) renewsItself(err error, missing []string) bool {
	i := r.Auth.Identity
	now := i.Now()
	switch {
	case err == nil || peer.IsAnswer(err):
		r.masterlessAt = time.Time{}
	case r.masterlessAt.IsZero():
		r.masterlessAt = now
	}
	if err != nil && i.Expires().Sub(now) < pki.RenewWarning {
		return true
	}
	return len(missing) > 0 && !r.masterlessAt.IsZero() && now.Sub(r.masterlessAt) >= withoutMaster
}

// noteHosts puts the next attempt to get a certificate for the addresses missing off if
// the master has answered without one.
func (r *Renewer) noteHosts(err error, missing []string) {
	i := r.Auth.Identity
	switch {
	case len(i.MissingHosts()) == 0:
		r.hostsPause, r.hostsAfter = 0, time.Time{}
	case len(missing) > 0 && (err == nil || peer.IsAnswer(err)):
		r.hostsPause = min(max(2*r.hostsPause, retryPause), maxHostsPause)
		r.hostsAfter = i.Now().Add(r.hostsPause)
		if err == nil {
			r.Auth.Logger.Warn("the master issued a certificate without some addresses of this frontend; "+
				"clients that use them do not trust it", "missing", i.MissingHosts(), "retry", r.hostsPause)
		}
	}
}

// renewAtMaster gets a new certificate from the master. Unless sameAuthority is true it
// must be by another authority than the present one.
func (r *Renewer) renewAtMaster(ctx context.Context, sameAuthority bool) error {
	i := r.Auth.Identity
	key, csr, err := i.Request()
	if err != nil {
		return err
	}
	issued := new(pki.IssuedCertificate)
	if r.IsMaster() {
		issued, err = r.renewal(csr, i.Holder())
	} else {
		err = r.callMaster(ctx, CertificatePath, bytes.NewReader(csr), issued)
	}
	if err != nil {
		return err
	}
	if len(issued.Chain) > 0 && access.Fingerprint(issued.Chain[0]) == i.IssuedBy() && !sameAuthority {
		return errors.New("the master does not issue certificates of the new authority yet")
	}
	if err := i.Install(key, issued); err != nil {
		return err
	}
	r.Auth.Logger.Info("installed a new certificate", "expires", i.Expires(), "authority", i.IssuedBy(),
		"hosts", i.CertifiedHosts())
	return nil
}
