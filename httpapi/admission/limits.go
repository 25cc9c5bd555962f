package admission

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

const (
	// ConnectionsPerAddress bounds the connections of one address. It is as many as a
	// stadium behind one router needs, and so few that it takes many addresses to fill
	// the port.
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
