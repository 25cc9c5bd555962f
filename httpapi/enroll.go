package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Trust is what a group whose members have certificates can do besides. Its methods work at the master only, but for AuthorityPEM; their errors are
// *score.Problem, also where the members have none. By is the operator, for the trail.
type Trust interface {
	// NewJoinToken makes a token by which frontends join, and gives its text.
	NewJoinToken(ctx context.Context, by string, ttl time.Duration, uses int) (text string, err error)
	// Enroll issues the first certificate of a frontend that has one. Member is id@instance.
	Enroll(ctx context.Context, token string, csr []byte, member string) (*pki.IssuedCertificate, error)
	// RotateAuthority makes an authority that issues all certificates from now on; FinishRotation has only that one trusted.
	RotateAuthority(ctx context.Context, by string) error
	FinishRotation(ctx context.Context, by string) error
	// AuthorityPEM is the certificates of the authorities that are trusted; nil if there are none.
	AuthorityPEM() []byte
}

const (
	defaultTokenTTL = time.Hour
	typePEM         = "application/x-pem-file"
)

func withoutCertificates() *score.Problem {
	return score.Problemf(score.StatusConflict, "the members of this group have no certificates, for it was begun with --insecure; whoever reaches it may join")
}

// newJoinToken makes a token by which frontends join, and shows it, once.
func (p *port) newJoinToken(w http.ResponseWriter, r *http.Request) error {
	asked := access.JoinTokenRequest{Uses: 1}
	if err := p.decodeBody(w, r, &asked, optional); err != nil {
		return err
	}
	ttl := defaultTokenTTL
	if asked.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(asked.TTL); err != nil {
			return fieldProblem("ttl", "got %s; want how long it lasts, such as 1h", quoted(asked.TTL))
		}
	}
	if p.trust == nil {
		return withoutCertificates()
	}
	text, err := p.trust.NewJoinToken(r.Context(), callerOf(r).name(), ttl, asked.Uses)
	if err != nil {
		return err
	}
	return say(w, r, access.JoinTokenResponse{Token: text}, func(b *bytes.Buffer) { b.WriteString(text + "\n") })
}

// enroll gives a frontend that has a join token its certificate.
func (p *port) enroll(w http.ResponseWriter, r *http.Request) error {
	if p.trust == nil {
		return withoutCertificates()
	}
	var asked pki.EnrollRequest
	if err := p.decodeBody(w, r, &asked, required); err != nil {
		return err
	}
	issued, err := p.trust.Enroll(r.Context(), asked.Token, asked.CSR, asked.Member)
	if err != nil {
		var problem *score.Problem
		if errors.As(err, &problem) && (problem.Code == score.Unauthorized || problem.Code == score.Forbidden) {
			p.refuse(refusedEnrolment, problem)
		}
		return err
	}
	return say(w, r, issued, func(b *bytes.Buffer) { b.WriteString("the certificate is only in the answer as JSON\n") })
}

// seldom lets h be called only so often: what it does costs much, and anybody may call it.
func (p *port) seldom(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if p.forwards && !p.rates.enrolment.Allow() {
			return p.refuse(refusedEnrolment, score.Problemf(score.RateLimited, "too many frontends want to join at once; ask again in a moment"))
		}
		return h(w, r)
	}
}

// authority is the certificates of the group's authorities, by which clients know its frontends. They are no secret; but who gets them here must know
// otherwise that they are the right ones.
func (p *port) authority(w http.ResponseWriter, r *http.Request) error {
	if err := knownOnly(r); err != nil {
		return err
	}
	var pem []byte
	if p.trust != nil {
		pem = p.trust.AuthorityPEM()
	}
	if len(pem) == 0 {
		return score.Problemf(score.NotFound, "the members of this group have no certificates, for it was begun with --insecure")
	}
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, typePEM, pem)
	return nil
}

// changeAuthority begins to change the authority, or ends it.
func (p *port) changeAuthority(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		Finish bool `json:"finish"`
	}
	if err := p.decodeBody(w, r, &asked, optional); err != nil {
		return err
	}
	if p.trust == nil {
		return withoutCertificates()
	}
	change := p.trust.RotateAuthority
	if asked.Finish {
		change = p.trust.FinishRotation
	}
	if err := change(r.Context(), callerOf(r).name()); err != nil {
		return err
	}
	return p.sayAccess(w, r)
}
