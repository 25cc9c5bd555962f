package httpapi

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// vouched finds out for which of the events, from the first on, somebody vouches who may post them: it gives their number, and what is wrong with the
// next. Every state machine asks the same again; here it keeps strangers out of the log. Events that came with a token it marks so.
func (p *port) vouched(ctx context.Context, who *caller, events []score.Event) (n int, refused *score.Problem) {
	access := p.group.Access()
	for i := range events {
		e := &events[i]
		if e.Key == "" && who.grant != nil {
			e.Token = who.grant.ID
			if e.Source == "" {
				e.Source = who.grant.Name
			}
		}
		if e.Key != "" && access.Grants[e.Key] == nil {
			p.awaitGrant(ctx, e.Key)
			access = p.group.Access()
		}
		if reason, problem := p.voucher(access, e); problem != nil {
			return i, p.refuse(reason, problem)
		}
	}
	return len(events), nil
}

// guardedStore is what an event must satisfy for which neither a key nor a token speaks.
var guardedStore = &access.State{Guarded: true}

// voucher says why e may not be posted.
func (p *port) voucher(state *access.State, e *score.Event) (reason string, refused *score.Problem) {
	grant := state.Grants[e.Token]
	if e.Key != "" {
		grant = state.Grants[e.Key]
	}
	switch {
	case e.Key == "" && e.Token == "":
		if p.guarded() {
			state = guardedStore
		}
		return refusedUnvouched, state.Authorize(e, nil)
	case grant != nil && expired(grant):
		refused = score.Problemf(score.Unauthorized, "the right of %q to post has expired; an operator can give it anew", grant.Name)
		refused.ID = e.ID
		return refusedExpired, refused
	}
	reason = refusedEvent
	refused = state.Authorize(e, func(g *access.Grant) *score.Problem {
		problem := p.verified(g, e)
		if problem != nil {
			reason = refusedSignature
		}
		return problem
	})
	if refused != nil && reason == refusedEvent && grant == nil {
		reason = refusedUnknown
	}
	if refused != nil && grant != nil && grant.Revoked {
		reason = refusedRevoked
	}
	return reason, refused
}

// verified says what is wrong with the signature of e, if it is not by the key of g.
func (p *port) verified(g *access.Grant, e *score.Event) *score.Problem {
	b := newBuffer()
	defer b.free()
	var err error
	b.b, err = signing.AppendForm(b.b[:0], e)
	switch {
	case err != nil:
		problem := score.Problemf(score.Unauthorized, "the event cannot have been signed: %s", err)
		problem.ID = e.ID
		return problem
	case !p.verifier.Verify(g.Public, b.b, e.Signature):
		return signing.WrongSignature(e, b.b)
	}
	return nil
}

// voucherOf is the grant by which an event comes; "" for none.
func voucherOf(e *score.Event) string {
	if e.Key != "" {
		return e.Key
	}
	return e.Token
}

// paced is the budget of the caller who vouches for the first events, and how many that are of the same; nil where nobody does. A stream waits for the budget.
func (p *port) paced(events []score.Event) (budget *rate.Limiter, n int) {
	id := voucherOf(&events[0])
	for n = 1; n < len(events) && voucherOf(&events[n]) == id; n++ {
	}
	grant := p.group.Access().Grants[id]
	if grant == nil {
		return nil, n
	}
	budget = p.rates.events(grant)
	return budget, min(n, max(1, budget.Burst()))
}

// withinRate takes a whole post from the budgets of those who vouch for its events. One that is larger than a budget can be is let through when that is full.
func (p *port) withinRate(events []score.Event) *score.Problem {
	for len(events) > 0 {
		id := voucherOf(&events[0])
		n := 1
		for ; n < len(events) && voucherOf(&events[n]) == id; n++ {
		}
		if grant := p.group.Access().Grants[id]; grant != nil {
			budget := p.rates.events(grant)
			if !budget.AllowN(time.Now(), min(n, budget.Burst())) {
				return p.refuse(refusedRate, score.Problemf(score.RateLimited, "%q posts more than %.4g events a second; nothing of this post was done; post it again", grant.Name, float64(budget.Limit())))
			}
		}
		events = events[n:]
	}
	return nil
}
