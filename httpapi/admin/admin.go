// Package admin has the handlers that show and change the group: its members, its access
// control and its certificates. Those that change something work at the master only.
package admin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
)

// Status describes the group.
type Status interface {
	// Master reports whether this frontend believes to be the master.
	Master() bool
	// Frontends returns the group as this frontend sees it.
	Frontends() score.Frontends
}

// AccessControl is the access control and the settings of the store.
type AccessControl interface {
	// Access returns their state as this frontend knows it. It must not be changed.
	Access() *access.State
	// ChangeAccess makes a change. Only the master can.
	ChangeAccess(ctx context.Context, c access.Change) error
	// ChangeSigned makes a change that an operator of a sworn group has signed. Only the
	// master can.
	ChangeSigned(ctx context.Context, c *access.SignedChange) error
}

// AuditTrail gives access to the audit trail.
type AuditTrail interface {
	// Stale calls f with this frontend's own state.
	Stale(f func(queries.View) error) (age time.Duration, known bool, err error)
}

// Membership changes the group. Its methods work at the master only.
type Membership interface {
	// Join adds a member, or changes what is known about one. byOperator is false if the
	// member asks for itself.
	Join(ctx context.Context, m score.NewMember, byOperator bool) error
	// Leave removes a member.
	Leave(ctx context.Context, id string, force bool) error
	// Autopilot returns how the members are, and which of them are to be removed.
	Autopilot() score.Autopilot
	// Transfer makes another frontend the master: the one named, or any for "".
	Transfer(ctx context.Context, to string) error
	// Drain has a frontend send its clients and its leadership to others, or ends that.
	Drain(ctx context.Context, id string, on bool) error
}

// Trust manages the certificates of a group. Its methods work at the master only, except
// AuthorityPEM. Their errors are a *score.Problem, also in a group without certificates.
// by is the operator, for the audit trail.
type Trust interface {
	// NewJoinToken makes a token with which frontends join on the terms, and returns its text.
	NewJoinToken(
		ctx context.Context, by string, ttl time.Duration, uses int, terms access.Terms,
	) (text string, err error)
	// Enroll issues the first certificate of a frontend with a join token. member is
	// id@instance. issued is encoded as JSON for the frontend.
	Enroll(ctx context.Context, token string, csr []byte, member string) (issued any, err error)
	// RotateAuthority makes an authority that issues all certificates from now on.
	// FinishRotation makes it the only one that is trusted.
	RotateAuthority(ctx context.Context, by string) error
	FinishRotation(ctx context.Context, by string) error
	// AuthorityPEM returns the certificates of the trusted authorities; nil for none.
	AuthorityPEM() []byte
}

// Handlers are the handlers of this package.
type Handlers struct {
	Status     Status
	Control    AccessControl
	Trail      AuditTrail
	Membership Membership
	Trust      Trust
	Gate       *admission.Gate
}

var none handler.Response

// Frontends shows the group as this frontend sees it.
func (h *Handlers) Frontends(_ context.Context, r *handler.Request) (handler.Response, error) {
	f := h.Status.Frontends()
	return r.Result(f, func(b *bytes.Buffer) { frontendsText(b, f) })
}

func frontendsText(b *bytes.Buffer, f score.Frontends) {
	master := "there is no master"
	if f.Master != "" {
		master = "the master is " + textfmt.OneLine(f.Master)
	}
	fmt.Fprintf(b, "mode %s, epoch %d, %s; the group stands the loss of %s\n\n", textfmt.OneLine(string(f.Mode)),
		f.Epoch,
		master, votersText(f.FailureTolerance))
	t := textfmt.NewTable("ID", "URL", "PEER", "ROLE", "STATE", "HEALTHY", "LEASE", "PUSHED", "RELEASED", "REVISION",
		"WATCHERS", "VERSION")
	for _, m := range f.Frontends {
		role := "non-voter"
		switch {
		case m.Master:
			role = "master"
		case m.Voter:
			role = "voter"
		}
		lease := "-"
		if m.Leased {
			lease = fmt.Sprint(m.LeaseMS, " ms")
		}
		t.Row(m.ID, m.URL, m.Peer, role, m.State, yesNo(m.Healthy), lease, m.Pushed, m.Released, m.Revision, m.Watchers,
			m.Version)
	}
	t.DropEmpty("VERSION")
	t.Write(b)
	deadText(b, f.Frontends)
	if versions := f.Versions(); len(versions) > 1 {
		fmt.Fprintf(b, "\nthe frontends run different versions of laurel: %s\n",
			textfmt.OneLine(strings.Join(versions, ", ")))
	}
	noRoomText(b, f.Frontends)
	putOutText(b, f.Frontends)
	if len(f.KeyHolders) > 0 {
		fmt.Fprintf(b, "\nthe private key of the group's authority left with %s; "+
			"to make it worthless run laurel cluster ca rotate, and then laurel cluster ca finish\n",
			textfmt.OneLine(strings.Join(f.KeyHolders, ", ")))
	}
}

// noRoomText says whose disk has no room for posts.
func noRoomText(b *bytes.Buffer, frontends []score.Frontend) {
	for _, m := range frontends {
		if m.NoRoom && m.DiskFree != nil {
			fmt.Fprintf(b, "\nthe disk of %s has too little room for posts, %d MiB: make room\n",
				textfmt.OneLine(m.ID), *m.DiskFree>>20)
		}
	}
}

// putOutText says who is put out, and until when.
func putOutText(b *bytes.Buffer, frontends []score.Frontend) {
	for _, m := range frontends {
		if m.PutOut == nil {
			continue
		}
		end := ""
		if m.PutOut.ForGood {
			end = ", for good: laurel roster drop and laurel cluster leave remove it"
		}
		fmt.Fprintf(b, "\n%s was put out at %s: %s%s\n", textfmt.OneLine(m.ID), m.PutOut.Since.Format("15:04:05 MST"),
			textfmt.OneLine(m.PutOut.Text), end)
	}
}

// Join adds a member, or changes what is known about one. It answers with the group, as
// Leave and Transfer do.
func (h *Handlers) Join(ctx context.Context, r *handler.Request) (handler.Response, error) {
	m := score.NewMember{Voter: true}
	if err := r.Decode(&m); err != nil {
		return none, err
	}
	if err := checkMember(&m); err != nil {
		return none, err
	}
	if err := h.checkSelf(r.Caller, m.ID, m.Instance, "join"); err != nil {
		return none, err
	}
	if err := h.Membership.Join(ctx, m, r.Caller.Covers(access.RoleOperator)); err != nil {
		return none, err
	}
	if err := h.audit(ctx, r, "added %s at %s, voter %t", m.ID, m.Peer, m.Voter); err != nil {
		return none, err
	}
	return h.Frontends(ctx, r)
}

func checkMember(m *score.NewMember) error {
	if !score.ValidPath(m.ID) {
		return handler.Unwanted("id", m.ID, "letters, digits and ._~-")
	}
	if m.Peer == "" {
		return handler.FieldProblem("peer", "missing; want the host:port for the other members")
	}
	if err := address.CheckPeer(m.Peer); err != nil {
		return handler.Unwanted("peer", m.Peer, "the host:port for the other members: %v", err)
	}
	u, err := address.Parse(m.URL)
	if err != nil {
		return handler.FieldProblem("url", "%v", err)
	}
	m.URL = u.String()
	return nil
}

// checkSelf refuses a caller who may not change the place of a member in the group. A
// member may change its own only.
func (h *Handlers) checkSelf(caller *handler.Caller, id, instance, what string) error {
	if caller.Covers(access.RoleOperator) || caller.IsMember(id, instance) {
		return nil
	}
	own, _, _ := strings.Cut(caller.Member, "@")
	return h.Gate.Refuse(admission.ReasonRole, score.Problemf(score.Forbidden,
		"the certificate of %s permits only %s to %s", handler.Quoted(caller.Member), handler.Quoted(own), what))
}

// audit adds a line to the audit trail. Its arguments have been checked: the line is
// shorter than what the store accepts.
func (h *Handlers) audit(ctx context.Context, r *handler.Request, format string, args ...any) error {
	return h.changeAccess(ctx, r, access.Change{Note: fmt.Sprintf(format, args...)})
}

// Leave removes a member. A master that is to leave asks the next one.
func (h *Handlers) Leave(ctx context.Context, r *handler.Request) (handler.Response, error) {
	q, err := handler.Parameters(r.Query, "force")
	if err != nil {
		return none, err
	}
	force := q.Has("force")
	if given := q.Get("force"); given != "" {
		if force, err = strconv.ParseBool(given); err != nil {
			return none, handler.Unwanted("force", given, "true or false")
		}
	}
	if !score.ValidPath(r.Name) {
		return none, handler.Unwanted("id", r.Name, "letters, digits and ._~-")
	}
	if err := h.checkSelf(r.Caller, r.Name, "", "leave"); err != nil {
		return none, err
	}
	// The audit trail comes first, here and in Transfer: afterwards this frontend may not
	// be the master.
	if err := h.audit(ctx, r, "asked %s to leave (force: %t)", r.Name, force); err != nil {
		return none, err
	}
	if err := h.Membership.Leave(ctx, r.Name, force); err != nil {
		return none, err
	}
	return h.Frontends(ctx, r)
}

// Transfer makes another frontend the master.
func (h *Handlers) Transfer(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body struct {
		To string `json:"to"`
	}
	if err := r.DecodeOptional(&body); err != nil {
		return none, err
	}
	if body.To != "" && !score.ValidPath(body.To) {
		return none, handler.Unwanted("to", body.To, "the id of a frontend")
	}
	if err := h.audit(ctx, r, "asked to transfer leadership to %s", cmp.Or(body.To, "any other voter")); err != nil {
		return none, err
	}
	if err := h.Membership.Transfer(ctx, body.To); err != nil {
		return none, err
	}
	return h.Frontends(ctx, r)
}

// Drain has a frontend drained, or ends that.
func (h *Handlers) Drain(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body struct {
		ID   string `json:"id"`
		Undo bool   `json:"undo"`
	}
	if err := r.Decode(&body); err != nil {
		return none, err
	}
	if !score.ValidPath(body.ID) {
		return none, handler.Unwanted("id", body.ID, "the id of a frontend")
	}
	what := "asked to drain %s"
	if body.Undo {
		what = "asked to end the draining of %s"
	}
	if err := h.audit(ctx, r, what, body.ID); err != nil {
		return none, err
	}
	if err := h.Membership.Drain(ctx, body.ID, !body.Undo); err != nil {
		return none, err
	}
	return h.Frontends(ctx, r)
}
