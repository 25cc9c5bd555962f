// Package client is the Go client of Laurel. It requests scores, posts events and watches
// changes, at whichever frontend of the group can answer.
//
// A Client starts with one URL or several, and learns the other frontends from them. One
// frontend is its home: the one that Options names or, without one, a serving frontend
// with the least load. Calls go to the home. If that fails, the call goes on to the
// frontend with the least load, and so on until its deadline. Later calls stay at the
// frontend that answered, and return to the home when that reports that it serves again.
//
// Posts are safe to repeat, because every event has an identity: its source and seq, or
// its id, which Post sets if there is none. However often an event is sent, and to
// whichever frontend, it counts once. Stream posts many events over one connection. Watch
// returns what is there and then every change, and continues at another frontend where
// the last one ended.
//
// An error that Laurel reports is a *score.Problem, which errors.As finds. If a change may
// have been applied or not, its code is score.OutcomeUnknown. If no frontend could be
// reached, the error is an *UnreachableError. When the caller's context has ended, errors.Is
// finds its cause. Start reading at Client.
package client

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"laurel/score"
)

// Defaults of Options.
const (
	DefaultTimeout        = 10 * time.Second
	DefaultAttemptTimeout = 3 * time.Second
	DefaultRefresh        = 5 * time.Second
)

// Options configure a Client. The zero value has the defaults.
type Options struct {
	// Timeout bounds each call with all its attempts. A shorter deadline of the call's
	// context takes precedence. 0 means DefaultTimeout.
	Timeout time.Duration
	// AttemptTimeout is how long the client waits for one frontend to answer a call, or
	// an event of a Stream. 0 means DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Refresh is the age at which a call makes the client request the list of frontends
	// again. 0 means DefaultRefresh.
	Refresh time.Duration
	// Home is the id of the frontend that the client prefers. If it is empty, the client
	// chooses the one with the least load when it first learns the group.
	Home string
	// Key signs every event that is posted, unless it is nil. See Post and Stream.
	Key ed25519.PrivateKey
	// Lineage is that of the store for which Key signs. Frontends of another store refuse
	// what it signs. If it is empty, the client asks a frontend, once.
	Lineage string
	// TrustLineage is called, if it is set, with the lineage that a frontend named, before
	// anything is signed for it. If it returns an error, nothing is signed. A false
	// frontend could name another store, and post there what the client signs.
	TrustLineage func(lineage string) error
	// Transport sends the requests. If it is nil, the client makes its own, which Close
	// closes. Many clients in one program should share one: see NewTransport.
	Transport http.RoundTripper
	// Token authenticates the client, for calls that no signature authenticates. It is
	// sent only over TLS or to this machine, and only to the frontends that New is given.
	// If TLS names the authorities to trust, it is also sent to those that the group lists.
	// A client with a token uses no other frontends, unless it is redirected: then another
	// host gets no token.
	Token string
	// TLS configures the certificates that are trusted for https URLs. If it is nil, the
	// client trusts those that this machine trusts. If Transport is set, that must trust
	// the same.
	TLS *tls.Config
	// Notify is called with what the client did by itself: failed attempts, failovers and
	// returns to its home. It is called from many goroutines and must not take long.
	Notify func(Notice)
	// Attempted is called, like Notify, after each request that is not of a Stream.
	Attempted func(Attempt)
}

// Client talks to a group of frontends. It is safe for concurrent use.
type Client struct {
	o         Options
	http      http.Client
	watches   http.Client     // it does not follow redirects
	own       *http.Transport // nil for Options.Transport
	frontends *frontends

	// ctx ends with Close. The refreshes of the list run under it, each with refreshing held.
	ctx        context.Context
	cancel     context.CancelFunc
	refreshing sync.Mutex

	signsFor sync.Mutex // guards o.Lineage
}

// New returns a client of the group to which the frontends at urls belong. One URL is
// enough. A URL without a scheme means http. New sends no request.
func New(urls []string, o Options) (*Client, error) {
	if n := len(o.Key); n != 0 && n != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("the key has %d bytes; want an Ed25519 private key of %d bytes",
			n, ed25519.PrivateKeySize)
	}
	if o.Lineage != "" && !score.ValidLineage(o.Lineage) {
		return nil, fmt.Errorf("the lineage is %q; want small letters and digits", o.Lineage)
	}
	o.Timeout = cmp.Or(max(o.Timeout, 0), DefaultTimeout)
	o.AttemptTimeout = cmp.Or(max(o.AttemptTimeout, 0), DefaultAttemptTimeout)
	o.Refresh = cmp.Or(max(o.Refresh, 0), DefaultRefresh)
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	if o.Attempted == nil {
		o.Attempted = func(Attempt) {}
	}
	f, err := newFrontends(urls, o)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, frontends: f}
	transport := o.Transport
	if transport == nil {
		c.own = NewTransport(64)
		c.own.TLSClientConfig = o.TLS.Clone()
		transport = c.own
	}
	if o.Token != "" {
		transport = &tokenTransport{"Bearer " + o.Token, f, transport}
	}
	c.http.Transport, c.watches.Transport = transport, transport
	c.http.CheckRedirect = checkRedirect
	c.watches.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// NewTransport returns a transport, which many clients may share. It keeps up to idle
// connections to each frontend open between calls.
func NewTransport(idle int) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// Without a limit, dialling a machine that is down would take the whole attempt.
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		TLSHandshakeTimeout: 2 * time.Second,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     60 * time.Second,
		DisableCompression:  true,
	}
}

// Close ends the work in the background and closes idle connections. Calls and streams
// under way are not interrupted.
func (c *Client) Close() {
	c.cancel()
	c.waitForRefresh()
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// URLs returns the URLs of the frontends that the client uses: those that New was given, and
// then those that the group lists, which is what one frontend says.
func (c *Client) URLs() []string { return c.frontends.urls() }

// PostAt posts a JSON body to one frontend, without another attempt, and returns its response
// of any status. The transport may still read body after PostAt has returned, so the caller must
// not change its bytes.
func (c *Client) PostAt(ctx context.Context, url, path string, body []byte) (status int, response []byte, err error) {
	a, err := c.attempt(ctx, url, call{method: http.MethodPost, path: path, body: body})
	return a.status, a.body, err
}

// GetAt asks one frontend for the JSON at a path, without another attempt, and returns its
// response of any status.
func (c *Client) GetAt(ctx context.Context, url, path string) (status int, response []byte, err error) {
	a, err := c.attempt(ctx, url, call{method: http.MethodGet, path: path})
	return a.status, a.body, err
}

// NoticeKind is the kind of a Notice.
type NoticeKind string

// Kinds of notices.
const (
	// NoticeHome: the client has chosen Frontend as its home.
	NoticeHome NoticeKind = "chose a home"
	// NoticeFailed: an attempt at Frontend failed with Err.
	NoticeFailed NoticeKind = "attempt failed"
	// NoticeUntrusted: Frontend has a certificate that Options.TLS does not trust, for
	// the reason Err. It is sent again only after another kind of failure.
	NoticeUntrusted NoticeKind = "certificate not trusted"
	// NoticeFailover: Frontend answers the calls now instead of From.
	NoticeFailover NoticeKind = "failed over"
	// NoticeWentHome: calls, or a watch, went from From back to the home, Frontend.
	NoticeWentHome NoticeKind = "went home"
	// NoticeConnected: a watch is connected to Frontend; before it was at From, if any.
	NoticeConnected NoticeKind = "watch connected"
	// NoticeLost: a watch at Frontend has ended with Err, and reconnects after Wait.
	NoticeLost NoticeKind = "watch lost"
	// NoticeRefused: Frontend refused a watch with Err, and is not tried again for Wait.
	NoticeRefused NoticeKind = "watch refused"
	// NoticeRedirected: From, busy or not the home, redirected a watch to Frontend.
	NoticeRedirected NoticeKind = "watch redirected"
)

// Notice is something that a client did by itself. Only the fields of its kind are set.
type Notice struct {
	Kind     NoticeKind
	Frontend string // URL
	From     string // URL
	Err      error
	Wait     time.Duration
}

func (n Notice) String() string {
	var b strings.Builder
	b.WriteString(string(n.Kind))
	if n.Frontend != "" {
		b.WriteString(": " + n.Frontend)
	}
	if n.From != "" {
		b.WriteString(", from " + n.From)
	}
	if n.Wait > 0 {
		fmt.Fprintf(&b, ", again in %s", n.Wait.Round(time.Millisecond))
	}
	if n.Err != nil {
		fmt.Fprintf(&b, ": %v", n.Err)
	}
	return b.String()
}

// Attempt is one request of a call at one frontend, and how it ended.
type Attempt struct {
	URL      string // of the frontend that was asked
	Frontend string // the id in the response; "" if there was none
	Method   string
	Path     string
	Status   int // 0: there was no complete response
	Took     time.Duration
	Err      error // why there was no complete response
}

// UnreachableError is the error of a call to which no frontend responded. No attempt of it
// to change something has arrived anywhere.
type UnreachableError struct {
	Tried []string // the URLs, in the order of preference
	// Unused are the URLs that the group lists and that may not get the client's token.
	Unused []string
	Err    error // of the last one
}

func (e *UnreachableError) Error() string {
	unused := ""
	if len(e.Unused) > 0 {
		unused = fmt.Sprintf("; the token is not sent to %s: name them or the authority to trust",
			strings.Join(e.Unused, ", "))
	}
	return fmt.Sprintf("no frontend can be reached (tried %s%s): %v", strings.Join(e.Tried, ", "), unused, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// NewID returns a new unique id for an event.
func NewID() string { return strings.ToLower(rand.Text()) }

// maxID is the length of the longest id that Laurel accepts, in bytes.
const maxID = 128

// defaultID returns the id of an event that has none. It is the same each time for an
// event with a source and a seq, so that a program that was restarted can post it again.
func defaultID(e *score.Event) string {
	if e.Source != "" && e.Seq > 0 {
		if id := fmt.Sprintf("%s#%d", e.Source, e.Seq); len(id) <= maxID {
			return id
		}
	}
	return NewID()
}

var errTooSlow = errors.New("took too long to answer")

// pause returns how long to wait after a number of failures in a row: not at all while
// there are frontends that have not been tried in this round, unless the group is busy.
// It has jitter, and grows to 1 s.
func (c *Client) pause(failures int, busy bool) time.Duration {
	n := c.frontends.count()
	if failures%n > 0 && !busy {
		return 0
	}
	d := min(100*time.Millisecond<<min((failures-1)/n, 4), time.Second)
	return d/2 + mathrand.N(d/2)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
