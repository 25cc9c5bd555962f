// Package admin has the handlers that show and change the group: its members, its access
// control and its certificates. Those that change something must be wrapped by
// Handlers.AtMaster.
package admin

import (
	"context"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Status describes the group.
type Status interface {
	// Master reports whether this frontend believes to be the master.
	Master() bool
	// Frontends returns the group as this frontend sees it.
	Frontends() score.Frontends
}

// AccessControl is the store's access control.
type AccessControl interface {
	// Access returns its state as far as this frontend has applied the log. It must not
	// be changed.
	Access() *access.State
	// ChangeAccess changes it. Only the master can.
	ChangeAccess(ctx context.Context, c access.Change) error
}

// AuditTrail gives access to the audit trail.
type AuditTrail interface {
	// Stale calls f with this frontend's own state.
	Stale(f func(queries.View) error) (age time.Duration, known bool, err error)
}

// Membership changes the group. Its methods work at the master only.
type Membership interface {
	// Join adds a member, or changes what is known about one.
	Join(ctx context.Context, m score.NewMember) error
	// Leave removes a member.
	Leave(ctx context.Context, id string, force bool) error
	// Transfer makes another frontend the master: the one named, or any for "".
	Transfer(ctx context.Context, to string) error
	SetCacheMode(ctx context.Context, mode score.CacheMode) error
}

// Trust manages the certificates of a group. Its methods work at the master only, except
// AuthorityPEM. Their errors are a *score.Problem, also in a group without certificates.
// by is the operator, for the audit trail.
type Trust interface {
	// NewJoinToken makes a token with which frontends join, and returns its text.
	NewJoinToken(ctx context.Context, by string, ttl time.Duration, uses int) (text string, err error)
	// Enroll issues the first certificate of a frontend with a join token. member is
	// id@instance.
	Enroll(ctx context.Context, token string, csr []byte, member string) (*pki.IssuedCertificate, error)
	// RotateAuthority makes an authority that issues all certificates from now on.
	// FinishRotation makes it the only one that is trusted.
	RotateAuthority(ctx context.Context, by string) error
	FinishRotation(ctx context.Context, by string) error
	// AuthorityPEM returns the certificates of the trusted authorities, nil if there are
	// none.
	AuthorityPEM() []byte
}

// Handlers are the handlers of this package.
type Handlers struct {
	Status     Status
	Control    AccessControl
	Trail      AuditTrail
	Membership Membership
	Trust      Trust
	// Forward has the master answer a request.
	Forward func(r *handler.Request) (handler.Response, error)
	Gate    *admission.Gate
}

// AtMaster returns a handler that answers by f at the master and forwards to it
// elsewhere.
func (h *Handlers) AtMaster(f handler.Func) handler.Func {
	return func(ctx context.Context, r *handler.Request) (handler.Response, error) {
		if !h.Status.Master() {
			return h.Forward(r)
		}
		return f(ctx, r)
	}
}

// RateLimited returns a handler that answers by f, but not too often: anybody may call
// it, and it is expensive.
func (h *Handlers) RateLimited(f handler.Func) handler.Func {
	return func(ctx context.Context, r *handler.Request) (handler.Response, error) {
		if problem := h.Gate.AllowEnrolment(); problem != nil {
			return handler.Response{}, problem
		}
		return f(ctx, r)
	}
}
