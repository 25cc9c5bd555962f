package httpapi

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"laurel/httpapi/front"
)

// What a client may take of a frontend. The defaults of Limits, and what Server sets for every connection.
const (
	// MaxConnections is how many connections the HTTP port holds at once; who listens there sets it.
	MaxConnections = 16384
	// MaxHeaderBytes bounds the header of a request, and HeaderTimeout the time for it.
	MaxHeaderBytes = 16 << 10
	HeaderTimeout  = 5 * time.Second
	// IdleTimeout is how long a connection may rest between two requests.
	IdleTimeout = 120 * time.Second
	// MaxBodyBytes bounds a JSON body, and BodyTimeout the time for it.
	MaxBodyBytes = 4 << 20
	BodyTimeout  = 10 * time.Second
	// AnswerTimeout bounds the time from a request's header to the end of its answer. An NDJSON stream has StreamIdle instead.
	AnswerTimeout = 60 * time.Second
	// StreamIdle is how long an NDJSON stream may bring nothing, not even a blank line, and how long its client may not read the answers.
	StreamIdle = 30 * time.Second
	// MaxChunk and maxChunkBytes bound what of an NDJSON stream is posted at once. Two chunks of a stream are in memory at most.
	MaxChunk      = 1024
	maxChunkBytes = 1 << 20

	// DefaultPage and MaxPage bound the parameter limit of lists.
	DefaultPage = 100
	MaxPage     = 1000

	readyTimeout = 2 * time.Second
	// linger is how long a client may go on sending after its stream was stopped, so that it reads the answer before the connection is gone.
	linger = time.Second
)

// Limits can be set for each API. A zero member is the constant of that name.
type Limits struct {
	MaxBodyBytes  int
	BodyTimeout   time.Duration
	AnswerTimeout time.Duration
	StreamIdle    time.Duration
}

func (l Limits) orDefault() Limits {
	return Limits{
		MaxBodyBytes:  cmp.Or(l.MaxBodyBytes, MaxBodyBytes),
		BodyTimeout:   cmp.Or(l.BodyTimeout, BodyTimeout),
		AnswerTimeout: cmp.Or(l.AnswerTimeout, AnswerTimeout),
		StreamIdle:    cmp.Or(l.StreamIdle, StreamIdle),
	}
}

// Server is an HTTP server for h with the limits of this package on each connection. There is no timeout for whole requests: each
// handler sets the deadlines that its kind of body and answer needs.
func (a *API) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    MaxHeaderBytes,
		ReadHeaderTimeout: HeaderTimeout,
		IdleTimeout:       IdleTimeout,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

// Front is Server with Handler, and the fast way in before it: what is asked most is answered past net/http, and looks the same.
func (a *API) Front() *front.Server {
	p := &port{API: a, name: "client", forwards: true}
	s := a.Server(newRouter(p))
	return front.New(s, p.hot(s), a.limits.AnswerTimeout)
}
