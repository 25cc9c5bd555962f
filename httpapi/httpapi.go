// Package httpapi is Laurel's interface to the world: routes, answers and problems over HTTP. It decodes what comes and checks its
// form, hands it to the frontend's group, and writes what the group says. It knows the group only by the interfaces below.
//
// Read routes.go for what there is, events.go and ndjson.go for how events come in, question.go for what can be asked, read.go for the way
// of an answer, and hot.go for the way past net/http.
package httpapi

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/watch"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// Group is what this package needs of the frontend's group. Its methods are safe for concurrent use; their errors are
// *score.Problem where a client can do something about them.
//
// One whose members have certificates is a Trust, too.
type Group interface {
	// ID is this frontend's; it never changes.
	ID() string
	// Post has the events applied, here or at the master. An error concerns the post as a whole; that an event was refused is a result.
	Post(ctx context.Context, p score.Post) ([]score.Result, error)
	// Master tells whether this frontend believes to be the master.
	Master() bool

	// Leased tells whether this frontend may answer from memory now.
	Leased() bool
	// Hit is the answer to key if it is in memory and may be given now; else nil. It is linearizable, and allocates nothing.
	Hit(key []byte) *cache.Entry
	// Answer is the answer to key, from memory or made by ask from this frontend's own state, and how it came about: one of package cache's
	// words. It is linearizable. The tag names what makes the answer stale. The error is cache.ErrNotLeased where this frontend may not answer now.
	Answer(ctx context.Context, key, tag string, ask queries.Ask) (e *cache.Entry, how string, err error)
	// Board answers q from the leaderboard of a contest as this frontend's own state has it, linearizably, and tells the revision of the last change of what
	// it says, and whether it waited for anything: cache.Hit, or cache.Wait. The error may be a *score.Problem, which is as true as an answer, or cache.ErrNotLeased.
	Board(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, how string, err error)
	// BoardNow is Board where there is nothing to wait for. Where all that has to come is its release, soon waits for that, and tells whether the page may
	// be given then. Else, and where soon is nil, ask Board.
	BoardNow(contestID string, q *ranking.Query) (p ranking.Page, revision uint64, ok bool, soon func(context.Context) bool)
	// Pull is the answer to key in pull mode: cache.Hit if it was here, else the master was asked. It was true at some moment within age.
	Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error)
	// Stale calls f with this frontend's own state, whatever became of the others, and tells for how long that may have been behind. Known is
	// false if nobody can tell.
	Stale(f func(queries.View) error) (age time.Duration, known bool, err error)
	// StaleBoard is Stale for a question about a leaderboard.
	StaleBoard(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, age time.Duration, known bool, err error)
	// Store is the name of the store; "" while it is not known here.
	Store() string
	// Feed tells what readers here may see anew. This package is its one taker.
	Invalidations() *cache.Invalidations
	// Epoch is the Raft term.
	Epoch() uint64
	// Carry tells the others how many watch here and how many reads a second are answered.
	Carry(load func() score.Load)
	// CacheMode is what the group is set to, as far as this frontend knows.
	CacheMode() score.CacheMode
	// Forward has the master answer the request. The answer passes through with its headers, except Laurel-Frontend and
	// Laurel-Cache. Where it gives an error nothing has been written.
	Forward(w http.ResponseWriter, r *http.Request) error
	// Ready is nil while linearizable reads can be answered.
	Ready(ctx context.Context) error
	Frontends() score.Frontends

	// Access is who may do what, as far as this frontend has applied the log. It does not change.
	Access() *access.State
	// ChangeAccess, SetCacheMode, Join, Leave and Transfer work at the master only.
	ChangeAccess(ctx context.Context, c access.Change) error
	SetCacheMode(ctx context.Context, mode score.CacheMode) error
	Join(ctx context.Context, m score.NewMember) error
	Leave(ctx context.Context, id string, force bool) error
	// Transfer makes another frontend the master: the one named, or any for "".
	Transfer(ctx context.Context, to string) error
}

// Options of an API.
type Options struct {
	Logger *slog.Logger // slog.Default() if nil
	// Registerer takes this API's metrics; nil for none. A registry takes one API only.
	Registerer prometheus.Registerer
	// Gatherer is what /metrics shows; nil for an empty page.
	Gatherer prometheus.Gatherer
	Limits   Limits // zero members are the defaults
	// Secure says that the frontend belongs to a group in which callers show who they are, also while it does not know yet what the store says.
	Secure bool
	// Private shows nothing to who has not at least the role reader, but whether the process lives.
	Private bool
	// Origins are those whose pages may read, beside those of the group itself, as https://scores.example; nil: all, unless the group is private.
	Origins []string
	// Verifier checks signatures; nil for one of its own. With the state machine's, what was signed is checked once in this process.
	Verifier *signing.Verifier
	// TLS has Front speak it, too; nil: only HTTP in the clear.
	TLS *tls.Config
}

// API answers Laurel's HTTP interface for one frontend. It is safe for concurrent use.
type API struct {
	group    Group
	log      *slog.Logger
	metrics  *metrics
	gatherer prometheus.Gatherer
	limits   Limits
	id       []string // the Laurel-Frontend header
	secure   bool
	private  bool
	origins  map[string]bool // nil: any
	trust    Trust
	tls      *tls.Config
	rates    *rates
	load     load
	late     atomic.Bool // whoever is to run here waits long
	awaited  chan struct{}
	verifier *signing.Verifier

	sameOrigin *http.CrossOriginProtection

	hub     *watch.Hub
	painted lastPainted
	closed  chan struct{}
	close   sync.Once
}

// New makes the API of the frontend that g belongs to. It panics if o.Registerer has the metrics of an API already.
func New(g Group, o Options) *API {
	a := &API{group: g, log: o.Logger, gatherer: o.Gatherer, limits: o.Limits.orDefault(), id: []string{g.ID()},
		secure: o.Secure, private: o.Private, origins: originsOf(o), tls: o.TLS, awaited: make(chan struct{}, maxAwaited), verifier: o.Verifier}
	a.sameOrigin = a.ownOrigins()
	a.trust, _ = g.(Trust)
	a.rates = newRates(a.limits)
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.gatherer == nil {
		a.gatherer = prometheus.NewRegistry()
	}
	if a.verifier == nil {
		a.verifier = new(signing.Verifier)
	}
	a.metrics = newMetrics(o.Registerer)
	a.hub = watch.New(watched{&port{API: a, name: "watch"}}, runtime.GOMAXPROCS(0))
	a.metrics.watch(o.Registerer, a.hub)
	g.Carry(newLoadMeter(a).load)
	a.closed = make(chan struct{})
	go a.sendHome()
	go a.feel()
	return a
}

// Close ends the streams of those who watch. They come back, here or elsewhere. It may be called again.
func (a *API) Close() {
	a.close.Do(func() {
		close(a.closed)
		a.hub.Close()
	})
}

// Handler answers on the HTTP port. What only the master can answer it forwards.
func (a *API) Handler() http.Handler { return newRouter(&port{API: a, name: "client", forwards: true}) }

// ForwardedHandler answers on the peer port what another frontend has forwarded: the same routes, but it never forwards again.
func (a *API) ForwardedHandler() http.Handler { return newRouter(&port{API: a, name: "peer"}) }

// port is the API as one port shows it.
type port struct {
	*API
	name     string
	forwards bool
}
