// Package httpapi is Laurel's HTTP interface. routes.go has the one table of routes; a
// route's handler takes a handler.Request and returns a handler.Response, whichever way
// the request came: through net/http, or through package fastpath, which answers the most
// frequent requests.
//
// A reader answers the questions that package question parses, package posts takes
// events, and package watch keeps the streams of changes. Package admission decides which
// requests are taken, package admin changes the group. Start with routes.go and
// server.go.
package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/admin"
	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/posts"
	"laurel/httpapi/proofs"
	"laurel/httpapi/snapshots"
	"laurel/httpapi/watch"
	"laurel/internal/address"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/witness"
)

// What the HTTP port takes of one connection.
const (
	// MaxConnections bounds the connections that the HTTP port holds at once.
	MaxConnections = 16384
	// MaxHeaderBytes bounds the header of a request.
	MaxHeaderBytes = 16 << 10
	// MaxHTTP2Streams bounds the requests of one HTTP/2 connection that are answered at
	// once.
	MaxHTTP2Streams = 100
	// IdleTimeout is how long a connection may be idle between two requests.
	IdleTimeout = 120 * time.Second
)

// Options of an API.
type Options struct {
	// The options of admission. New sets Access, Master and Registerer.
	admission.Options
	// URL is where clients reach this frontend. Direct is true if that is its own port:
	// what a proxy passes on has then not come by the URL, whatever Host it has.
	URL    address.URL
	Direct bool
	Logger *slog.Logger // slog.Default() if nil
	// Registry gets the API's metrics and is what /metrics shows; nil for one of its own.
	// It takes one API only.
	Registry *prometheus.Registry
	// HideMetrics hides /metrics at the port of clients. See API.Metrics.
	HideMetrics bool
	// Origins are the origins whose pages may read, as ParseOrigin returns them, besides
	// those of the group itself. nil permits all, unless the group is private.
	Origins []string
	// TLS is the configuration of the port of clients; nil for HTTP in the clear only.
	TLS *tls.Config
	// PublicCertificate reports whether browsers trust the certificate that clients are
	// shown now. If so they are told to use https only. nil means that they do not.
	PublicCertificate func() bool
}

// API is Laurel's HTTP interface at one frontend. Its methods may be called by any
// goroutine.
type API struct {
	group       Group
	log         *slog.Logger
	options     Options
	metrics     *metrics
	metricsPage *metricsPage
	origins     *origins
	admission   *admission.Control
	hub         *watch.Hub
	balancer    *balancer
	catchingUp  chan struct{} // has a token for each vouch that waits for a revision
	proofs      *proofs.Handlers
	snapshots   *snapshots.Handlers
	stop        context.CancelFunc
	// releaseTimeout and catchUpTimeout are the constants of these names, but longer in tests.
	releaseTimeout, catchUpTimeout time.Duration
}

// New returns the API of the frontend that g belongs to. It panics if o.Registry has the
// metrics of an API already.
func New(g Group, o Options) *API {
	o.Registry = cmp.Or(o.Registry, prometheus.NewRegistry())
	ctx, stop := context.WithCancel(context.Background())
	a := &API{
		group:       g,
		log:         cmp.Or(o.Logger, slog.Default()),
		options:     o,
		metrics:     newMetrics(o.Registry),
		metricsPage: newMetricsPage(o.Registry),
		proofs:      &proofs.Handlers{Certifier: g.Certifier},
		snapshots:   snapshots.New(g.Store),
		stop:        stop,
		catchingUp:  make(chan struct{}, maxCatchingUp),

		releaseTimeout: releaseTimeout, catchUpTimeout: catchUpTimeout,
	}
	o.Access, o.Master, o.Registerer = g.Access.Access, g.Status.Master, o.Registry
	a.admission = admission.New(o.Options)
	a.origins = newOrigins(g.Status, o.Origins)
	a.hub = watch.New(watchStore{a, new(sectionNumbers)}, runtime.GOMAXPROCS(0))
	promauto.With(o.Registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "laurel_watchers",
		Help: "Streams of watchers at this frontend.",
	}, func() float64 { return float64(a.hub.Count()) })
	a.balancer = &balancer{url: o.URL, direct: o.Direct, status: g.Status, hub: a.hub, counters: a.metrics.reads}
	g.Status.Carry(a.balancer.load)
	go a.balancer.run(ctx.Done())
	go a.admission.MonitorScheduler(ctx.Done())
	return a
}

// drainPoll is how often Drain looks whether all watchers are gone.
const drainPoll = 20 * time.Millisecond

// Drain waits until a draining frontend has sent all its watchers to others, or none of
// those serves, or ctx ends.
func (a *API) Drain(ctx context.Context) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for a.hub.Count() > 0 && a.balancer.drains() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close ends the streams of watchers, which reconnect to any frontend. It may be called
// again.
func (a *API) Close() {
	a.stop()
	a.hub.Close()
}

// Handler returns the handler of the port of clients without the fast path.
func (a *API) Handler() http.Handler { return a.clientServer().router() }

// ForwardedHandler returns the handler of the peer port for requests that another
// frontend has forwarded. It has the same routes, but never forwards again.
func (a *API) ForwardedHandler() http.Handler {
	return a.newServer("peer", a.admission.PeerGate()).router()
}

func (a *API) clientServer() *server { return a.newServer("client", a.admission.ClientGate()) }

// Metrics returns the handler of the page with the metrics, for a port of its own. It
// authenticates nobody.
func (a *API) Metrics() http.Handler { return a.metricsPage }

// Server returns an HTTP server for h with the limits of this package on each connection.
// It has no timeout for whole requests: each handler sets the deadlines that it needs.
func (a *API) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    MaxHeaderBytes,
		ReadHeaderTimeout: a.admission.Limits.HeaderTimeout,
		IdleTimeout:       IdleTimeout,
		ConnContext:       fastpath.ConnContext,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          MaxHTTP2Streams,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
			SendPingTimeout:               30 * time.Second,
			WriteByteTimeout:              10 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

// Front returns the server of the port of clients, which has the fast path. It forwards
// to the master what only the master can answer.
func (a *API) Front() *fastpath.Server {
	client := a.clientServer()
	s := a.Server(client.router())
	f := fastpath.New(s, client.fastHandler(s), admission.AnswerTimeout)
	if a.options.TLS != nil {
		f.TLS(a.options.TLS, func(err error) {
			a.admission.Count(admission.ReasonHandshake)
			a.log.Debug("TLS handshake failed", "err", err)
		})
	}
	return f
}

// Limited bounds the connections of l by MaxConnections, and those of one address by
// admission.ConnectionsPerAddress. More of one address are closed at once; others wait.
func (a *API) Limited(l net.Listener) net.Listener {
	return fastpath.Limit(l, MaxConnections, admission.ConnectionsPerAddress, a.admission.Limits.Exempt,
		func() { a.admission.Count(admission.ReasonConnection) })
}

// Group is the frontend's group. The methods may be called by any goroutine. An error is
// a *score.Problem where a client can do something about it.
type Group struct {
	Status     Status
	Reader     Reader
	Poster     posts.Poster
	Forwarder  Forwarder
	Access     admin.AccessControl
	Membership admin.Membership
	Trust      admin.Trust
	Voucher    Voucher
	Certifier  proofs.Certifier // nil for a member that has no part in certificates
	Store      snapshots.Store
}

// Status describes this frontend and the group.
type Status interface {
	admin.Status
	// ID returns the id of this frontend.
	ID() string
	// Store returns the id of the store, "" while it is not known here.
	Incarnation() string
	// Former returns the incarnations that the store had before.
	Former() []string
	// Epoch returns the Raft term.
	Epoch() uint64
	// Leased reports whether this frontend may answer from its memory now.
	Leased() bool
	// CacheMode returns the mode of the group, as far as this frontend knows.
	CacheMode() score.CacheMode
	// ReadyForReads returns nil while linearizable reads can be answered.
	ReadyForReads(ctx context.Context) error
	// Ready is ReadyForReads, and returns an error while a frontend that is to vote has no
	// vote.
	Ready(ctx context.Context) error
	// Carry has the load of this frontend told to the others.
	Carry(load func() score.Load)
}

// Reader answers questions. How an answer came about is one of the constants of package
// cache.
type Reader interface {
	// Find returns the answer to key if it is in memory, else nil. It is linearizable, and
	// may be given when lease says that its revision is visible. Find allocates nothing.
	Find(key []byte) (e *cache.Entry, lease cache.LeaseCheck)
	// Answer returns the answer to key, from memory or made by ask from this frontend's
	// state. It is linearizable. tag names what makes the answer stale. The error is
	// cache.ErrNotLeased if this frontend may not answer now.
	Answer(ctx context.Context, key, tag string, ask queries.Ask) (e *cache.Entry, how string, err error)
	// Board answers q from a leaderboard in this frontend's state, linearizably, and
	// returns the revision that last changed the answer. how is cache.Hit, or cache.Wait
	// if it waited. The error may be a *score.Problem, which is as true as an answer, or
	// cache.ErrNotLeased.
	Board(
		ctx context.Context, contestID string, q *ranking.Query,
	) (p ranking.Leaderboard, revision uint64, how string, err error)
	// BoardNow is Board without waiting. The page may be given when lease says that
	// revision is visible. If ok is false, ask Board.
	BoardNow(
		contestID string, q *ranking.Query,
	) (p ranking.Leaderboard, revision uint64, lease cache.LeaseCheck, ok bool)
	// Pull returns the answer to key in pull mode: with cache.Hit from memory, else from
	// the master. It was true at some moment within age.
	Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error)
	// Stale calls f with this frontend's own state and returns for how long that may have
	// been behind; known is false if that is not known.
	Stale(f func(queries.View) error) (age time.Duration, known bool, err error)
	// StaleBoard is Stale for a leaderboard.
	StaleBoard(
		ctx context.Context, contestID string, q *ranking.Query,
	) (p ranking.Leaderboard, revision uint64, age time.Duration, known bool, err error)
	// ChangedSince returns the keys of the records that have changed in this frontend's
	// state since a revision, once that has the revision upTo: removed records too, and
	// perhaps others. known is false if the revision is too long ago.
	ChangedSince(ctx context.Context, revision, upTo uint64) (keys []string, known bool, err error)
	// Invalidations returns the queue of what has changed for readers of this frontend.
	// It has one consumer.
	Invalidations() *cache.Invalidations
}

// Voucher signs what this frontend says of its own state, in a sworn group.
type Voucher interface {
	// AppliedRevision returns the revision of this frontend's own state.
	AppliedRevision() uint64
	// AwaitApplied waits until this frontend's own state has a revision.
	AwaitApplied(ctx context.Context, revision uint64) error
	// Vouch completes and signs a statement. The error is a *score.Problem in a group that
	// is not sworn.
	Vouch(q *witness.Question, s *witness.Statement) error
}

// Forwarder forwards requests to the master.
type Forwarder interface {
	// Forward writes the master's answer to r with the master's header fields, except
	// those that w has already. With an error nothing has been written. member is the
	// name, id@instance, in the client's certificate; "" if it is no member's.
	Forward(w http.ResponseWriter, r *http.Request, member string) error
}
