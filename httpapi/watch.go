package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/httpapi/watch"
	"laurel/internal/textfmt"
	"laurel/score"
)

const (
	// maxSubjects bounds what one stream watches.
	maxSubjects = 100
	// maxBoards bounds the leaderboards among them.
	maxBoards = 10
	// maxWindow bounds the rows of each leaderboard, and defaultWindow is their number
	// without a limit.
	maxWindow     = 100
	defaultWindow = 10
	// maxHome bounds the id of a frontend that a client names as its home.
	maxHome = 64
	// A client is told to reconnect after a random time from minRetry on, so that the
	// watchers of a frontend that died do not reconnect at once.
	minRetry    = 500 * time.Millisecond
	retrySpread = 1500 * time.Millisecond
	// unavailableRetry is minRetry for a client that is refused: it may be one of many.
	unavailableRetry = 2 * time.Second
)

// watchSubjects are the parameters that may be given many times, watchParameters the
// others.
var (
	watchSubjects   = []string{"contest", "competition", "medals", "timeline", "leaderboard"}
	watchParameters = []string{"scope", "split", "category", "around", "limit", "last_event_id", "home", "moved"}
)

// parseSubjects reads what a stream watches from the query of a URL.
func parseSubjects(query string) (s watch.Subjects, q url.Values, err error) {
	if q, err = url.ParseQuery(query); err != nil {
		return s, nil, score.Problemf(score.InvalidEvent, "invalid URL parameters: %s", err)
	}
	count := 0
	for name, values := range q {
		if slices.Contains(watchParameters, name) {
			continue
		}
		if !slices.Contains(watchSubjects, name) {
			return s, nil, handler.FieldProblem(handler.Printable(name), "unknown parameter; want one of %s",
				strings.Join(slices.Concat(watchSubjects, watchParameters[:7]), ", "))
		}
		for _, value := range values {
			if !score.ValidPath(value) {
				return s, nil, handler.Unwanted(name, value, "segments of letters, digits and ._~- joined by /")
			}
		}
		count += len(values)
	}
	if count > maxSubjects {
		return s, nil, handler.FieldProblem("contest",
			"%d subjects; want at most %d, or a competition", count, maxSubjects)
	}
	s = watch.Subjects{
		Contests:     unique(q["contest"]),
		Competitions: unique(q["competition"]),
		Medals:       unique(q["medals"]),
		Timelines:    unique(q["timeline"]),
		Everything:   count == 0,
	}
	if err := parseScope(q, &s); err != nil {
		return s, nil, err
	}
	if home := q.Get("home"); len(home) > maxHome || home != "" && !score.ValidSegment(home) {
		return s, nil, handler.Unwanted("home", home, "the id of a frontend, of at most %d bytes", maxHome)
	}
	s.Windows, err = parseWindows(q)
	return s, q, err
}

// parseScope reads the scope, with which everything is watched besides the other subjects.
func parseScope(q url.Values, s *watch.Subjects) error {
	switch values := q["scope"]; {
	case len(values) == 0:
		return nil
	case len(values) > 1 || values[0] != "all" && values[0] != "now":
		return handler.Unwanted("scope", strings.Join(values, ", "),
			"now, to begin with what is live, next and finished last, or all, to begin with all contests")
	case len(s.Competitions) > 0:
		return handler.FieldProblem("scope", "given with a competition; a scope is for all competitions")
	}
	s.Everything, s.Now = true, q.Get("scope") == "now"
	return nil
}

// unique sorts values and removes those that occur twice. They are copied, because a
// watcher that kept them would keep the whole URL.
func unique(values []string) []string {
	list := slices.Compact(slices.Sorted(slices.Values(values)))
	for i := range list {
		list[i] = strings.Clone(list[i])
	}
	return list
}

// parseWindows reads the windows of leaderboards to watch: the same part of each
// leaderboard.
func parseWindows(q url.Values) (list []watch.Window, err error) {
	boards := unique(q["leaderboard"])
	if len(boards) > maxBoards {
		return nil, handler.FieldProblem("leaderboard",
			"%d leaderboards; want at most %d in one stream", len(boards), maxBoards)
	}
	for _, name := range []string{"split", "category", "around", "limit"} {
		switch values := q[name]; {
		case len(values) == 0:
		case len(boards) == 0:
			return nil, handler.FieldProblem(name, "given without a leaderboard")
		case len(values) > 1:
			return nil, handler.FieldProblem(name, "given %d times; want it once, for all leaderboards", len(values))
		case len(values[0]) > question.MaxFilter:
			return nil, handler.FieldProblem(name,
				"got %d bytes; names have at most %d", len(values[0]), question.MaxFilter)
		}
	}
	given := func(name string) string { return norm.NFC.String(q.Get(name)) }
	w := watch.Window{Split: given("split"), Category: given("category"), Around: given("around"), Limit: defaultWindow}
	if given := q.Get("limit"); given != "" {
		if w.Limit, err = strconv.Atoi(given); err != nil || w.Limit < 1 || w.Limit > maxWindow {
			return nil, handler.Unwanted("limit", given, "1 to %d rows of each leaderboard", maxWindow)
		}
	}
	for _, w.ContestID = range boards {
		list = append(list, w)
	}
	return list, nil
}

// watch answers with a stream of server-sent events that does not end.
func (s *server) watch(ctx context.Context, r *handler.Request) (handler.Response, error) {
	subjects, q, err := parseSubjects(r.Query)
	if err != nil {
		return handler.Response{}, err
	}
	if s.gate.Overloaded() {
		return handler.Response{}, s.gate.OverloadedProblem()
	}
	w, hr := r.Transport()
	lastID := hr.Header.Get("Last-Event-Id")
	if given := q.Get("last_event_id"); given != "" {
		lastID = given
	}
	// A browser gives up the stream of another origin for good when it is redirected.
	if hr.Header.Get("Origin") == "" {
		if to := s.balancer.elsewhere(r, q); to != "" {
			return handler.Response{Status: http.StatusTemporaryRedirect, Location: to, CacheControl: "no-store"}, nil
		}
	}
	if r.Method == http.MethodHead {
		s.setStreamFields(w.Header())
		w.WriteHeader(http.StatusOK)
		return handler.Written, nil
	}
	if s.balancer.drains() {
		return handler.Response{}, score.Problemf(score.NotReady,
			"this frontend is draining; watch another one, GET /v1/frontends lists them")
	}
	place, problem := s.gate.EnterWatch(r.Caller)
	if problem != nil {
		return handler.Response{}, problem
	}
	caller := r.Caller
	watcher, err := s.hub.Subscribe(subjects, watch.Client{
		Home:      strings.Clone(s.balancer.home(r, q)),
		Permitted: func() bool { return s.gate.MayStillRead(caller) },
		Memory:    place,
		Left:      place.Leave,
	})
	if err != nil {
		place.Leave()
		return handler.Response{}, watchProblem(err)
	}
	r.Stream = true
	out := &streamOutput{
		w: w, control: http.NewResponseController(w), http2: hr.ProtoMajor > 1, fields: s.setStreamFields,
	}
	err = s.stream(ctx, out, watcher, lastID)
	switch {
	case out.begun:
		return handler.Written, nil // the client has the status, and finds the stream's end
	case errors.Is(err, watch.ErrNotPermitted):
		// The group has become private meanwhile.
		if problem := s.gate.Admit(ctx, admission.PermitWatch, r); problem != nil {
			return handler.Response{}, problem
		}
	}
	return handler.Response{}, watchProblem(err)
}

// stream writes a stream, until its end or until the hub has its connection. The error is
// that of the beginning.
func (s *server) stream(ctx context.Context, out *streamOutput, watcher *watch.Watcher, lastID string) error {
	err := s.hub.Begin(ctx, watcher, lastID, out.write)
	switch {
	case err != nil:
		s.hub.Remove(watcher)
		out.close()
	case out.http2:
		s.relay(ctx, out, watcher)
	default:
		s.hub.Attach(watcher, out.conn)
	}
	return err
}

func (s *server) setStreamFields(h http.Header) {
	h.Set("Content-Type", typeEvents)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Laurel-Mode", string(s.status.CacheMode()))
}

// streamOutput writes the beginning of a stream. With HTTP/1.1 it takes the connection
// from net/http, so that an idle stream needs neither its buffers nor a goroutine.
type streamOutput struct {
	w       http.ResponseWriter
	control *http.ResponseController
	http2   bool
	fields  func(http.Header) // sets the header fields of a stream
	begun   bool
	conn    net.Conn // with HTTP/1.1, once the stream has begun
}

// write writes a part of the beginning. The first begins the answer.
func (o *streamOutput) write(part []byte) error {
	if o.begun {
		return o.writePart(part)
	}
	var b bytes.Buffer
	if o.http2 {
		o.fields(o.w.Header())
	} else {
		conn, _, err := o.control.Hijack()
		if err != nil {
			return score.Problemf(score.NotReady, "a stream needs a connection of its own, or HTTP/2")
		}
		o.conn = conn
		conn.SetDeadline(time.Time{})
		if out, ok := o.w.(*statusWriter); ok {
			out.status = http.StatusOK
		}
		b.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nDate: " +
			time.Now().UTC().Format(http.TimeFormat) + "\r\n")
		o.fields(o.w.Header())
		_ = o.w.Header().Write(&b) // a Buffer does not fail
		b.WriteString("\r\n")
	}
	o.begun = true
	writeRetry(&b, minRetry)
	b.WriteString("\n")
	b.Write(part)
	return o.writePart(b.Bytes())
}

// writeRetry writes how long a client is to wait before it reconnects.
func writeRetry(b *bytes.Buffer, least time.Duration) {
	fmt.Fprintf(b, "retry: %d\n", (least + rand.N(retrySpread)).Milliseconds())
}

func (o *streamOutput) writePart(part []byte) error {
	deadline := time.Now().Add(watch.SlowWriteTimeout)
	if o.conn != nil {
		o.conn.SetWriteDeadline(deadline)
		_, err := o.conn.Write(part)
		return err
	}
	_ = o.control.SetWriteDeadline(deadline)
	_, err := o.w.Write(part)
	err = cmp.Or(err, o.control.Flush())
	_ = o.control.SetWriteDeadline(time.Time{}) // it would pass even while nothing is written
	return err
}

func (o *streamOutput) close() {
	if o.conn != nil {
		o.conn.Close()
	}
}

// relay writes the stream as a response of HTTP/2, whose connection cannot be taken. It
// returns at the end of the stream. What the hub writes comes through a pipe.
func (s *server) relay(ctx context.Context, to *streamOutput, watcher *watch.Watcher) {
	out, in := net.Pipe()
	defer out.Close()
	defer context.AfterFunc(ctx, func() { out.Close() })()
	defer s.hub.Remove(watcher)
	s.hub.Attach(watcher, in)
	buffer := make([]byte, 4<<10)
	for {
		n, err := out.Read(buffer)
		if err != nil || to.writePart(buffer[:n]) != nil {
			return
		}
	}
}

const typeEvents = "text/event-stream"

// wantsEvents reports whether the client is one such as an EventSource.
func wantsEvents(r *handler.Request) bool { return handler.Weight(r.Accept, typeEvents) > 0 }

// unavailable returns the answer that an EventSource gets in place of a, which reports p
// with the status 429 or 503: after any status but 200 it would never reconnect. It is a
// stream that ends. Programs find the problem in its only event, and people in a comment.
func unavailable(a handler.Response, p *score.Problem) handler.Response {
	var b bytes.Buffer
	writeRetry(&b, unavailableRetry)
	fmt.Fprintf(&b, ": %s\nevent: unavailable\ndata: %s\n\n",
		textfmt.OneLine(p.Detail), handler.AppendProblem(nil, p))
	a.Status, a.Type, a.Body = http.StatusOK, typeEvents, b.Bytes()
	return a
}

func watchProblem(err error) error {
	switch {
	case errors.Is(err, watch.ErrFull):
		return score.Problemf(score.NotReady,
			"this frontend has %d watchers, its limit; watch another frontend, GET /v1/frontends lists them",
			watch.MaxWatchers)
	case errors.Is(err, watch.ErrTooManyRows):
		return score.Problemf(score.NotReady,
			"that is %s at this frontend; watch another frontend, use a lower limit, "+
				"or watch the same rows as others", err)
	case errors.Is(err, watch.ErrTooManyRecords):
		return score.Problemf(score.TooLarge,
			"that is %s; choose with scope=now, contest=, competition=, medals= or timeline=", err)
	case errors.Is(err, watch.ErrNoMemory):
		return score.Problemf(score.NotReady,
			"%s; watch another frontend, or retry in 1 s", err)
	case errors.Is(err, cache.ErrNotLeased), errors.Is(err, watch.ErrNotPermitted):
		return score.Problemf(score.NotReady,
			"this frontend is not up to date with the master; watch another frontend, or retry in 1 s")
	}
	return err
}
