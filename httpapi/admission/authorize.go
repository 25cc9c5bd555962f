package admission

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// AuthorizeEvents marks unsigned events with the caller's token and checks that each
// event may be posted. It returns how many events from the first on may, and why the next
// one may not. Every state machine repeats the check; here it keeps unauthorized events
// out of the log.
func (g *Gate) AuthorizeEvents(
	ctx context.Context, caller *handler.Caller, events []score.Event,
) (n int, refused *score.Problem) {
	state := g.group.Access()
	for i := range events {
		e := &events[i]
		if e.Key == "" && caller.Grant != nil {
			e.Token = caller.Grant.ID
			if e.Source == "" {
				e.Source = caller.Grant.Name
			}
		}
		if e.Key != "" && state.Grants[e.Key] == nil {
			g.awaitGrant(ctx, e.Key)
			state = g.group.Access()
		}
		if reason, problem := g.authorize(state, e); problem != nil {
			return i, g.Refuse(reason, problem)
		}
	}
	return len(events), nil
}

// guardedStore decides about events without a key and without a token.
var guardedStore = &access.State{Guarded: true}

// authorize returns why e may not be posted, or nil.
func (g *Gate) authorize(state *access.State, e *score.Event) (reason Reason, refused *score.Problem) {
	grant := state.Grants[grantID(e)]
	switch {
	case grantID(e) == "":
		if g.guarded() {
			state = guardedStore
		}
		return reasonUnsigned, state.Authorize(e, nil)
	case grant != nil && Expired(grant):
		refused = score.Problemf(score.Unauthorized,
			"the grant of %q has expired; ask an operator for a new one", grant.Name)
		refused.ID = e.ID
		return reasonExpired, refused
	}
	reason = reasonEvent
	refused = state.Authorize(e, func(grant *access.Grant) *score.Problem {
		problem := g.verify(grant, e)
		if problem != nil {
			reason = reasonSignature
		}
		return problem
	})
	if refused != nil && reason == reasonEvent && grant == nil {
		reason = reasonUnknown
	}
	if refused != nil && grant != nil && grant.Revoked {
		reason = reasonRevoked
	}
	return reason, refused
}

// verify returns why the signature of e is not one by the key of grant, or nil.
func (g *Gate) verify(grant *access.Grant, e *score.Event) *score.Problem {
	b := handler.NewBuffer()
	defer b.Free()
	var err error
	b.B, err = signing.AppendForm(b.B[:0], e)
	switch {
	case err != nil:
		problem := score.Problemf(score.Unauthorized, "the event cannot have been signed: %s", err)
		problem.ID = e.ID
		return problem
	case !g.verifier.Verify(grant.Public, b.B, e.Signature):
		return signing.WrongSignature(e, b.B)
	}
	return nil
}

// grantID returns the id of the grant by which an event is posted, "" for none.
func grantID(e *score.Event) string {
	if e.Key != "" {
		return e.Key
	}
	return e.Token
}

// run returns how many of events, from the first on, are posted by the same grant.
func run(events []score.Event) int {
	n := 1
	for n < len(events) && grantID(&events[n]) == grantID(&events[0]) {
		n++
	}
	return n
}

// Budget returns the budget for the first events, and how many of them to take from it;
// nil if they have none. Streams wait for it.
func (g *Gate) Budget(events []score.Event) (budget *rate.Limiter, n int) {
	n = run(events)
	grant := g.group.Access().Grants[grantID(&events[0])]
	if grant == nil {
		return nil, n
	}
	budget = g.rates.events(grant)
	return budget, min(n, max(1, budget.Burst()))
}

// WithinRate takes a whole post from the budgets of its grants. A post that is larger
// than a budget can ever be is admitted when that is full.
func (g *Gate) WithinRate(events []score.Event) *score.Problem {
	for len(events) > 0 {
		n := run(events)
		if grant := g.group.Access().Grants[grantID(&events[0])]; grant != nil {
			budget := g.rates.events(grant)
			if !budget.AllowN(time.Now(), min(n, budget.Burst())) {
				return g.Refuse(reasonRate, score.Problemf(score.RateLimited,
					"%q posts more than %.4g events a second; this request was not processed; retry it",
					grant.Name, float64(budget.Limit())))
			}
		}
		events = events[n:]
	}
	return nil
}
