package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// connection is one stream of a watch.
type watchConn struct {
	url     string // of the frontend
	from    string // which frontend sent the watch there; "": none did
	adoptAs string // its id, if it is to be the client's home from now on
	body    io.ReadCloser
	events  *messages
	cancel  context.CancelCauseFunc
	ctx     context.Context
	known   windows // what this stream has told
}

func (c *watchConn) close() {
	c.cancel(nil)
	c.body.Close()
}

// refusal: a frontend has no place for a stream now.
type refusal struct {
	url   string
	after time.Duration
	err   error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

var (
	errSilent = fmt.Errorf("said nothing for %s", silence)
	errEnded  = errors.New("ended the stream")
)

// connect asks a frontend for a stream, and goes where it sends the watch.
func (s *watch) connect(base string) (*watchConn, error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	slow := time.AfterFunc(s.c.o.AttemptTimeout+watchBegin, func() { cancel(errTooSlow) })
	conn := &watchConn{url: base, ctx: ctx, cancel: cancel, known: windows{}}
	resp, err := s.open(ctx, conn)
	if !slow.Stop() && err == nil {
		resp.Body.Close()
		err = errTooSlow
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		if errors.As(err, new(*refusal)) || errors.As(err, new(*score.Problem)) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", conn.url, withoutURL(err))
	}
	conn.body = resp.Body
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	quiet.Stop()
	conn.events = newMessages(&silenceReader{resp.Body, quiet})
	conn.events.id, conn.events.retry = s.lastID, s.retry
	return conn, nil
}

// request sends the request of a stream, and once more if it is sent on to another frontend.
func (s *watch) open(ctx context.Context, conn *watchConn) (*http.Response, error) {
	q := s.options.query()
	if home, _ := s.c.frontends.homeOf(s.options.Home); home != "" {
		q.Set("home", home)
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
		if resp.StatusCode == http.StatusTemporaryRedirect && conn.from == "" {
			resp.Body.Close()
			to, base, err := redirectTarget(resp)
			if err != nil {
				return nil, err
			}
			conn.from, conn.url, at = conn.url, base, s.adoptTarget(conn.url, base, to, conn)
			continue
		}
		return resp, s.checkResponse(conn, resp)
	}
}

// settle lets a client that has never been in the home that it chose, and is sent on from there, make its home where it is sent.
func (s *watch) adoptTarget(from, to string, target *url.URL, conn *watchConn) string {
	if id, ok := s.c.frontends.adoptable(from, to); ok && s.lastURL == "" && s.options.Home == "" {
		conn.adoptAs = id
		q := target.Query()
		q.Set("home", id)
		target.RawQuery = q.Encode()
	}
	return target.String()
}

// sentTo is where a frontend sends a watch: the whole URL, and the frontend's.
func redirectTarget(resp *http.Response) (to *url.URL, base string, err error) {
	to, err = resp.Location()
	if err != nil {
		return nil, "", fmt.Errorf("sent the watch on, but not whereto: %w", err)
	}
	path, ok := strings.CutSuffix(to.Path, "/v1/watch")
	if !ok {
		return nil, "", fmt.Errorf("sent the watch on to %s, which is no frontend", to.Redacted())
	}
	base, err = baseURL((&url.URL{Scheme: to.Scheme, Host: to.Host, Path: path}).String())
	return to, base, err
}

// judge closes a response that is no stream and says why.
func (s *watch) checkResponse(conn *watchConn, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
			resp.Body.Close()
			return fmt.Errorf("answered with %q; want a stream of events", resp.Header.Get("Content-Type"))
		}
		return nil
	}
	a, err := readResponse(resp, maxResult)
	if err != nil {
		return err
	}
	err = a.problem()
	switch {
	case err == nil:
		return fmt.Errorf("answered with status %d; want 200", a.status)
	case transient(a.status):
		return &refusal{conn.url, a.retryAfter(), err}
	}
	return err
}

// listen tells the caller what comes, until the stream ends; it returns where that was, and why. When it is sent home it changes over.
func (s *watch) listen(conn *watchConn) (string, error) {
	defer func() { conn.close() }()
	if !s.connected(conn) {
		return conn.url, nil
	}
	for {
		m, err := conn.events.next()
		s.retry = max(conn.events.retry, time.Millisecond)
		if err != nil {
			return conn.url, s.lostError(conn, err)
		}
		if m.event == "home" {
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
		s.lastID = conn.events.id
		if u.Frontend = conn.url; ok && !s.yieldUpdate(u) {
			return conn.url, nil
		}
	}
}

// begin says that a connection is there.
func (s *watch) connected(conn *watchConn) bool {
	if conn.adoptAs != "" {
		s.c.frontends.adopt(conn.adoptAs, conn.url)
	}
	id, home := s.c.frontends.homeOf(s.options.Home)
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

// lost says why a stream is over, unless the caller ended it.
func (s *watch) lostError(conn *watchConn, err error) error {
	if s.ended() {
		return nil
	}
	s.c.refreshInBackground(true)
	cause := context.Cause(conn.ctx)
	if cause == nil && errors.Is(err, io.EOF) {
		// It stops, or it has ended this stream alone; to ask it again costs next to nothing.
		return fmt.Errorf("%s: %w", conn.url, errEnded)
	}
	if cause != nil {
		err = cause
	}
	err = fmt.Errorf("%s: %w", conn.url, err)
	s.c.frontends.markFailed(conn.url, err)
	return err
}

// goHome connects to the home that a frontend sends the watch to. Only when that has worked the present connection may end.
func (s *watch) goHome(conn *watchConn, m message) *watchConn {
	var to struct {
		URL string `json:"url"`
	}
	base := ""
	err := json.Unmarshal(m.data, &to)
	if err == nil {
		base, err = baseURL(to.URL)
	}
	if err != nil || base == conn.url {
		return nil
	}
	home, err := s.connect(base)
	if err != nil {
		s.connectFailed(base, err)
		return nil
	}
	if home.url != base {
		// It is home again, but has no place now; that will be said again.
		home.close()
		return nil
	}
	home.from = conn.url
	return home
}

// update reads a message. One that is not known, or that tells nothing new, is none; that is no error.
func (s *watch) update(conn *watchConn, m message) (u Update, ok bool, err error) {
	u.Kind = UpdateKind(m.event)
	switch u.Kind {
	case UpdateSnapshot:
		var all struct {
			Store    string                `json:"store"`
			Scores   []score.Record        `json:"scores"`
			Medals   []score.Medals        `json:"medals"`
			Timeline []score.TimelineEvent `json:"timeline"`
			Windows  []windowEvent         `json:"leaderboards"`
		}
		if err = json.Unmarshal(m.data, &all); err == nil {
			u.Leaderboards, err = conn.known.takeAll(all.Windows)
		}
		u.Scores, u.Medals, u.Timeline = all.Scores, all.Medals, all.Timeline
		if err == nil {
			u.NewStore = s.dedup.setStore(all.Store)
			s.dedup.filter(&u)
		}
		return u, err == nil, s.unreadable(m, err)
	case UpdateScore:
		u.Scores = make([]score.Record, 1)
		err = json.Unmarshal(m.data, &u.Scores[0])
	case UpdateMedals:
		u.Medals = make([]score.Medals, 1)
		err = json.Unmarshal(m.data, &u.Medals[0])
	case UpdateTimeline:
		u.Timeline = make([]score.TimelineEvent, 1)
		err = json.Unmarshal(m.data, &u.Timeline[0])
	case UpdateLeaderboard:
		u.Leaderboards, err = conn.known.takeOne(m.data)
	case UpdateHeartbeat:
		err = json.Unmarshal(m.data, &u.Beat)
		s.c.refreshIfOld()
		return u, err == nil, s.unreadable(m, err)
	default:
		return u, false, nil
	}
	return u, err == nil && s.dedup.filter(&u), s.unreadable(m, err)
}

func (s *watch) unreadable(m message, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sent an event %q that cannot be read: %w", m.event, err)
}

// pulse reads under a timer that runs only while a read waits.
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
