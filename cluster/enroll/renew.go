package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
)

// Renewer keeps a member's certificate and keys up to date.
type Renewer struct {
	*Issuer               // this member's own, for when it is the master
	Timeout time.Duration // of a round of renewals

	notBefore    time.Time // of the next attempt
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

// renew gets a new certificate if it is time.
func (r *Renewer) renew(ctx context.Context) error {
	i := r.Auth.Identity
	due := !i.Now().Before(i.RenewAt())
	if !due && i.IssuedBy() == r.issuing() {
		return nil
	}
	err := r.renewAtMaster(ctx, due)
	// All members may have been down for long: without a master a voter renews it itself.
	own := i.Authority(i.IssuedBy())
	if err != nil && i.Expires().Sub(i.Now()) < pki.RenewWarning && own != nil {
		err = i.Renew(own)
	}
	if err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	return nil
}

// renewAtMaster gets a new certificate from the master. Unless the old one is due it must
// be by another authority.
func (r *Renewer) renewAtMaster(ctx context.Context, due bool) error {
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
	if len(issued.Chain) > 0 && access.Fingerprint(issued.Chain[0]) == i.IssuedBy() && !due {
		return errors.New("the master does not issue certificates of the new authority yet")
	}
	if err := i.Install(key, issued); err != nil {
		return err
	}
	r.Auth.Logger.Info("installed a new certificate", "expires", i.Expires(), "authority", i.IssuedBy())
	return nil
}

func (r *Renewer) callMaster(ctx context.Context, path string, body io.Reader, answer any) error {
	master := r.OtherMaster()
	if master == "" {
		return peer.NoMaster()
	}
	return r.Port.Call(ctx, master, http.MethodPost, path, body, answer)
}
