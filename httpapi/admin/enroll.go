package admin

import (
	"bytes"
	"context"
	"errors"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

const (
	defaultTokenTTL = time.Hour
	typePEM         = "application/x-pem-file"
)

// NewJoinToken makes a token with which frontends join. It is shown only in this answer.
func (h *Handlers) NewJoinToken(ctx context.Context, r *handler.Request) (handler.Response, error) {
	body := access.JoinTokenRequest{Uses: 1}
	if err := r.DecodeOptional(&body); err != nil {
		return none, err
	}
	ttl := defaultTokenTTL
	if body.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(body.TTL); err != nil {
			return none, handler.FieldProblem("ttl", "got %s; want a duration such as 1h", handler.Quoted(body.TTL))
		}
	}
	text, err := h.o.Trust.NewJoinToken(ctx, r.Caller.Name(), ttl, body.Uses)
	if err != nil {
		return none, err
	}
	return r.Result(access.JoinTokenResponse{Token: text}, func(b *bytes.Buffer) { b.WriteString(text + "\n") })
}

// Enroll issues the certificate of a frontend with a join token.
func (h *Handlers) Enroll(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body pki.EnrollRequest
	if err := r.Decode(&body); err != nil {
		return none, err
	}
	issued, err := h.o.Trust.Enroll(ctx, body.Token, body.CSR, body.Member)
	if err != nil {
		var problem *score.Problem
		if errors.As(err, &problem) && (problem.Code == score.Unauthorized || problem.Code == score.Forbidden) {
			h.o.Gate.Count(admission.ReasonEnrolment)
		}
		return none, err
	}
	return r.Result(issued, func(b *bytes.Buffer) {
		b.WriteString("the certificate is in the JSON form of this answer only\n")
	})
}

// Authority shows the certificates of the group's authorities, by which clients verify
// its frontends. They are no secret, but a client that gets them here must verify them in
// another way.
func (h *Handlers) Authority(_ context.Context, r *handler.Request) (handler.Response, error) {
	if err := r.NoParameters(); err != nil {
		return none, err
	}
	pem := h.o.Trust.AuthorityPEM()
	if len(pem) == 0 {
		return none, score.Problemf(score.NotFound,
			"the group has no certificates, because it was started with --insecure")
	}
	return handler.Response{CacheControl: "no-store", Type: typePEM, Body: pem}, nil
}

// ChangeAuthority begins or finishes a rotation of the authority.
func (h *Handlers) ChangeAuthority(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body struct {
		Finish bool `json:"finish"`
	}
	if err := r.DecodeOptional(&body); err != nil {
		return none, err
	}
	change := h.o.Trust.RotateAuthority
	if body.Finish {
		change = h.o.Trust.FinishRotation
	}
	if err := change(ctx, r.Caller.Name()); err != nil {
		return none, err
	}
	return h.accessView(r)
}
