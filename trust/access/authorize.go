package access

import "laurel/score"

// Authorize returns why e may not be posted, or nil. A frontend calls it before it
// accepts a post, which keeps refused events out of the log. Every state machine calls it
// again at the event's position in the log, and that decision counts.
//
// verify is called last, for a signed event. It returns nil if the signature is by the
// key of g.
func (s *State) Authorize(e *score.Event, verify func(g *Grant) *score.Problem) *score.Problem {
	switch {
	case e.Key != "":
		return s.authorizeSigned(e, verify)
	case len(e.Signature) > 0:
		return unauthorized(e, "signature", "has no key beside it; send the id of the key that signed")
	case e.Token != "":
		g := s.Grants[e.Token]
		// The id of a key is not secret: if it were accepted here, no signature would be
		// needed.
		if g == nil || len(g.Hash) == 0 {
			return unauthorized(e, "", "the token %.40q is unknown; an operator can issue another", e.Token)
		}
		return g.CheckEvent(e)
	case s.Guarded:
		return unauthorized(e, "", "the event is neither signed nor posted with a token; sign it, or send a token")
	}
	return nil
}

func (s *State) authorizeSigned(e *score.Event, verify func(g *Grant) *score.Problem) *score.Problem {
	g := s.Grants[e.Key]
	if g == nil || len(g.Public) == 0 {
		return unauthorized(e, "key", "no bard has the key %.40q; an operator can register it", e.Key)
	}
	// A bard cannot have signed what a frontend filled in.
	for _, given := range [...]struct {
		field string
		ok    bool
	}{{"id", e.IDGiven}, {"source", e.Source != ""}, {"seq", e.Seq > 0}, {"time", e.TimeGiven}} {
		if !given.ok {
			return unauthorized(e, given.field,
				"missing; a signed event has the id, source, seq and time that its bard gave")
		}
	}
	if p := g.CheckEvent(e); p != nil {
		return p
	}
	return verify(g)
}

func unauthorized(e *score.Event, field, format string, args ...any) *score.Problem {
	p := score.Problemf(score.Unauthorized, format, args...)
	p.ID, p.Field = e.ID, field
	return p
}
