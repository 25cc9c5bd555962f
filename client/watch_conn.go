package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"laurel/client/eventstream"
	"laurel/internal/address"
	"laurel/score"

	"github.com/go-json-experiment/json"
)

// watchConn is one stream of a watch.
type watchConn struct {
	url    string // of the frontend
	from   string // the frontend that sent the watch there; "" for none
	body   io.ReadCloser
	events *eventstream.Reader
	cancel context.CancelCauseFunc
	ctx    context.Context
	known  windows // what this stream has sent
	// parts are the contests of the snapshot whose parts are arriving.
	parts map[string]bool
}

func (c *watchConn) close() {
	c.cancel(nil)
	c.body.Close()
}

// refusal is the error of a frontend that has no place for a stream now.
type refusal struct {
	url   string
	after time.Duration
	err   error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

var (
	errSilent = fmt.Errorf("sent nothing for %s", silence)
	errEnded  = errors.New("ended the stream")
)

// connect opens a stream at a frontend, or at the one to which that redirects the watch.
func (s *watch) connect(base string) (*watchConn, error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	slow := time.AfterFunc(s.c.o.AttemptTimeout+watchBegin, func() { cancel(errTooSlow) })
	conn := &watchConn{url: base, ctx: ctx, cancel: cancel, known: windows{}, parts: map[string]bool{}}
	resp, err := s.open(ctx, conn)
	if !slow.Stop() && err == nil {
		resp.Body.Close()
		err = errTooSlow
	}
	// The next frontend might redirect the watch to the same place again.
	s.stay = err != nil && conn.from != ""
	if err != nil {
		err = cmp.Or(context.Cause(ctx), err)
		cancel(nil)
		if errors.As(err, new(*refusal)) || errors.As(err, new(*score.Problem)) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", conn.url, withoutURL(err))
	}
	conn.body = resp.Body
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	quiet.Stop()
	conn.events = eventstream.NewReader(&silenceReader{resp.Body, quiet}, maxResponse)
	conn.events.ID, conn.events.Retry = s.lastID, s.retry
	return conn, nil
}

// open sends the request for a stream. It follows one redirect to another frontend.
func (s *watch) open(ctx context.Context, conn *watchConn) (*http.Response, error) {
	q := maps.Clone(s.query)
	if home := s.c.Home(); home != "" {
		q.Set("home", home)
	}
	if s.stay {
		q.Set("moved", "1") // as of a watch that was redirected already
	}
	at := requestURL(conn.url, "/v1/watch", q)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "text/event-stream")
		if s.lastID != "" {
			req.Header.Set("Last-Event-ID", s.lastID)
		}
		resp, err := s.c.watches.Do(req)
		if err != nil {
			return nil, err
		}
		if isRedirect(resp) && conn.from == "" {
			resp.Body.Close()
			to, base, err := redirectTarget(resp)
			if err != nil {
				return nil, err
			}
			if s.lastURL == "" && s.c.frontends.replaceHome(conn.url, base) {
				q := to.Query()
				q.Set("home", s.c.Home())
				to.RawQuery = q.Encode()
			}
			conn.from, conn.url, at = conn.url, base, to.String()
			continue
		}
		return resp, s.checkResponse(conn, resp)
	}
}

func isRedirect(resp *http.Response) bool { return resp.StatusCode/100 == 3 }

// redirectTarget returns the target of a redirect, and the URL of the frontend there.
func redirectTarget(resp *http.Response) (to *url.URL, base string, err error) {
	to, err = resp.Location()
	if err != nil {
		return nil, "", fmt.Errorf("redirected the watch without a valid location: %w", err)
	}
	path, ok := strings.CutSuffix(to.Path, "/v1/watch")
	if !ok {
		return nil, "", fmt.Errorf("redirected the watch to %s, which is no frontend", to.Redacted())
	}
	at, err := address.Parse((&url.URL{Scheme: to.Scheme, Host: to.Host, Path: path}).String())
	return to, at.String(), err
}

// checkResponse returns an error, and closes the response, unless that is a stream.
func (s *watch) checkResponse(conn *watchConn, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
			resp.Body.Close()
			return fmt.Errorf("answered with the type %q; want a stream of events", resp.Header.Get("Content-Type"))
		}
		if resp.Header.Get("Retry-After") != "" {
			return readUnavailable(conn.url, resp)
		}
		return nil
	}
	if isRedirect(resp) {
		resp.Body.Close()
		return &refusal{conn.url, 0, errors.New("redirected a watch that was redirected already")}
	}
	a, err := readRefusal(resp)
	if a.status == http.StatusUnauthorized && !s.c.frontends.knows(conn.url) {
		// The watch was sent there, and may be refused for want of the token only.
		return &refusal{
			conn.url, 0, fmt.Errorf("%s is none of the client's frontends, and answered: %v", conn.url, err),
		}
	}
	if transient(a.status) {
		return &refusal{conn.url, a.retryAfter(), err}
	}
	return err
}

// readUnavailable reads the stream that a frontend sends in place of a response with the
// status 429 or 503, after which an EventSource would not reconnect.
func readUnavailable(url string, resp *http.Response) error {
	defer resp.Body.Close()
	m, err := eventstream.NewReader(resp.Body, maxResult).Next()
	if err != nil {
		return err
	}
	var p score.Problem
	if err := json.Unmarshal(m.Data, &p); err != nil || m.Name != "unavailable" {
		return fmt.Errorf("sent the event %q in place of a stream", m.Name)
	}
	r := response{header: resp.Header}
	return &refusal{url, r.retryAfter(), &p}
}

// listen passes what comes to the caller until the stream ends. When the frontend sends
// the watch home, listen continues there. It returns the last frontend and the error.
func (s *watch) listen(conn *watchConn) (string, error) {
	defer func() { conn.close() }()
	if !s.connected(conn) {
		return conn.url, nil
	}
	for {
		m, err := conn.events.Next()
		s.retry = max(conn.events.Retry, time.Millisecond)
		if err != nil {
			return conn.url, s.lostError(conn, err)
		}
		if m.Name == "home" {
			if home := s.goHome(conn, m); home != nil {
				conn.close()
				conn = home
				if !s.connected(conn) {
					return conn.url, nil
				}
			}
			continue
		}
		u, ok, err := s.update(conn, m)
		if err != nil {
			return conn.url, s.lostError(conn, err)
		}
		s.lastID = conn.events.ID
		if u.Frontend = conn.url; ok && !s.yieldUpdate(u) {
			return conn.url, nil
		}
	}
}

// connected announces a new connection. It reports whether the caller wants more.
func (s *watch) connected(conn *watchConn) bool {
	id, home := s.c.frontends.homeNow()
	atHome := conn.url == home
	s.c.frontends.markRecovered(conn.url)
	delete(s.refused, conn.url)
	if conn.from != "" {
		s.c.o.Notify(Notice{Kind: NoticeRedirected, Frontend: conn.url, From: conn.from})
	}
	kind := NoticeConnected
	if atHome && s.lastURL != "" && s.lastURL != conn.url {
		kind = NoticeWentHome
	}
	s.c.o.Notify(Notice{Kind: kind, Frontend: conn.url, From: s.lastURL})
	s.lastURL = conn.url
	return s.yieldUpdate(Update{Kind: UpdateConnected, Frontend: conn.url, Home: id, AtHome: atHome})
}

// lostError returns why a stream is over; nil if the caller ended it.
func (s *watch) lostError(conn *watchConn, err error) error {
	if s.ended() {
		return nil
	}
	s.c.refreshInBackground(true)
	cause := context.Cause(conn.ctx)
	if cause == nil && errors.Is(err, io.EOF) {
		// Perhaps the frontend has ended only this stream. It costs little to try again.
		return fmt.Errorf("%s: %w", conn.url, errEnded)
	}
	err = fmt.Errorf("%s: %w", conn.url, cmp.Or(cause, err))
	s.c.frontends.markFailed(conn.url, err)
	return err
}

// goHome connects to the home to which a frontend sends the watch; nil if that fails.
func (s *watch) goHome(conn *watchConn, m eventstream.Event) *watchConn {
	var to struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(m.Data, &to) != nil {
		return nil
	}
	at, err := address.Parse(to.URL)
	base := at.String()
	if err != nil || base == conn.url {
		return nil
	}
	home, err := s.connect(base)
	if err != nil {
		s.connectFailed(base, err)
		return nil
	}
	if home.url != base {
		// The home has no place now. The frontend will send the watch there again.
		home.close()
		return nil
	}
	home.from = conn.url
	return home
}

// silenceReader is a reader with a timer that runs only while a read waits.
type silenceReader struct {
	r     io.Reader
	timer *time.Timer
}

func (p *silenceReader) Read(b []byte) (int, error) {
	p.timer.Reset(silence)
	n, err := p.r.Read(b)
	p.timer.Stop()
	return n, err
}
