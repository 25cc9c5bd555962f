package httpapi

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"laurel/httpapi/fastpath"
)

// What a client may take of a frontend. The defaults of Limits, and what Server sets for every connection.
const (
	// MaxConnections is how many connections the HTTP port holds at once; who listens there sets it.
	MaxConnections = 16384
	// ConnectionsPerAddress is how many of them one address may have: as many as a stadium behind one router needs, and few enough that it takes
	// many to fill the port.
	ConnectionsPerAddress = 2048
	// MaxHeaderBytes bounds the header of a request, and HeaderTimeout the time for it.
	MaxHeaderBytes = 16 << 10
	HeaderTimeout  = 5 * time.Second
	// MaxHTTP2Streams is how many requests of one connection of HTTP/2 are answered at once.
	MaxHTTP2Streams = 100
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

	EventsPerCaller          int
	PostsPerAddress          int
	ReadsPerAddress          int
	ConnectionsPerAddress    int
	MaxReads, MaxPosts       int
	MaxPostBytes, MaxStreams int
	StreamsPerAddress        int
	// Proxies are networks whose addresses are not one client each: of proxies, and of those who make load to measure. This machine always is one.
	Proxies []netip.Prefix
}

func (l Limits) orDefault() Limits {
	return Limits{
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

// Server is an HTTP server for h with the limits of this package on each connection. There is no timeout for whole requests: each
// handler sets the deadlines that its kind of body and answer needs.
func (a *API) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    MaxHeaderBytes,
		ReadHeaderTimeout: HeaderTimeout,
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

// Front is Server with Handler, and the fast way in before it: what is asked most is answered past net/http, and looks the same.
func (a *API) Front() *fastpath.Server {
	p := &port{API: a, name: "client", forwards: true}
	s := a.Server(newRouter(p))
	f := fastpath.New(s, p.hot(s), a.limits.AnswerTimeout)
	if a.tls != nil {
		f.TLS(a.tls, func(err error) {
			a.metrics.refused.WithLabelValues(refusedHandshake).Inc()
			a.log.Debug("no TLS came about", "error", err)
		})
	}
	return f
}

// Limited is l with at most MaxConnections, and of one address with ConnectionsPerAddress. More of one address are closed at once; more of all wait.
func (a *API) Limited(l net.Listener) net.Listener {
	each := fastpath.Each{Most: a.limits.ConnectionsPerAddress, Exempt: a.limits.exempt, Refused: func(addr netip.Addr) {
		a.metrics.refused.WithLabelValues(refusedCrowded).Inc()
	}}
	return fastpath.Limit(each.Limit(l), MaxConnections)
}
