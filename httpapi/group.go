package httpapi

import (
	"context"
	"net/http"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/admin"
	"laurel/httpapi/posts"
	"laurel/score"
	"laurel/score/ranking"
)

// Group is the frontend's group, as the parts of the API need it. Their methods may be
// called by any goroutine. An error is a *score.Problem where a client can do something
// about it.
type Group struct {
	Status     Status
	Reader     Reader
	Poster     posts.Poster
	Forwarder  Forwarder
	Access     admin.AccessControl
	Membership admin.Membership
	Trust      admin.Trust
}

// Status describes this frontend and the group.
type Status interface {
	admin.Status
	// ID returns the id of this frontend.
	ID() string
	// Store returns the id of the store, "" while it is not known here.
	Store() string
	// Epoch returns the Raft term.
	Epoch() uint64
	// Leased reports whether this frontend may answer from its memory now.
	Leased() bool
	// CacheMode returns the mode of the group, as far as this frontend knows.
	CacheMode() score.CacheMode
	// Ready returns nil while linearizable reads can be answered.
	Ready(ctx context.Context) error
	// Carry has the load of this frontend told to the others.
	Carry(load func() score.Load)
}

// Reader answers questions. How an answer came about is one of the constants of package
// cache.
type Reader interface {
	// Hit returns the answer to key if it is in memory and may be given now, else nil. It
	// is linearizable and allocates nothing.
	Hit(key []byte) *cache.Entry
	// Answer returns the answer to key, from memory or made by ask from this frontend's
	// state. It is linearizable. tag names what makes the answer stale. The error is
	// cache.ErrNotLeased if this frontend may not answer now.
	Answer(ctx context.Context, key, tag string, ask queries.Ask) (e *cache.Entry, how string, err error)
	// Board answers q from a leaderboard in this frontend's state, linearizably, and
	// returns the revision that last changed the answer. how is cache.Hit, or cache.Wait if
	// it waited. The error may be a *score.Problem, which is as true as an answer, or
	// cache.ErrNotLeased.
	Board(
		ctx context.Context, contestID string, q *ranking.Query,
	) (p ranking.Page, revision uint64, how string, err error)
	// BoardNow is Board without waiting. If only the page's release is missing, release
	// waits for it and reports whether the page may be given then. Otherwise, and if
	// release is nil, ask Board.
	BoardNow(
		contestID string, q *ranking.Query,
	) (p ranking.Page, revision uint64, ok bool, release func(context.Context) bool)
	// Pull returns the answer to key in pull mode: with cache.Hit from memory, else from
	// the master. It was true at some moment within age.
	Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error)
	// Stale calls f with this frontend's own state and returns for how long that may have
	// been behind; known is false if that is not known.
	Stale(f func(queries.View) error) (age time.Duration, known bool, err error)
	// StaleBoard is Stale for a leaderboard.
	StaleBoard(
		ctx context.Context, contestID string, q *ranking.Query,
	) (p ranking.Page, revision uint64, age time.Duration, known bool, err error)
	// Invalidations returns the queue of what has changed for readers of this frontend. It
	// has one consumer.
	Invalidations() *cache.Invalidations
}

// Forwarder forwards requests to the master.
type Forwarder interface {
	// Forward writes the master's answer to r with the master's header fields, except those
	// that w has already. With an error nothing has been written.
	Forward(w http.ResponseWriter, r *http.Request) error
}
