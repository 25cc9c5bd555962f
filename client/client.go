package client

import (
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

// Options are the choices of a Client. The zero value is a good one.
type Options struct {
	// Timeout bounds every call, all its attempts together; a shorter deadline of the call's context goes before. 0: DefaultTimeout.
	Timeout time.Duration
	// AttemptTimeout is how long one frontend may keep a call, or an event of a Stream, without an answer before the next one is tried. 0: DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Refresh is the age at which the list of frontends is asked for again, beside a call that needs it. 0: DefaultRefresh.
	Refresh time.Duration
	// Home is the id of the frontend that is asked first, for as long as it answers, and returned to when it is back. "": the one with
	// the least load when the client first learns of the group.
	Home string
	// Key signs every event that is posted; see Post and Stream. nil: events are posted as they are.
	Key ed25519.PrivateKey
	// Transport carries the requests. nil: one of the client's own, which Close ends. Many clients in one program should share one (NewTransport).
	Transport http.RoundTripper
	// Token says who the client is, where it has no key to sign with, or wants more than to post. It is sent over TLS, and to this machine; not in the clear.
	Token string
	// TLS says which certificates are trusted, for URLs of https. nil: those that this machine trusts. It has no effect beside a Transport.
	TLS *tls.Config
	// Notify is called with what the client did by itself: what failed, where it went, when it came home. It is called from many goroutines and must
	// not take long.
	Notify func(Notice)
	// Attempted is called after each request of a call, that of a Stream excepted. It is called from many goroutines and must not take long.
	Attempted func(Attempt)
}

// Client talks to a group of frontends. It is safe for concurrent use.
type Client struct {
	o         Options
	http      *http.Client
	watches   *http.Client // follows no redirect by itself
	frontends *frontends

	// ctx ends with Close: the refreshing of the list runs under it.
	ctx       context.Context
	cancel    context.CancelFunc
	refreshes sync.WaitGroup
}

// New makes a client of the group that the given frontends belong to; one is enough. It sends nothing yet.
// A URL without a scheme is one of http.
func New(urls []string, o Options) (*Client, error) {
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	if n := len(o.Key); n != 0 && n != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("the key has %d bytes; want %d, a private key of Ed25519", n, ed25519.PrivateKeySize)
	}
	f, err := newFrontends(urls, o.Home, o.Notify)
	if err != nil {
		return nil, err
	}
	if o.Attempted == nil {
		o.Attempted = func(Attempt) {}
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.AttemptTimeout <= 0 {
		o.AttemptTimeout = DefaultAttemptTimeout
	}
	if o.Refresh <= 0 {
		o.Refresh = DefaultRefresh
	}
	transport := o.Transport
	if transport == nil {
		own := NewTransport(64)
		own.TLSClientConfig = o.TLS.Clone()
		transport = own
	}
	if o.Token != "" {
		transport = &bearer{"Bearer " + o.Token, transport}
	}
	c := &Client{o: o, frontends: f, http: &http.Client{Transport: transport}}
	c.watches = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// NewTransport makes a transport such as a client makes for itself, to be shared by many. It keeps up to idle connections to each frontend open
// between calls.
func NewTransport(idle int) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// A machine that is gone answers nothing: without a bound of its own, dialling it would use up the whole attempt.
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		TLSHandshakeTimeout: 2 * time.Second,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     60 * time.Second,
		DisableCompression:  true,
	}
}

// Close ends what runs in the background and lets go of idle connections. Calls and streams under way are left to end by themselves.
func (c *Client) Close() {
	c.cancel()
	c.refreshes.Wait()
	if c.o.Transport == nil {
		c.http.CloseIdleConnections()
	}
}

// UnreachableError says that no frontend gave any answer.
type UnreachableError struct {
	Tried []string // the URLs, in the order of preference
	Err   error    // what the last of them said
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no frontend can be reached (tried %s): %v", strings.Join(e.Tried, ", "), e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// NewID makes an id for an event, one that nobody else has.
func NewID() string { return strings.ToLower(rand.Text()) }

// maxID is the length of the longest id that Laurel accepts, in bytes.
const maxID = 128

// defaultID returns the id of an event that has none. An event that has a source and a seq gets the
// same id each time, so that a program that was restarted can post it again.
func defaultID(e *score.Event) string {
	if e.Source != "" && e.Seq > 0 {
		if id := fmt.Sprintf("%s#%d", e.Source, e.Seq); len(id) <= maxID {
			return id
		}
	}
	return NewID()
}

var errTooSlow = errors.New("took too long to answer")

// backoff is how long to wait after every frontend has failed, for the n-th time in a row from 1: jittered, from 50 ms up to 1 s.
func backoff(n int) time.Duration {
	d := time.Second
	if n < 5 {
		d = 50 * time.Millisecond << n
	}
	return d/2 + mathrand.N(d/2)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
