package admission

import (
	"cmp"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/score"
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
	HeaderTimeout, StreamIdle        time.Duration
	FirstEventTimeout, LateDelay     time.Duration
	MaxBodyBytes, MaxPostBytes       int
	PostsPerAddress, ReadsPerAddress int
	RequestsPerAddress               int
	MaxPosts, MaxStreams             int

	MaxAnswerBytes, AnswerBytesPerAddress int
	WatchersPerAddress                    int
	// Proxies are the networks of trusted proxies: Client believes what they report. An
	// address in them is not one client, nor is this machine.
	Proxies []netip.Prefix
}

// orDefault returns l with the constants in place of zero members.
func (l Limits) orDefault() Limits {
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, HeaderTimeout)
	l.StreamIdle = cmp.Or(l.StreamIdle, StreamIdle)
	l.FirstEventTimeout = cmp.Or(l.FirstEventTimeout, FirstEventTimeout)
	l.LateDelay = cmp.Or(l.LateDelay, LateDelay)
	l.MaxBodyBytes = cmp.Or(l.MaxBodyBytes, MaxBodyBytes)
	l.MaxPostBytes = cmp.Or(l.MaxPostBytes, MaxPostBytes)
	l.PostsPerAddress = cmp.Or(l.PostsPerAddress, PostsPerAddress)
	l.ReadsPerAddress = cmp.Or(l.ReadsPerAddress, ReadsPerAddress)
	l.RequestsPerAddress = cmp.Or(l.RequestsPerAddress, RequestsPerAddress)
	l.MaxPosts = cmp.Or(l.MaxPosts, MaxPosts)
	l.MaxStreams = cmp.Or(l.MaxStreams, MaxStreams)
	l.MaxAnswerBytes = cmp.Or(l.MaxAnswerBytes, MaxAnswerBytes)
	l.AnswerBytesPerAddress = cmp.Or(l.AnswerBytesPerAddress, AnswerBytesPerAddress)
	l.WatchersPerAddress = cmp.Or(l.WatchersPerAddress, WatchersPerAddress)
	return l
}

// Exempt reports whether limits by address do not apply: an address is not one client at
// the peer port, on this machine, and if it is a proxy's.
func (l *Limits) Exempt(a netip.Addr) bool {
	return !a.IsValid() || a.IsLoopback() || l.isProxy(a)
}

// exempt is Exempt for a peer. What a proxy calls a loopback address is not this machine.
func (l *Limits) exempt(p *fastpath.Peer) bool {
	return p == nil || l.isProxy(p.Addr) || !p.Proxied() && l.Exempt(p.Addr)
}

func (l *Limits) isProxy(a netip.Addr) bool {
	a = a.WithZone("") // no network contains an address with a zone
	for i := range l.Proxies {
		if l.Proxies[i].Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the client of a request that came from p: p itself, or the one that p
// reports in X-Forwarded-For and X-Forwarded-Proto if it is a trusted proxy. What anybody
// else sends in these header fields is ignored.
func (l *Limits) Client(p *fastpath.Peer, forwardedFor, forwardedProto string) *fastpath.Peer {
	if forwardedFor == "" && forwardedProto == "" || !l.isProxy(p.Addr) {
		return p
	}
	https := p.TLS != nil
	if forwardedProto != "" {
		https = strings.EqualFold(strings.TrimSpace(forwardedProto), "https")
	}
	return fastpath.BehindProxy(l.forwardedAddr(p.Addr, forwardedFor), https)
}

// forwardedAddr returns the address of the client behind the proxy at an address. Each
// proxy appends to X-Forwarded-For from where a request came, so the last address that is
// no trusted proxy's is the client's. What comes before it may be forged. If it is no
// address, the proxy's own is returned.
func (l *Limits) forwardedAddr(proxy netip.Addr, list string) netip.Addr {
	client := proxy
	for list != "" {
		i := strings.LastIndexByte(list, ',')
		a, err := parseForwarded(strings.TrimSpace(list[i+1:]))
		if err != nil {
			return client
		}
		if client = a; !l.isProxy(a) {
			return client
		}
		list = list[:max(i, 0)]
	}
	return client
}

// parseForwarded parses an address in X-Forwarded-For. Some proxies add the port.
func parseForwarded(text string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.Unmap(), err
}

const (
	// EventsPerCaller is how many events a second one key or token may post, unless its
	// grant has another rate.
	EventsPerCaller = 50_000
	// PostsPerAddress is how many posts a second one address may make without a token.
	// Verifying their signatures takes time. A stream is one post.
	PostsPerAddress = 1_000
	// ReadsPerAddress is how many reads a second one address may make. This and what
	// follows holds for each token apart from its address.
	ReadsPerAddress = 10_000
	// RequestsPerAddress is how many other requests a second one address may make. One for
	// the metrics, a page of some 300 KB, counts as metricsCost.
	RequestsPerAddress = 1_000
	metricsCost        = 100
	// UnknownGrantsPerAddress is for how many grants a second that this frontend does not
	// know requests of one address wait, and unknownGrantsBurst for how many at once. An
	// invalid token, too, names a grant that is not known.
	UnknownGrantsPerAddress = 2
	unknownGrantsBurst      = 20
	// EnrolmentsPerAddress is how many attempts to join a second one address may make, and
	// enrolmentsBurst how many at once.
	EnrolmentsPerAddress = 2
	enrolmentsBurst      = 20
	// maxRated bounds the addresses, and the callers, whose budgets are kept.
	maxRated = 1 << 16
	shards   = 16
)

// requestBudget is what one address, or one token, may ask for.
type requestBudget struct {
	reads, posts, others, unknownGrants, enrolments *rate.Limiter

	streams atomic.Int64 // under way
}

func (c *Control) newRequestBudget() *requestBudget {
	// The burst is what two seconds allow.
	each := func(perSecond int) *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), 2*perSecond) }
	return &requestBudget{
		reads:         each(c.Limits.ReadsPerAddress),
		posts:         each(c.Limits.PostsPerAddress),
		others:        each(c.Limits.RequestsPerAddress),
		unknownGrants: rate.NewLimiter(UnknownGrantsPerAddress, unknownGrantsBurst),
		enrolments:    rate.NewLimiter(EnrolmentsPerAddress, enrolmentsBurst),
	}
}

// budgets are kept by key, in two generations. When half of the limit are in the recent
// one, the older one is dropped: those that were not used since it was the recent one.
// The zero value is ready.
type budgets[K comparable, B any] struct {
	mu            sync.Mutex
	recent, older map[K]*B
}

// of returns the budget for k, which fresh makes if there is none. It keeps at most limit
// budgets.
func (b *budgets[K, B]) of(k K, limit int, fresh func() *B) *B {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.recent[k]
	if one != nil {
		return one
	}
	if one = b.older[k]; one == nil {
		one = fresh()
	}
	if b.recent == nil || len(b.recent) >= limit/2 {
		b.recent, b.older = map[K]*B{}, b.recent
	}
	b.recent[k] = one
	return one
}

// address returns the budget of a peer's address, nil if the address is exempt.
func (c *Control) address(p *fastpath.Peer) *requestBudget {
	if c.Limits.exempt(p) {
		return nil
	}
	at := address.Client(p.Addr)
	bytes := at.As16()
	return c.addresses[(bytes[7]^bytes[15])%shards].of(at, maxRated/shards, c.newRequestBudget)
}

// requests returns the budget of requests of a caller, nil if its address is exempt. One
// with a token has a budget of its own, whatever its neighbours do.
func (c *Control) requests(caller *handler.Caller) *requestBudget {
	b := c.address(caller.Peer)
	if b == nil || caller.Grant == nil {
		return b
	}
	return c.caller(caller.Grant).requests
}

// AllowRead takes a read from the budget of a peer's address. It reports false if nothing
// is left.
func (c *Control) AllowRead(p *fastpath.Peer) bool {
	b := c.address(p)
	return b == nil || b.reads.Allow()
}

// callerBudget is what one key or token may use.
type callerBudget struct {
	own      *allowance    // of the token, and of the key on this machine
	applied  *rate.Limiter // of the events by the key
	folds    *rate.Limiter
	folding  chan struct{} // has a token for each post that may fold events
	streams  int           // proven ones under way; streams.mu guards it
	requests *requestBudget
}

// caller returns the budget of a grant.
func (c *Control) caller(g *access.Grant) *callerBudget {
	perSecond := eventRate(g)
	b := c.callers.of(g.ID, maxRated, func() *callerBudget {
		return &callerBudget{
			own:      newAllowance(perSecond),
			applied:  newEvents(perSecond),
			folds:    rate.NewLimiter(FoldsPerCaller, FoldsPerCaller),
			folding:  make(chan struct{}, FoldingPostsPerKey),
			requests: c.newRequestBudget(),
		}
	})
	setRate(b.own.events, perSecond)
	setRate(b.applied, perSecond)
	return b
}

// callerOf returns the budget of the one who posts an event, nil if it has no grant.
func (g *Gate) callerOf(e *score.Event) *callerBudget {
	if grant := g.options.Access().Grants[grantID(e)]; grant != nil {
		return g.caller(grant)
	}
	return nil
}
