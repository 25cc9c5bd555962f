package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
)

// Access shows the access control of the store.
func (h *Handlers) Access(_ context.Context, r *handler.Request) (handler.Response, error) {
	view := h.Control.Access().View()
	return r.Result(view, func(b *bytes.Buffer) { accessText(b, view) })
}

func accessText(b *bytes.Buffer, v access.View) {
	switch {
	case v.Sworn:
		b.WriteString("events must be signed, and an operator must sign changes\n\n")
	case v.Guarded:
		b.WriteString("events must be signed, or come with a token\n\n")
	default:
		b.WriteString("the store is open: anybody may do anything\n\n")
	}
	t := textfmt.NewTable("ID", "NAME", "ROLE", "BY", "COMPETITIONS", "TYPES", "RATE", "EXPIRES", "STATE")
	for _, g := range v.Grants {
		by, rate := "token", "-"
		if len(g.Public) > 0 {
			by = "key"
		}
		if g.Rate > 0 {
			rate = strconv.FormatFloat(g.Rate, 'g', -1, 64) + "/s"
		}
		state := "good"
		switch {
		case g.Revoked:
			state = "revoked"
		case g.Expired(time.Now()):
			state = "expired"
		}
		t.Row(g.ID, g.Name, g.Role, by, orAny(g.Competitions), orAny(g.Types), rate, formatTime(g.Expires), state)
	}
	t.Write(b)
	if len(v.JoinTokens) > 0 {
		b.WriteString("\n")
		t := textfmt.NewTable("JOIN TOKEN", "USES LEFT", "EXPIRES", "VOTE", "HOSTS", "REPLACES")
		for _, j := range v.JoinTokens {
			vote, hosts := "yes", "-"
			if j.Nonvoter {
				vote = "no"
			}
			if len(j.Hosts) > 0 {
				hosts = strings.Join(j.Hosts, " ")
			}
			t.Row(j.ID, j.Uses, formatTime(j.Expires), vote, hosts, cmp.Or(j.Replace, "-"))
		}
		t.Write(b)
	}
	if len(v.Authorities) > 0 {
		b.WriteString("\n")
		t := textfmt.NewTable("AUTHORITY", "ISSUES")
		for _, a := range v.Authorities {
			issues := "no more"
			if a.Issues {
				issues = "now"
			}
			t.Row(a.Fingerprint, issues)
		}
		t.Write(b)
		if len(v.KeyHolders) > 0 {
			fmt.Fprintf(b, "removed frontends with the private key: %s\n", strings.Join(v.KeyHolders, " "))
		}
	}
}

// orAny returns the items of a limit, or "any" if there is none.
func orAny[S ~string](items []S) string {
	return cmp.Or(strings.Trim(fmt.Sprint(items), "[]"), "any")
}

// formatTime returns a time as text, "-" for none.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// NewGrant adds a grant. Without a public key it makes a token, shown only in its answer.
func (h *Handlers) NewGrant(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body access.GrantRequest
	if err := r.Decode(&body); err != nil {
		return none, err
	}
	now := time.Now().UTC()
	if !body.Expires.IsZero() && body.Expires.Before(now) {
		return none, handler.FieldProblem("expires",
			"%s has passed; want a time in the future, or none", formatTime(body.Expires))
	}
	g, token := body.Grant(now)
	answer := access.GrantResponse{ID: g.ID, Token: token}
	if err := h.changeAccess(ctx, r, access.Change{Grant: g}); err != nil {
		return none, err
	}
	return r.Result(answer, func(b *bytes.Buffer) {
		b.WriteString(answer.ID + "\n")
		if answer.Token != "" {
			b.WriteString(answer.Token + "\n")
		}
	})
}

// changeAccess makes a change in the name of the caller.
func (h *Handlers) changeAccess(ctx context.Context, r *handler.Request, c access.Change) error {
	c.At, c.By = time.Now().UTC(), r.Caller.Name()
	return h.Control.ChangeAccess(ctx, c)
}

// Revoke revokes a grant or a join token.
func (h *Handlers) Revoke(ctx context.Context, r *handler.Request) (handler.Response, error) {
	if err := h.changeAccess(ctx, r, access.Change{Revoke: r.Name}); err != nil {
		return none, err
	}
	return h.Access(ctx, r)
}

// Audit shows a page of the audit trail.
func (h *Handlers) Audit(_ context.Context, r *handler.Request) (handler.Response, error) {
	q, err := handler.Parameters(r.Query, "after", "limit")
	if err != nil {
		return none, err
	}
	limit, err := handler.PageSize(q)
	if err != nil {
		return none, err
	}
	cursor, err := handler.ParseCursor(q, "the number of a line")
	if err != nil {
		return none, err
	}
	var list []access.AuditEntry
	var next uint64
	var incarnation string
	// The master's state is current, unless another one has committed meanwhile.
	_, _, err = h.Trail.Stale(func(v queries.View) (err error) {
		incarnation = v.Incarnation()
		list, next, err = v.Audit(cursor.In(incarnation), limit)
		return err
	})
	if err != nil {
		return none, err
	}
	page := access.AuditPage{Audit: list, Next: handler.Next(incarnation, next)}
	return r.Result(page, func(b *bytes.Buffer) {
		t := textfmt.NewTable("NUMBER", "AT", "BY", "WHAT")
		for _, line := range page.Audit {
			t.Row(line.Number, formatTime(line.At), line.By, line.What)
		}
		t.Write(b)
		handler.NextText(b, page.Next)
	})
}

// Keys shows the public keys with which the signatures of events can be verified. A
// frontend knows a new key a moment after the master.
func (h *Handlers) Keys(_ context.Context, r *handler.Request) (handler.Response, error) {
	page := access.KeyPage{Keys: h.Control.Access().Keys()}
	return r.Result(page, func(b *bytes.Buffer) { keysText(b, page.Keys) })
}

// Key shows one public key.
func (h *Handlers) Key(_ context.Context, r *handler.Request) (handler.Response, error) {
	key, ok := h.Control.Access().Key(r.Name)
	if !ok {
		return none, score.Problemf(score.NotFound, "no key %s; GET /v1/keys lists the keys", handler.Quoted(r.Name))
	}
	return r.Result(key, func(b *bytes.Buffer) { keysText(b, []access.KeyView{key}) })
}

func keysText(b *bytes.Buffer, keys []access.KeyView) {
	t := textfmt.NewTable("ID", "NAME", "PUBLIC", "STATE")
	for _, k := range keys {
		state := "good"
		if k.Revoked {
			state = "revoked"
		}
		t.Row(k.ID, k.Name, base64.StdEncoding.EncodeToString(k.Public), state)
	}
	t.Write(b)
}

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
			return none, handler.Unwanted("ttl", body.TTL, "a duration such as 1h")
		}
	}
	text, err := h.Trust.NewJoinToken(ctx, r.Caller.Name(), ttl, body.Uses, body.Terms)
	if err != nil {
		return none, err
	}
	return r.Result(access.JoinTokenResponse{Token: text}, func(b *bytes.Buffer) { b.WriteString(text + "\n") })
}

// EnrollRequest is the request of a frontend that joins.
type EnrollRequest struct {
	Token  string `json:"token"`
	CSR    []byte `json:"csr"`
	Member string `json:"member"` // id@instance
}

// Enroll issues the certificate of a frontend with a join token.
func (h *Handlers) Enroll(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body EnrollRequest
	if err := r.Decode(&body); err != nil {
		return none, err
	}
	issued, err := h.Trust.Enroll(ctx, body.Token, body.CSR, body.Member)
	if err != nil {
		if code := score.CodeOf(err); code == score.Unauthorized || code == score.Forbidden {
			h.Gate.Count(admission.ReasonEnrolment)
		}
		return none, err
	}
	return r.Result(issued, func(b *bytes.Buffer) {
		b.WriteString("the certificate is in the JSON form of this answer only\n")
	})
}

// Authority shows the certificates of the group's authorities, by which clients verify
// its frontends. A client that gets them here must verify them in another way.
func (h *Handlers) Authority(_ context.Context, r *handler.Request) (handler.Response, error) {
	pem := h.Trust.AuthorityPEM()
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
	change := h.Trust.RotateAuthority
	if body.Finish {
		change = h.Trust.FinishRotation
	}
	if err := change(ctx, r.Caller.Name()); err != nil {
		return none, err
	}
	return h.Access(ctx, r)
}
