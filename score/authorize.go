package score

import "unicode/utf8"

// maxShown bounds what a Problem shows of the bytes that a signature should have been over.
const maxShown = 300

// Authorize says why e may not be posted; nil: it may. A frontend asks before it takes the post, so that strangers do not fill the log, and
// every state machine asks again at the event's place in the log, which is what counts.
//
// Verified is asked last, for the signature of an event that has one: whether it is by the key of g. A frontend gives Verifier.Of(e), with a
// verifier that lasts.
func (a *Access) Authorize(e *Event, verified func(g *Grant) *Problem) *Problem {
	switch {
	case e.Key != "":
		return a.authorizeSigned(e, verified)
	case len(e.Signature) > 0:
		return unauthorized(e, "signature", "there is a signature, but no key that says whose")
	case e.Token != "":
		g := a.Grants[e.Token]
		// The id of a key is no secret: whoever could name it here would need no signature.
		if g == nil || len(g.Hash) == 0 {
			return unauthorized(e, "", "the token %q is not known; an operator can give another", clip(e.Token))
		}
		return g.May(e)
	case a.Guarded:
		return unauthorized(e, "", "nobody vouches for the event; sign it, or send a token")
	}
	return nil
}

func (a *Access) authorizeSigned(e *Event, verified func(g *Grant) *Problem) *Problem {
	g := a.Grants[e.Key]
	if g == nil || len(g.Public) == 0 {
		return unauthorized(e, "key", "no bard has the key %q; an operator can register it", clip(e.Key))
	}
	for _, given := range [...]struct {
		field string
		ok    bool
	}{{"id", e.IDGiven}, {"source", e.Source != ""}, {"seq", e.Seq > 0}, {"time", e.TimeGiven}} {
		// What a frontend filled in the bard cannot have signed.
		if !given.ok {
			return unauthorized(e, given.field, "missing; a signed event has all of id, source, seq and time from its bard")
		}
	}
	if p := g.May(e); p != nil {
		return p
	}
	return verified(g)
}

// Of is for Authorize: it tells what is wrong with the signature of e.
func (v *Verifier) Of(e *Event) func(g *Grant) *Problem {
	return func(g *Grant) *Problem {
		form, err := SignedForm(e)
		switch {
		case err != nil:
			return Unsignable(e, err)
		case !v.Verify(g.Public, form, e.Signature):
			return WrongSignature(e, form)
		}
		return nil
	}
}

// WrongSignature says that the signature of e does not verify over form.
func WrongSignature(e *Event, form []byte) *Problem {
	shown := form
	if len(shown) > maxShown {
		n := maxShown
		for n > 0 && !utf8.RuneStart(shown[n]) {
			n--
		}
		shown = append(shown[:n:n], "..."...)
	}
	return unauthorized(e, "signature", "it is not by the key %s over the event as it stands here; what is signed has these %d bytes: %s", e.Key, len(form), shown)
}

// Unsignable says that e has no form that could be signed.
func Unsignable(e *Event, err error) *Problem {
	return unauthorized(e, "", "what is posted cannot have been signed: %v", err)
}

func unauthorized(e *Event, field, format string, args ...any) *Problem {
	p := Problemf(Unauthorized, format, args...)
	p.ID, p.Field = e.ID, field
	return p
}
