package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// A member renews its certificate when two thirds of its life are over, or when the group has another authority: it asks the master. Every
// voter holds the key of the authority, because each may become the master.

const (
	certifyEvery = 500 * time.Millisecond // looking whether there is something to do
	certifyPause = 2 * time.Second        // after something failed
	certifyLimit = 5 * time.Second        // one call, at a time scale of 1
	// warnPause is the time between two lines of the log about a certificate that ends soon.
	warnPause = 24 * time.Hour
	// maxRequest bounds a request for a certificate, in bytes.
	maxRequest = 64 << 10
)

// certified is what keepCertified remembers.
type certified struct {
	pause  time.Time // nothing is tried before
	warned time.Time
	said   string
}

func (m *Member) keepCertified() {
	tick := time.NewTicker(certifyEvery)
	defer tick.Stop()
	var c certified
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		m.certify(&c)
	}
}

// certify does what is due. What fails is tried again.
func (m *Member) certify(c *certified) {
	i := m.opts.Identity
	now := i.Now()
	if now.Before(c.pause) {
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.scaled(certifyLimit))
	defer cancel()
	err := errors.Join(m.addFirstAuthority(ctx), m.fetchKeys(ctx), m.dropKeys(), m.renew(ctx))
	switch {
	case err == nil:
		c.said = ""
	case m.ctx.Err() == nil:
		c.pause = now.Add(certifyPause)
		if s := err.Error(); s != c.said {
			c.said = s
			m.log.Info("the certificates are not as they should be yet", "error", err)
		}
	}
	if left := i.Expires().Sub(now); left < pki.RenewWarning && now.Sub(c.warned) >= warnPause {
		c.warned = now
		m.log.Warn("this frontend's certificate ends soon and could not be renewed: it asks the master for another; is there one that it can reach?",
			"expires", i.Expires(), "left", left.Round(time.Second))
	}
}

// issuing is the fingerprint of the authority that the group's certificates should be by.
func (m *Member) issuing() string {
	if list := m.machine.Access().Authorities; len(list) > 0 {
		return access.Fingerprint(list[len(list)-1])
	}
	return m.opts.Identity.IssuedBy()
}

// addFirstAuthority makes the store name the authority that the group was founded with.
func (m *Member) addFirstAuthority(ctx context.Context) error {
	i := m.opts.Identity
	if m.leads() == nil || len(m.machine.Access().Authorities) > 0 {
		return nil
	}
	a := i.Authority(i.IssuedBy())
	if a == nil {
		return errors.New("the store names no authority, and the key of this frontend's is not here")
	}
	return m.ChangeAccess(ctx, access.Change{By: m.opts.ID, AddAuthority: a.Certificate.Raw})
}

// keysAnswer has authorities with their private keys, for a voter.
type keysAnswer struct {
	Authorities [][]byte `json:"authorities"` // in PEM
}

// fetchKeys gets a voter the keys that it has not.
func (m *Member) fetchKeys(ctx context.Context) error {
	i := m.opts.Identity
	if i.Authority(m.issuing()) != nil || m.leads() != nil || !m.votes(m.self) {
		return nil
	}
	master, _ := m.masters.now()
	if master == "" || master == m.opts.Peer {
		return noMaster()
	}
	var answer keysAnswer
	if err := m.port.Call(ctx, master, http.MethodPost, "/peer/v1/authority", nil, &answer); err != nil {
		return fmt.Errorf("get the key of the authority: %w", err)
	}
	for _, text := range answer.Authorities {
		a, err := pki.ParseAuthority(text)
		if err != nil {
			return err
		}
		if !i.Trusts(a.Fingerprint()) || i.Authority(a.Fingerprint()) != nil {
			continue
		}
		if err := i.AddKey(a); err != nil {
			return err
		}
		m.log.Info("this voter has the key of the authority now", "authority", a.Fingerprint())
	}
	return nil
}

// votes tells whether a server has a vote.
func (m *Member) votes(id raft.ServerID) bool {
	return slices.ContainsFunc(m.voters(), func(v raft.Server) bool { return v.ID == id })
}

// takeVoter gives a voter the keys.
func (m *Member) takeVoter(w http.ResponseWriter, r *http.Request) error {
	lead, id := m.leads(), raft.ServerID(peer.FromContext(r.Context()))
	if lead == nil {
		return notMaster()
	}
	if s, in := lead.member(id); m.opts.Identity == nil || !in || s.Suffrage != raft.Voter {
		return score.Problemf(score.Forbidden, "only voters get the key of the authority")
	}
	var answer keysAnswer
	for _, der := range m.machine.Access().Authorities {
		if a := m.opts.Identity.Authority(access.Fingerprint(der)); a != nil {
			text, err := a.Encode()
			if err != nil {
				return err
			}
			answer.Authorities = append(answer.Authorities, text)
		}
	}
	m.log.Info("a voter gets the key of the authority", "frontend", memberID(id))
	return json.MarshalWrite(w, answer)
}

// dropKeys deletes the keys of authorities that the group trusts no more. One that is younger than those it trusts is yet to come.
func (m *Member) dropKeys() error {
	list := m.machine.Access().Authorities
	if len(list) == 0 {
		return nil
	}
	return m.opts.Identity.DeleteKeysBefore(list)
}

// renew gets this member a new certificate if it is time.
func (m *Member) renew(ctx context.Context) error {
	i := m.opts.Identity
	late := !i.Now().Before(i.RenewAt())
	if !late && i.IssuedBy() == m.issuing() {
		return nil
	}
	err := m.renewAtMaster(ctx, late)
	// A voter can help itself where there is no master: all may have been down for long.
	if err != nil && i.Expires().Sub(i.Now()) < pki.RenewWarning && i.Authority(i.IssuedBy()) != nil {
		err = i.Renew(i.IssuedBy())
	}
	if err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	return nil
}

func (m *Member) renewAtMaster(ctx context.Context, late bool) error {
	i := m.opts.Identity
	key, csr, err := i.Request()
	if err != nil {
		return err
	}
	issued := new(pki.IssuedCertificate)
	if m.leads() != nil {
		issued, err = m.issue(csr, i.Member())
	} else if master, _ := m.masters.now(); master == "" || master == m.opts.Peer {
		err = noMaster()
	} else {
		err = m.port.Call(ctx, master, http.MethodPost, "/peer/v1/certificate", bytes.NewReader(csr), issued)
	}
	if err != nil {
		return err
	}
	if len(issued.Chain) > 0 && access.Fingerprint(issued.Chain[0]) == i.IssuedBy() && !late {
		return errors.New("the master does not issue by the new authority yet")
	}
	if err := i.Install(key, issued); err != nil {
		return err
	}
	m.log.Info("this frontend has a new certificate", "expires", i.Expires(), "authority", i.IssuedBy())
	return nil
}

// takeRequest is the master's side of renewAtMaster.
func (m *Member) takeRequest(w http.ResponseWriter, r *http.Request) error {
	if m.leads() == nil {
		return notMaster()
	}
	csr, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return err
	}
	peer := peer.FromContext(r.Context())
	if peer == "" {
		return score.Problemf(score.Forbidden, "this group has no certificates")
	}
	issued, err := m.issue(csr, peer)
	if err != nil {
		return err
	}
	return json.MarshalWrite(w, issued)
}

// issue gives a member a certificate for its request. The error is a *score.Problem.
func (m *Member) issue(csr []byte, member string) (*pki.IssuedCertificate, error) {
	a := m.issuer()
	if a == nil {
		return nil, score.Problemf(score.NotReady, "this master does not hold the key of the group's authority yet")
	}
	issued, err := a.Issue(csr, member, m.opts.Identity.Now())
	if err != nil {
		p := score.Problemf(score.InvalidEvent, "%v", err)
		p.Field = "csr"
		return nil, p
	}
	issued.Authorities = m.opts.Identity.Authorities()
	m.log.Info("issued a certificate", "member", member, "authority", a.Fingerprint())
	return issued, nil
}

// issuer is the newest authority that a majority of the voters can go on with, should this master be lost; nil if it holds no key.
func (m *Member) issuer() *pki.Authority {
	i := m.opts.Identity
	list := m.machine.Access().Authorities
	if len(list) == 0 {
		return i.Authority(i.IssuedBy())
	}
	var oldest *pki.Authority
	for _, der := range slices.Backward(list) {
		a := i.Authority(access.Fingerprint(der))
		if a == nil {
			continue
		}
		if oldest = a; m.heldByMajority(a.Fingerprint()) {
			break
		}
	}
	return oldest
}

func (m *Member) heldByMajority(authority string) bool {
	voters := m.voters()
	holders := 0
	for _, v := range voters {
		h, fresh := m.neighbour.last(v.ID)
		if v.ID == m.self || fresh && slices.Contains(h.Keys, authority) {
			holders++
		}
	}
	return holders*2 > len(voters)
}
