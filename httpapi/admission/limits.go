package admission

import (
	"cmp"
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
	// ConnectionsPerAddress bounds the connections of one address: enough for a stadium
	// behind one router, and so few that it takes many addresses to fill the port.
	ConnectionsPerAddress = 2048
	// HeaderTimeout bounds the time for the header of a request.
	HeaderTimeout = 5 * time.Second
	// MaxBodyBytes bounds a JSON body, and BodyTimeout the time for it.
	MaxBodyBytes = 4 << 20
	BodyTimeout  = 10 * time.Second
	// AnswerTimeout bounds the time from a request's header to the end of its answer.
	// NDJSON streams have StreamIdle instead.
	AnswerTimeout = 60 * time.Second
	// StreamIdle is how long an NDJSON stream may send nothing, not even a blank line,
	// and how long its client may leave the answers unread.
	StreamIdle = 30 * time.Second
)

// Limits bound what clients may take of a frontend. A zero member stands for the constant
// of its name.
type Limits struct {
	HeaderTimeout time.Duration // for the header of a request, and for a TLS handshake
	MaxBodyBytes  int
	BodyTimeout   time.Duration
	AnswerTimeout time.Duration
	StreamIdle    time.Duration

	EventsPerCaller          int
	PostsPerAddress          int
	ReadsPerAddress          int
	ConnectionsPerAddress    int
	MaxReads, MaxPosts       int
	MaxPostBytes, MaxStreams int
	StreamsPerAddress        int
	// Proxies are networks in which an address is not one client: those of proxies, and
	// of load generators. This machine always is one.
	Proxies []netip.Prefix
}

// OrDefault returns l with the constants in place of zero members.
func (l Limits) OrDefault() Limits {
	return Limits{
		HeaderTimeout: cmp.Or(l.HeaderTimeout, HeaderTimeout),
		MaxBodyBytes:  cmp.Or(l.MaxBodyBytes, MaxBodyBytes),
		BodyTimeout:   cmp.Or(l.BodyTimeout, BodyTimeout),
		AnswerTimeout: cmp.Or(l.AnswerTimeout, AnswerTimeout),
		StreamIdle:    cmp.Or(l.StreamIdle, StreamIdle),

		EventsPerCaller:       cmp.Or(l.EventsPerCaller, EventsPerCaller),
		PostsPerAddress:       cmp.Or(l.PostsPerAddress, PostsPerAddress),
		ReadsPerAddress:       cmp.Or(l.ReadsPerAddress, ReadsPerAddress),
		ConnectionsPerAddress: cmp.Or(l.ConnectionsPerAddress, ConnectionsPerAddress),
		MaxReads:              cmp.Or(l.MaxReads, MaxReads),
		MaxPosts:              cmp.Or(l.MaxPosts, MaxPosts),
		MaxPostBytes:          cmp.Or(l.MaxPostBytes, MaxPostBytes),
		MaxStreams:            cmp.Or(l.MaxStreams, MaxStreams),
		StreamsPerAddress:     cmp.Or(l.StreamsPerAddress, StreamsPerAddress),
		Proxies:               l.Proxies,
	}
}

// Exempt reports whether limits by address do not apply: an address is not one client at
// the peer port, on this machine, and behind a proxy.
func (l *Limits) Exempt(a netip.Addr) bool {
	return !a.IsValid() || a.IsLoopback() ||
		slices.ContainsFunc(l.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

const (
	// EventsPerCaller is how many events a second one key or token may post, unless its
	// grant has another rate.
	EventsPerCaller = 50_000
	// PostsPerAddress is how many posts a second one address may make without a token.
	// Verifying their signatures takes time. A stream is one post.
	PostsPerAddress = 1_000
	// ReadsPerAddress is how many reads a second one address may make.
	ReadsPerAddress = 10_000
	// WrongTokensPerAddress is how many invalid tokens a second one address may send
	// before none of its tokens is looked at, and wrongTokensBurst how many at once.
	WrongTokensPerAddress = 2
	wrongTokensBurst      = 20
	// EnrolmentsPerSecond is how many frontends a second may try to join, and
	// enrolmentsBurst how many at once.
	EnrolmentsPerSecond = 2
	enrolmentsBurst     = 20
	// maxRated bounds the addresses, and the callers, whose budgets are kept.
	maxRated = 1 << 16
	// idleBudget is how long a budget is kept without a request. After that time it is
	// full again.
	idleBudget = 20 * time.Second
	shards     = 16
)

type rates struct {
	limits    Limits
	enrolment *rate.Limiter
	addresses [shards]budgets[netip.Addr, addressBudget]
	callers   budgets[string, rate.Limiter]
}

type addressBudget struct {
	reads, posts, wrongTokens *rate.Limiter
	streams                   atomic.Int64 // under way
}

// budgets are kept by key. The zero value is ready.
type budgets[K comparable, B any] struct {
	mu  sync.Mutex
	all map[K]*dated[B]
}

type dated[B any] struct {
	used   time.Time
	budget *B
}

// of returns the budget for k, which fresh makes if there is none. It keeps at most limit
// budgets.
func (b *budgets[K, B]) of(k K, limit int, fresh func() *B) *B {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[k]
	if one == nil {
		if b.all == nil {
			b.all = map[K]*dated[B]{}
		}
		if len(b.all) >= limit {
			b.sweep(now)
		}
		one = &dated[B]{budget: fresh()}
		b.all[k] = one
	}
	one.used = now
	return one.budget
}

// sweep removes idle budgets, or any one if none is idle.
func (b *budgets[K, B]) sweep(now time.Time) {
	before := len(b.all)
	for k, one := range b.all {
		if now.Sub(one.used) > idleBudget {
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

// address returns the budget of a peer's address, nil if the address is exempt.
func (r *rates) address(p *fastpath.Peer) *addressBudget {
	if p == nil || r.limits.Exempt(p.Addr) {
		return nil
	}
	at := fastpath.ClientAddress(p.Addr)
	bytes := at.As16()
	return r.addresses[(bytes[7]^bytes[15])%shards].of(at, maxRated/shards, func() *addressBudget {
		// The burst is what two seconds allow.
		each := func(perSecond int) *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), 2*perSecond) }
		return &addressBudget{
			reads:       each(r.limits.ReadsPerAddress),
			posts:       each(r.limits.PostsPerAddress),
			wrongTokens: rate.NewLimiter(WrongTokensPerAddress, wrongTokensBurst),
		}
	})
}

// AllowRead takes a read from the budget of a peer's address. It reports false if nothing
// is left.
func (c *Control) AllowRead(p *fastpath.Peer) bool {
	b := c.rates.address(p)
	return b == nil || b.reads.Allow()
}

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
