package httpapi

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"laurel/httpapi/fastpath"
	"laurel/trust/access"
)

const (
	// EventsPerCaller is how many events a second are taken of one key or token, unless its grant says another number.
	EventsPerCaller = 50_000
	// PostsPerAddress is how many posts a second are taken from one address without a token: whose they are is found out only by checking their
	// signatures. A stream is one post.
	PostsPerAddress = 1_000
	// ReadsPerAddress is how many questions a second one address may ask.
	ReadsPerAddress = 10_000
	// WrongTokensPerAddress is how many tokens a second from one address may be wrong before none is looked at, and wrongTokensBurst how many at once.
	WrongTokensPerAddress = 2
	wrongTokensBurst      = 20
	// EnrolmentsPerSecond is how many frontends a second may try to join; a handful may come at once.
	EnrolmentsPerSecond = 2
	enrolmentsBurst     = 20
	// maxRated bounds the addresses, and the callers, whose rates are remembered.
	maxRated = 1 << 16
	// rateRest is after what time without a request nothing need be remembered: every budget is full again.
	rateRest = 20 * time.Second
	shards   = 16
)

// rates bound what one address and one caller get of this frontend.
type rates struct {
	limits    Limits
	enrolment *rate.Limiter
	addresses [shards]budgets[netip.Addr, addressBudget]
	callers   budgets[string, rate.Limiter]
}

func newRates(l Limits) *rates {
	return &rates{limits: l, enrolment: rate.NewLimiter(EnrolmentsPerSecond, enrolmentsBurst)}
}

type addressBudget struct {
	reads, posts, wrong *rate.Limiter
	streams             atomic.Int64 // under way
}

// budgets are those of many, by what they are for. The zero value is ready.
type budgets[K comparable, B any] struct {
	mu  sync.Mutex
	all map[K]*dated[B]
}

type dated[B any] struct {
	used   time.Time
	budget *B
}

// of is the budget for k, which fresh makes where there is none.
func (b *budgets[K, B]) of(k K, most int, fresh func() *B) *B {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[k]
	if one == nil {
		if b.all == nil {
			b.all = map[K]*dated[B]{}
		}
		if len(b.all) >= most {
			b.sweep(now)
		}
		one = &dated[B]{budget: fresh()}
		b.all[k] = one
	}
	one.used = now
	return one.budget
}

// sweep makes room: for what has rested, and if nothing has, for chance.
func (b *budgets[K, B]) sweep(now time.Time) {
	before := len(b.all)
	for k, one := range b.all {
		if now.Sub(one.used) > rateRest {
			delete(b.all, k)
		}
	}
	if len(b.all) < before {
		return
	}
	for k := range b.all {
		delete(b.all, k)
		return
	}
}

// exempt tells whether bounds by address mean nothing for a peer: at the peer port, on this machine, and behind a proxy, an address is not one client.
func (l *Limits) exempt(a netip.Addr) bool {
	return !a.IsValid() || a.IsLoopback() || slices.ContainsFunc(l.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// address is the budget of a peer's address; nil if it has none.
func (r *rates) address(p *fastpath.Peer) *addressBudget {
	if p == nil || r.limits.exempt(p.Addr) {
		return nil
	}
	at := fastpath.Place(p.Addr)
	bytes := at.As16()
	return r.addresses[(bytes[7]^bytes[15])%shards].of(at, maxRated/shards, func() *addressBudget {
		// Twice as many may come at once as in a second.
		each := func(perSecond int) *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), 2*perSecond) }
		return &addressBudget{reads: each(r.limits.ReadsPerAddress), posts: each(r.limits.PostsPerAddress), wrong: rate.NewLimiter(WrongTokensPerAddress, wrongTokensBurst)}
	})
}

// read takes a question from the budget of its address. False: there is none left.
func (r *rates) read(p *fastpath.Peer) bool {
	b := r.address(p)
	return b == nil || b.reads.Allow()
}

// post takes a post from the budget of its address.
func (r *rates) post(p *fastpath.Peer) bool {
	b := r.address(p)
	return b == nil || b.posts.Allow()
}

// streams counts those of an address; nil where they are not bounded.
func (r *rates) streams(p *fastpath.Peer) *atomic.Int64 {
	if b := r.address(p); b != nil {
		return &b.streams
	}
	return nil
}

// strike notes that a token was wrong.
func (r *rates) strike(p *fastpath.Peer) {
	if b := r.address(p); b != nil {
		b.wrong.Allow()
	}
}

// strikes tells whether too many tokens were wrong.
func (r *rates) strikes(p *fastpath.Peer) bool {
	b := r.address(p)
	return b != nil && b.wrong.Tokens() < 1
}

// events is the budget of events of a grant.
func (r *rates) events(g *access.Grant) *rate.Limiter {
	perSecond := g.Rate
	if perSecond <= 0 {
		perSecond = float64(r.limits.EventsPerCaller)
	}
	burst := max(1, int(perSecond))
	b := r.callers.of(g.ID, maxRated, func() *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), burst) })
	if b.Limit() != rate.Limit(perSecond) { // the grant was changed
		b.SetLimit(rate.Limit(perSecond))
		b.SetBurst(burst)
	}
	return b
}
