// Package handler defines what a handler of Laurel's HTTP interface gets and returns. A
// Func takes a Request and returns a Response; it does not know whether the request came
// through net/http or through package fastpath. Two encoders write the Response: WriteTo
// for net/http and AppendTo for the fast path. The few handlers whose answers are streams
// write to Request.Transport themselves and return Written.
//
// The package also has what handlers share: reading bodies (Bodies) and parameters
// (Parameters).
package handler

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/score"
	"laurel/trust/access"
)

// Func answers a request. The error is a *score.Problem where the client can do something
// about it; the header fields of the response are then sent with the problem.
type Func func(ctx context.Context, r *Request) (Response, error)

// Request is a request of a client.
type Request struct {
	Method, Path, Query string
	// Name is what follows the literal prefix of the route's pattern in Path.
	Name string
	// These are the header fields of the same names.
	Accept, IfNoneMatch, CacheControl, Authorization, Cookie []string
	// ContentType is the header field, "" if there is none.
	ContentType string
	// Caller is the one who makes the request, once it has been admitted.
	Caller *Caller
	// Shared are the header fields of the answer that do not depend on the handler.
	Shared Shared
	// Admitted is true for a post that has already taken its place among the posts under
	// way.
	Admitted bool
	// Stream is set if the answer is a stream: the time that it takes is not counted.
	Stream bool

	peer   *fastpath.Peer
	bodies *Bodies
	body   []byte // the whole body on the fast path
	fast   *fastpath.Request
	http   *http.Request
	w      http.ResponseWriter
	rec    *recorder
	ctx    context.Context // of the fast path
	server *http.Server
}

// FromHTTP returns a request that net/http has read, of a client. Name is empty.
func FromHTTP(w http.ResponseWriter, r *http.Request, client *fastpath.Peer, bodies *Bodies) *Request {
	return &Request{
		Method:        r.Method,
		Path:          r.URL.Path,
		Query:         r.URL.RawQuery,
		Accept:        r.Header["Accept"],
		IfNoneMatch:   r.Header["If-None-Match"],
		CacheControl:  r.Header["Cache-Control"],
		Authorization: r.Header["Authorization"],
		Cookie:        r.Header["Cookie"],
		ContentType:   r.Header.Get("Content-Type"),
		peer:          client,
		bodies:        bodies,
		http:          r,
		w:             w,
	}
}

// FromFastPath returns a request of the fast path. Its strings outlive the connection's
// buffer; its body does not. The server answers what the fast path does not.
func FromFastPath(ctx context.Context, r *fastpath.Request, server *http.Server) *Request {
	return &Request{
		Method:        r.Method,
		Path:          string(r.Path),
		Query:         string(r.Query),
		Accept:        list(r.Accept),
		IfNoneMatch:   list(r.IfNoneMatch),
		CacheControl:  list(r.CacheControl),
		Authorization: list(r.Authorization),
		Cookie:        list(r.Cookie),
		ContentType:   contentType(r.ContentType),
		peer:          r.Peer,
		body:          r.Body,
		fast:          r,
		ctx:           ctx,
		server:        server,
	}
}

// contentType returns a Content-Type as a string, without allocating for that of most
// posts.
func contentType(field []byte) string {
	if string(field) == TypeJSON {
		return TypeJSON
	}
	return string(field)
}

func list(field []byte) []string {
	if len(field) == 0 {
		return nil
	}
	return []string{string(field)}
}

// Peer returns the client.
func (r *Request) Peer() *fastpath.Peer { return r.peer }

// Host returns the host, with or without a port, that the client has asked. It is valid
// until the handler returns.
func (r *Request) Host() []byte {
	if r.fast != nil {
		return r.fast.Host
	}
	return []byte(r.http.Host)
}

// Pause has the fast path stop reading the connection for d after the answer, and tells
// the client to wait that long. It does nothing for net/http.
func (r *Request) Pause(d time.Duration) {
	if r.fast != nil {
		r.fast.Pause = d
	}
}

// Transport returns the request and the writer of its answer as net/http has them, for a
// handler that returns Written. The fast path holds the answer in memory until it is
// whole.
func (r *Request) Transport() (http.ResponseWriter, *http.Request) {
	if r.http == nil {
		r.rec = &recorder{header: http.Header{}}
		r.Shared.SetOn(r.rec.header)
		r.w = r.rec
		// With a server in its context, httputil.ReverseProxy panics when an answer
		// breaks off, as it does under net/http. The fast path then closes the
		// connection.
		ctx := context.WithValue(r.ctx, http.ServerContextKey, r.server)
		u := &url.URL{Path: r.Path, RawQuery: r.Query}
		r.http = (&http.Request{
			Method: r.Method, URL: u, RequestURI: u.RequestURI(), Host: string(r.fast.Host),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{
				"Accept":        r.Accept,
				"If-None-Match": r.IfNoneMatch,
				"Cache-Control": r.CacheControl,
				"Authorization": r.Authorization,
				"Cookie":        r.Cookie,
				"Origin":        list(r.fast.Origin),
			},
			Body: http.NoBody,
		}).WithContext(ctx)
	}
	return r.w, r.http
}

// WantsText reports whether the client prefers text/plain to JSON. Text must be named:
// */* means JSON.
func (r *Request) WantsText() bool {
	text := Weight(r.Accept, "text/plain", "text/*")
	return text > 0 && text >= Weight(r.Accept, TypeJSON, "application/*", "*/*")
}

// AcceptsHTML reports whether the client is a browser.
func (r *Request) AcceptsHTML() bool {
	return len(r.Accept) > 0 && strings.Contains(r.Accept[0], "text/html")
}

// Weight returns the highest weight of one of names in the lists of a header field such
// as Accept, 0 if none is accepted.
func Weight(lists []string, names ...string) (weight float64) {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			name, params, _ := strings.Cut(one, ";")
			if slices.Contains(names, strings.ToLower(strings.TrimSpace(name))) {
				weight = max(weight, quality(params))
			}
		}
	}
	return weight
}

func quality(params string) float64 {
	for one := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}

// AnyMember is the Member of a caller at the peer port of an insecure group, whose members
// have no certificates.
const AnyMember = "@"

// Anybody is the name of a caller who shows neither a token nor a certificate.
const Anybody = "anybody"

// Caller is the one who makes a request.
type Caller struct {
	Peer *fastpath.Peer // nil at the peer port
	// Grant is that of the token that came with the request, or what its session permits;
	// nil if there was neither.
	Grant *access.Grant
	// Secret is that of the token. It is only for the master, which checks it itself.
	Secret score.Secret
	// Member is the name, id@instance, in the certificate of a member, or AnyMember; ""
	// for others.
	Member  string
	Joins   bool // the certificate permits only to join
	Open    bool // the store is open: everybody may do everything
	Session bool // Grant is that of a session
}

// Name returns the caller's name for the audit trail.
func (c *Caller) Name() string {
	switch {
	case c.Grant != nil:
		return c.Grant.Name
	case c.Member != "" && c.Member != AnyMember:
		id, _, _ := strings.Cut(c.Member, "@")
		return id
	}
	return Anybody
}

// IsMember reports whether the caller is the member id, and of the data directory
// instance unless that is "".
func (c *Caller) IsMember(id, instance string) bool {
	if c.Member == AnyMember {
		return true
	}
	own, ownInstance, _ := strings.Cut(c.Member, "@")
	return own != "" && own == id && (instance == "" || instance == ownInstance)
}

// Covers reports whether the caller may do what role may.
func (c *Caller) Covers(role access.Role) bool {
	return c.Open || c.Grant != nil && c.Grant.Role.Covers(role) ||
		role == access.RoleReader && c.Member != "" && !c.Joins
}

const (
	// DefaultPage and MaxPage bound the parameter limit of lists.
	DefaultPage = 100
	MaxPage     = 1000
)

// Parameters parses the query of a URL. It refuses parameters that are not known, because
// a misspelt filter would choose everything.
func Parameters(query string, known ...string) (url.Values, error) {
	if query == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "invalid URL parameters: %s", err)
	}
	for name, values := range q {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, FieldProblem(Printable(name), "unknown parameter; this path takes none")
		case !slices.Contains(known, name):
			return nil, FieldProblem(Printable(name), "unknown parameter; want one of %s", strings.Join(known, ", "))
		case len(values) > 1:
			return nil, FieldProblem(name, "given %d times; want it once", len(values))
		}
	}
	return q, nil
}

// WithoutParameters returns a handler that answers by f and refuses every parameter.
func WithoutParameters(f Func) Func {
	return func(ctx context.Context, r *Request) (Response, error) {
		if _, err := Parameters(r.Query); err != nil {
			return Response{}, err
		}
		return f(ctx, r)
	}
}

// PageSize returns the parameter limit.
func PageSize(q url.Values) (int, error) {
	if given := q.Get("limit"); given != "" {
		return ParsePageSize(given)
	}
	return DefaultPage, nil
}

// ParsePageSize parses a value of the parameter limit.
func ParsePageSize(given string) (int, error) {
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > MaxPage {
		return 0, Unwanted("limit", given, "1 to %d", MaxPage)
	}
	return n, nil
}
