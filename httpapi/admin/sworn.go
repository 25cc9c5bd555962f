package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
)

// Roster shows the operators and the frontends of a sworn group, with their public keys,
// as far as this frontend has applied the log.
func (h *Handlers) Roster(_ context.Context, r *handler.Request) (handler.Response, error) {
	view := h.Control.Access().RosterView()
	return r.Result(view, func(b *bytes.Buffer) { rosterText(b, view) })
}

func rosterText(b *bytes.Buffer, v access.RosterView) {
	if !v.Sworn {
		b.WriteString("the group is not sworn: nobody signs its changes\n")
		return
	}
	fmt.Fprintf(b, "the first operator's key has the fingerprint %s\n\n", v.Founder)
	t := textfmt.NewTable("OPERATOR", "KEY", "LAST CHANGE", "STATE")
	for _, o := range v.Operators {
		state := "good"
		if o.Revoked {
			state = "revoked"
		}
		t.Row(o.Name, o.ID, o.Number, state)
	}
	t.Write(b)
	b.WriteString("\n")
	t = textfmt.NewTable("FRONTEND", "KEY")
	for _, f := range v.Frontends {
		t.Row(f.Name, base64.StdEncoding.EncodeToString(f.Key))
	}
	t.Write(b)
}

// SignedChange makes a change that an operator has signed. It answers with the roster.
func (h *Handlers) SignedChange(ctx context.Context, r *handler.Request) (handler.Response, error) {
	c := new(access.SignedChange)
	if err := r.Decode(c); err != nil {
		return none, err
	}
	// What changes nothing is answered here already, and fills no log: everybody can send what
	// no operator has signed, and once more what the roster shows as signed.
	state := h.Control.Access()
	next, _, p := state.ApplySigned(c, state.FormatOf(&c.Change))
	switch {
	case p != nil && p.Code == score.Unsigned:
		return none, h.Gate.Refuse(admission.ReasonSignature, p)
	case p != nil && next == nil:
		return none, p
	case next == state && c.Change.Setting == nil: // ChangeSigned waits until a setting holds
		return h.Roster(ctx, r)
	}
	if err := h.Control.ChangeSigned(ctx, c); err != nil {
		return none, err
	}
	return h.Roster(ctx, r)
}
