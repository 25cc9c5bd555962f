package admission

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/access"
)

// The events of a post are charged to the key or token that they are by. What they cost is
// known only afterwards. Some have the state machine fold other events again: a void those
// of its contest. Others change nothing, because they were applied before, and anybody can
// copy a signed event from a timeline. So a caller has an allowance for what is under
// way, and pays for what was applied and folded before it posts more. For a key each
// address has an allowance of its own: a copy is charged to the address that sends it.
const (
	// FoldsPerCaller is how many events a second one key or token may have folded again.
	// What it has folded beyond that, it pays for before its next such post.
	FoldsPerCaller = 20_000
	// FoldingPosts is how many posts of one token, or of one key from one address, are under
	// way at once that may have events folded again, and FoldingPostsPerKey how many of one
	// key.
	FoldingPosts       = 8
	FoldingPostsPerKey = 4 * FoldingPosts
)

// allowance is what may be under way by one token, or by one key from one address.
type allowance struct {
	events  *rate.Limiter
	folding chan struct{} // has a token for each post that may fold events
}

type keyAt struct {
	key  string
	from netip.Addr
}

func newAllowance(perSecond float64) *allowance {
	return &allowance{events: newEvents(perSecond), folding: make(chan struct{}, FoldingPosts)}
}

// newEvents returns a limit of events, all of a second at once.
func newEvents(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// setRate changes a limit of newEvents if the grant was changed.
func setRate(l *rate.Limiter, perSecond float64) {
	if l.Limit() != rate.Limit(perSecond) {
		l.SetLimit(rate.Limit(perSecond))
		l.SetBurst(max(1, int(perSecond)))
	}
}

func eventRate(g *access.Grant) float64 {
	if g.Rate > 0 {
		return g.Rate
	}
	return EventsPerCaller
}

// payer is the one who pays for some events of a post.
type payer struct {
	*callerBudget
	grant   *access.Grant
	allowed *allowance
	signed  bool // the events are by a key
}

// payerOf returns the payer for an event that caller posts. ok is false if it has no
// grant.
func (g *Gate) payerOf(caller *handler.Caller, e *score.Event) (p payer, ok bool) {
	if p.grant = g.options.Access().Grants[grantID(e)]; p.grant == nil {
		return p, false
	}
	p.callerBudget, p.signed = g.caller(p.grant), e.Key != ""
	p.allowed = p.own
	if p.signed && !g.Limits.exempt(caller.Peer) {
		perSecond := eventRate(p.grant)
		k := keyAt{e.Key, address.Client(caller.Peer.Addr)}
		p.allowed = g.allowances.of(k, maxRated, func() *allowance { return newAllowance(perSecond) })
		setRate(p.allowed.events, perSecond)
	}
	return p, true
}

// mayFold reports whether an event may have others folded again. A definition of a ranked
// contest may have its marks read, and a reset removes them.
func mayFold(e score.Event) bool {
	switch e.Data.(type) {
	case *score.EventVoid, *score.ContestDefine, *score.ContestReset:
		return true
	}
	return false
}

// Charge is what a post was charged with, until Settle. It has only what is to be settled.
type Charge []charged

// charged is a run of events by one caller.
type charged struct {
	payer
	first, n int
	place    bool // it has one in folding and one in allowed.folding
}

func (c Charge) hasPlace(a *allowance) bool {
	return slices.ContainsFunc(c, func(p charged) bool { return p.place && p.allowed == a })
}

// run returns how many of events, from the first on, are posted by the same grant.
func run(events []score.Event) int {
	n := 1
	for n < len(events) && grantID(&events[n]) == grantID(&events[0]) {
		n++
	}
	return n
}

// Charge charges the callers of a post with its events. Settle must be called once it is
// known what became of them. Events that are more than a caller may ever post at once are
// admitted when it may post as many as it ever may.
func (g *Gate) Charge(caller *handler.Caller, events []score.Event) (c Charge, refused *score.Problem) {
	for first := 0; first < len(events) && refused == nil; {
		n := run(events[first:])
		if p, ok := g.payerOf(caller, &events[first]); ok {
			part := charged{payer: p, first: first, n: n}
			folds := slices.ContainsFunc(events[first:first+n], mayFold) && !c.hasPlace(p.allowed)
			if refused = part.take(folds); p.signed || part.place {
				c = append(c, part)
			}
		}
		first += n
	}
	if refused != nil {
		c.leave()
		return nil, g.Refuse(reasonRate, refused)
	}
	return c, nil
}

// take charges the caller, and takes a place if the events may have others folded.
func (p *charged) take(folds bool) *score.Problem {
	now := time.Now()
	if !p.applied.AllowN(now, 0) || !p.allowed.events.AllowN(now, min(p.n, p.allowed.events.Burst())) {
		return score.Problemf(score.RateLimited,
			"%q posts more than %.4g events a second; this request was not processed; retry it",
			p.grant.Name, eventRate(p.grant))
	}
	if !folds {
		return nil
	}
	if !p.takePlace(nil) {
		return score.Problemf(score.RateLimited,
			"too many posts with voids or definitions by this key or token are under way; "+
				"this request was not processed; retry it")
	}
	if p.folds.TokensAt(now) < 1 {
		return score.Problemf(score.RateLimited,
			"the voids by this key or token have folded more than %d events a second; "+
				"this request was not processed; retry it", FoldsPerCaller)
	}
	return nil
}

// takePlace takes a place for a post that may have events folded again. If there is none,
// it waits until ended is closed, unless that is nil.
func (p *charged) takePlace(ended <-chan struct{}) bool {
	if !enter(p.allowed.folding, ended) {
		return false
	}
	if p.place = enter(p.folding, ended); !p.place {
		<-p.allowed.folding
	}
	return p.place
}

// enter puts a token into places, as takePlace does.
func enter(places chan<- struct{}, ended <-chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	if ended == nil {
		return false
	}
	select {
	case places <- struct{}{}:
		return true
	case <-ended:
		return false
	}
}

// AwaitCharge is Charge for a stream, which waits until ctx ends. It charges the first n
// of the events.
func (g *Gate) AwaitCharge(
	ctx context.Context, caller *handler.Caller, events []score.Event,
) (c Charge, n int, err error) {
	n = run(events)
	p, ok := g.payerOf(caller, &events[0])
	if !ok {
		return nil, n, nil
	}
	n = min(n, p.allowed.events.Burst())
	part := charged{payer: p, n: n}
	if err = wait(ctx, p.allowed.events, n); err == nil {
		err = wait(ctx, p.applied, 0)
	}
	if err == nil && slices.ContainsFunc(events[:n], mayFold) {
		if part.takePlace(ctx.Done()) {
			err = wait(ctx, p.folds, 0)
		} else {
			err = ctx.Err()
		}
	}
	c = Charge{part}
	if err != nil {
		c.leave()
		return nil, 0, err
	}
	return c, n, nil
}

// wait takes n from a limit. It fails if it has to wait when ctx has ended.
func wait(ctx context.Context, l *rate.Limiter, n int) error {
	if l.AllowN(time.Now(), n) {
		return nil
	}
	return l.WaitN(ctx, n)
}

// Settle gives the places back and has the callers pay for what was applied and folded. If
// the outcome is not known, they pay for a second of folds.
func (c Charge) Settle(results []score.Result, err error) {
	folded := 0
	if code := score.CodeOf(err); err != nil && (code == "" || code == score.OutcomeUnknown) {
		folded = FoldsPerCaller
	}
	for i := range results {
		folded += results[i].Folded
	}
	now := time.Now()
	for _, p := range c {
		if p.signed {
			applied := 0
			for i := p.first; i < min(p.first+p.n, len(results)); i++ {
				if results[i].Status == score.Applied {
					applied++
				}
			}
			p.applied.ReserveN(now, min(applied, p.applied.Burst()))
		}
		for left := folded; p.place && left > 0; left -= FoldsPerCaller {
			p.folds.ReserveN(now, min(left, FoldsPerCaller))
		}
	}
	c.leave()
}

func (c Charge) leave() {
	for _, p := range c {
		if p.place {
			<-p.folding
			<-p.allowed.folding
		}
	}
}
