// Package admission decides which requests a frontend takes: who may make them, how many
// each caller and each address may make, and how many are under way at once. What it
// refuses it counts by reason.
//
// A Control has the state that the ports of a frontend share. Each port has a Gate: Admit
// finds out who makes a request and whether that is permitted, Enter takes a place for
// it. AuthorizeEvents decides event by event who may post.
package admission

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/access"
)

// Permission is what a route requires of its caller. The zero value permits nobody.
type Permission int

const (
	_ Permission = iota
	// PermitAll permits everybody.
	PermitAll
	// PermitRead permits everybody, or readers where the group is private.
	PermitRead
	// PermitMetrics is PermitRead for answers that must be given under overload, too.
	PermitMetrics
	// PermitWatch is PermitRead for answers that do not end.
	PermitWatch
	// PermitPost permits everybody to call; AuthorizeEvents decides event by event.
	PermitPost
	// PermitOperate permits operators.
	PermitOperate
	// PermitJoin permits operators, and members about themselves.
	PermitJoin
	// PermitLeave permits operators, and members about themselves, if they ask the master
	// themselves: nobody removes a member by saying that it asked.
	PermitLeave
	// PermitEnroll permits everybody; the body has a join token.
	PermitEnroll
	// PermitSigned permits everybody; the body has the signature of an operator.
	PermitSigned
)

// Reads reports whether n is for answers that a page of another origin may read.
func (n Permission) Reads() bool {
	switch n {
	case PermitAll, PermitRead, PermitMetrics, PermitWatch:
		return true
	}
	return false
}

// Reason is why something was refused, as laurel_http_refused_total counts it.
type Reason string

const (
	ReasonOrigin     Reason = "cross_origin"
	reasonHost       Reason = "foreign_host"
	ReasonRole       Reason = "role"
	ReasonEnrolment  Reason = "enrolment"
	ReasonHandshake  Reason = "tls_handshake"
	ReasonConnection Reason = "address_connections"
	ReasonOverload   Reason = "overload"

	reasonMissing   Reason = "no_token"
	reasonMalformed Reason = "malformed_token"
	reasonUnknown   Reason = "unknown_token"
	reasonRevoked   Reason = "revoked"
	reasonExpired   Reason = "expired"
	reasonInClear   Reason = "token_in_clear"
	reasonInURL     Reason = "token_in_url"
	reasonUnknowns  Reason = "unknown_grants"
	reasonEvent     Reason = "event_forbidden"
	ReasonSignature Reason = "signature"
	reasonUnsigned  Reason = "unsigned"
	reasonRate      Reason = "caller_rate"
	reasonAddress   Reason = "address_rate"
	reasonStreams   Reason = "streams"
	reasonWatchers  Reason = "watchers"
	reasonUnread    Reason = "unread_answers"
)

// reasons are all of them, so that each has a metric from the start.
var reasons = []Reason{
	reasonMissing, reasonMalformed, reasonUnknown, reasonRevoked, reasonExpired, reasonInClear, reasonInURL,
	reasonUnknowns, ReasonRole, reasonEvent, ReasonSignature, reasonUnsigned, ReasonOrigin, reasonHost, reasonRate,
	reasonAddress, ReasonEnrolment, ReasonOverload, reasonStreams, reasonWatchers, reasonUnread, ReasonHandshake,
	ReasonConnection,
}

// Options of a Control.
type Options struct {
	// Access returns the access control of the store as far as this frontend has applied
	// the log.
	Access func() *access.State
	// Master reports whether this frontend believes to be the master.
	Master func() bool
	Limits Limits // zero members are the defaults
	// Secure is true for a frontend with certificates. It requires callers to
	// authenticate even while the frontend has not applied yet what the log says.
	Secure bool
	// PublicHost is the name or address in the URL at which clients reach this frontend.
	PublicHost string
	// Verify returns why the signature of an event is not one by the key for the store
	// with the lineage, or nil. If the state machine verifies by the same, each signature
	// is verified once in this process.
	Verify func(public ed25519.PublicKey, lineage string, e *score.Event) *score.Problem
	// CallerOf returns the name, id@instance, of the member that a certificate is for, and
	// whether it permits only to join.
	CallerOf func(*x509.Certificate) (member string, joins bool, err error)
	// Sender returns the name of the member at the other end of a connection to the peer
	// port, by the context of its request; "" if members have no certificates.
	Sender func(context.Context) string
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Control is the state of admission that the ports of a frontend share. Its methods may
// be called by any goroutine.
type Control struct {
	// Bodies reads bodies of requests within Limits.MaxPostBytes.
	Bodies handler.Bodies
	Limits Limits // without zero members

	options    Options
	addresses  [shards]budgets[netip.Addr, requestBudget]
	callers    budgets[string, callerBudget]
	allowances budgets[keyAt, allowance]
	returns    *rate.Limiter // of paused connections
	memory     memory        // of answers

	reads, posts atomic.Int64  // under way
	lists        chan struct{} // has a token for each list that is made
	streams      streams
	late         atomic.Bool // goroutines wait long for a processor

	awaiting chan struct{} // has a token for each request that waits for a grant
	refused  *prometheus.CounterVec
	delay    prometheus.Gauge
}

// New returns a Control. It panics if the registerer has its metrics already.
func New(o Options) *Control {
	metrics := promauto.With(o.Registerer)
	c := &Control{
		Limits:   o.Limits.orDefault(),
		options:  o,
		returns:  rate.NewLimiter(returnsPerSecond, 1),
		awaiting: make(chan struct{}, maxAwaiting),
		lists:    make(chan struct{}, MaxLists),
		refused: metrics.NewCounterVec(prometheus.CounterOpts{
			Name: "laurel_http_refused_total",
			Help: "Requests, events of streams and connections that were refused because of their caller " +
				"or of their number, by reason.",
		}, []string{"reason"}),
		delay: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "laurel_scheduling_delay_seconds",
			Help: "How late a goroutine of this frontend ran last. After three values above 0.05 in a row, " +
				"reads that are not in memory and new watchers are refused.",
		}),
	}
	c.Bodies.MaxBytes, c.Bodies.MaxTotal = c.Limits.MaxBodyBytes, c.Limits.MaxPostBytes
	c.Bodies.Timeout = BodyTimeout
	c.Bodies.Full = func() { c.Count(ReasonOverload) }
	for _, reason := range reasons {
		c.refused.WithLabelValues(string(reason))
	}
	return c
}

// Count counts a refusal.
func (c *Control) Count(reason Reason) { c.refused.WithLabelValues(string(reason)).Inc() }

// Refuse counts a refusal and returns p.
func (c *Control) Refuse(reason Reason, p *score.Problem) *score.Problem {
	c.Count(reason)
	return p
}

// Gate admits the requests of one port.
type Gate struct {
	*Control
	// client is true for the port of clients and false for the peer port. What comes
	// through the peer port has passed the gate of the frontend that forwarded it, but that
	// frontend may not have applied yet what this one has.
	client bool
}

// ClientGate returns the gate of the port of clients.
func (c *Control) ClientGate() *Gate { return &Gate{c, true} }

// PeerGate returns the gate of the peer port.
func (c *Control) PeerGate() *Gate { return &Gate{c, false} }

// TakesHost reports whether a request with the header field Host: host is answered. Where
// everybody may do everything, only those are that name this frontend: else any web page
// could make changes under a name of its own that resolves to this address, as its own
// origin.
func (g *Gate) TakesHost(host []byte) bool {
	return !g.client || g.guarded() || address.NamesThisMachine(host, g.options.PublicHost)
}

// Admit identifies the caller of r and sets r.Caller. It refuses callers without the
// permission.
func (g *Gate) Admit(ctx context.Context, n Permission, r *handler.Request) *score.Problem {
	if host := r.Host(); !g.TakesHost(host) {
		return g.Refuse(reasonHost, score.Problemf(score.Forbidden,
			"%s is not the name of this frontend, which authenticates nobody: it answers only at a loopback "+
				"address, as localhost, and at the host of its --public-url", handler.Quoted(string(host))))
	}
	if access.HasToken(r.Path) || carriesToken(r.Query) {
		return g.Refuse(reasonInURL, score.Problemf(score.InvalidEvent,
			"a token in a URL ends up in logs and histories and is not accepted there; "+
				"revoke it and send a new one as Authorization: Bearer"))
	}
	caller := &handler.Caller{}
	if g.client {
		caller.Peer = r.Peer()
	} else {
		var problem *score.Problem
		if caller.Member, problem = g.forwardedFor(ctx, n, r); problem != nil {
			return problem
		}
	}
	if !g.public(n) {
		if problem := g.identify(ctx, r, caller); problem != nil {
			return problem
		}
		if problem := g.resume(ctx, n, r, caller); problem != nil {
			return problem
		}
		if problem := g.check(n, caller); problem != nil {
			return problem
		}
	}
	r.Caller = caller
	return nil
}

func (g *Gate) public(n Permission) bool {
	switch n {
	case PermitAll, PermitEnroll, PermitSigned:
		return true
	case PermitMetrics, PermitRead, PermitWatch:
		return !g.Private()
	}
	return false
}

// Access returns the access control by which callers are admitted now.
func (c *Control) Access() *access.State { return c.options.Access() }

// Private reports whether reading anything but the state of the process requires the role
// reader. It does at a frontend with certificates that does not know the settings of the
// group yet.
func (c *Control) Private() bool {
	return c.options.Access().Settings.Private || c.options.Secure && !c.knowsSettings()
}

// knowsSettings reports whether this frontend knows the settings of the group. It does not
// while it rebuilds its state, nor before a new group has any.
func (c *Control) knowsSettings() bool { return c.options.Access().Settings.Incarnation != "" }

// MayStillRead reports whether a caller that was admitted to read may go on. It may have
// been admitted before the group became private, or before its grant was revoked or
// expired.
func (g *Gate) MayStillRead(caller *handler.Caller) bool {
	if g.public(PermitRead) || !g.guarded() || caller.Member != "" {
		return true
	}
	if caller.Grant == nil {
		return false
	}
	now := time.Now()
	grant := g.options.Access().Grants[caller.Grant.ID]
	return grant != nil && !grant.Revoked && !grant.Expired(now) && grant.Role.Covers(access.RoleReader) &&
		!(caller.Session && caller.Grant.Expired(now))
}

// check returns why the caller does not have the permission n, or nil.
func (g *Gate) check(n Permission, caller *handler.Caller) *score.Problem {
	role := access.RoleOperator
	switch n {
	case PermitMetrics, PermitRead, PermitWatch:
		role = access.RoleReader
	case PermitPost:
		return nil
	case PermitJoin:
		if caller.Member != "" {
			return nil
		}
	case PermitLeave:
		if caller.Member != "" && !g.client {
			return nil
		}
	}
	switch {
	case caller.Covers(role):
		return nil
	case caller.Grant == nil && role == access.RoleReader && !g.knowsSettings():
		return score.Problemf(score.NotReady,
			"this frontend does not know yet whether the group is private; retry, or ask another frontend")
	case caller.Grant == nil:
		return g.Refuse(reasonMissing, score.Problemf(score.Unauthorized,
			"this requires the role %s; send a token as Authorization: Bearer, over TLS", role))
	}
	return g.Refuse(ReasonRole, score.Problemf(score.Forbidden,
		"%q has the role %s; this requires the role %s", caller.Grant.Name, caller.Grant.Role, role))
}

// carriesToken reports whether a query has a parameter in which people pass secrets.
func carriesToken(query string) bool {
	for query != "" {
		var one string
		one, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(one, "=")
		if n, err := url.QueryUnescape(name); err == nil {
			name = n
		}
		if v, err := url.QueryUnescape(value); err == nil {
			value = v
		}
		switch strings.ToLower(name) {
		case "token", "access_token", "authorization", "secret":
			return true
		}
		if access.HasToken(value) {
			return true
		}
	}
	return false
}
