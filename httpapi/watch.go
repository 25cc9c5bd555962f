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

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/httpapi/watch"
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
	// subscribeTimeout bounds the time until a stream begins, and subscribePoll is how
	// often a frontend that cannot answer is asked again within it.
	subscribeTimeout = 3 * time.Second
	subscribePoll    = 20 * time.Millisecond
	// A client is told to reconnect after a random time from minRetry on, so that the
	// watchers of a frontend that died do not reconnect at once.
	minRetry    = 500 * time.Millisecond
	retrySpread = 1500 * time.Millisecond
)

// watchSubjects are the parameters that may be given many times, watchParameters the
// others.
var (
	watchSubjects   = []string{"contest", "competition", "medals", "timeline", "leaderboard"}
	watchParameters = []string{"split", "category", "around", "limit", "last_event_id", "home", "moved"}
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
				strings.Join(slices.Concat(watchSubjects, watchParameters[:6]), ", "))
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
	s.Windows, err = parseWindows(q)
	return s, q, err
}

func unique(values []string) []string { return slices.Compact(slices.Sorted(slices.Values(values))) }

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
	w := watch.Window{Split: q.Get("split"), Category: q.Get("category"), Around: q.Get("around"), Limit: defaultWindow}
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
	watcher, first, err := s.subscribe(ctx, subjects, lastID, s.balancer.home(r, q))
	if err != nil {
		return handler.Response{}, watchProblem(err)
	}
	// The group may have become private while subscribe waited.
	if problem := s.gate.Admit(ctx, admission.PermitWatch, r); problem != nil {
		s.hub.Remove(watcher)
		return handler.Response{}, problem
	}
	caller := r.Caller
	watcher.Permitted = func() bool { return s.gate.MayStillRead(caller) }
	retry := minRetry + rand.N(retrySpread)
	first = append(fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds()), first...)
	s.setStreamFields(w.Header())
	r.Stream = true
	if hr.ProtoMajor > 1 {
		s.relay(ctx, w, watcher, first)
		return handler.Written, nil
	}
	conn, err := s.hijack(w, first)
	if err != nil {
		s.hub.Remove(watcher)
		return handler.Response{}, err
	}
	if out, ok := w.(*statusWriter); ok {
		out.status = http.StatusOK
	}
	s.hub.Attach(watcher, conn)
	return handler.Written, nil
}

// subscribe begins a stream. A frontend that has lost its master gets another one in a
// moment, so clients that come meanwhile wait for that.
func (s *server) subscribe(
	ctx context.Context, subjects watch.Subjects, lastID, home string,
) (*watch.Watcher, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	for {
		err := error(cache.ErrNotLeased)
		if s.status.Incarnation() != "" {
			var watcher *watch.Watcher
			var first []byte
			if watcher, first, err = s.hub.Subscribe(ctx, subjects, lastID, home); err == nil {
				return watcher, first, nil
			}
		}
		if !errors.Is(err, cache.ErrNotLeased) && score.CodeOf(err) != score.NoMaster {
			return nil, nil, err
		}
		if sleep(ctx, subscribePoll) != nil {
			return nil, nil, err
		}
	}
}

func (s *server) setStreamFields(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Laurel-Mode", string(s.status.CacheMode()))
}

// hijack writes the head and the first part of the stream and takes the connection from
// net/http, so that an idle stream needs neither its buffers nor a goroutine.
func (s *server) hijack(w http.ResponseWriter, first []byte) (net.Conn, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, score.Problemf(score.NotReady, "a stream needs a connection of its own, or HTTP/2")
	}
	conn.SetDeadline(time.Now().Add(admission.AnswerTimeout))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	_ = w.Header().Write(&b) // a Buffer does not fail
	b.WriteString("\r\n")
	b.Write(first)
	if _, err := conn.Write(b.Bytes()); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// relay writes the stream as a response of HTTP/2, whose connection cannot be taken. It
// returns at the end of the stream. What the hub writes comes through a pipe.
func (s *server) relay(ctx context.Context, w http.ResponseWriter, watcher *watch.Watcher, first []byte) {
	out, in := net.Pipe()
	defer out.Close()
	defer context.AfterFunc(ctx, func() { out.Close() })()
	defer s.hub.Remove(watcher)
	control := http.NewResponseController(w)
	write := func(b []byte, limit time.Duration) bool {
		_ = control.SetWriteDeadline(time.Now().Add(limit))
		_, err := w.Write(b)
		err = cmp.Or(err, control.Flush())
		_ = control.SetWriteDeadline(time.Time{}) // it would pass even while nothing is written
		return err == nil
	}
	// The hub drops a watcher that does not take its frames, so it gets none before.
	if !write(first, admission.AnswerTimeout) {
		return
	}
	s.hub.Attach(watcher, in)
	buffer := make([]byte, 4<<10)
	for {
		n, err := out.Read(buffer)
		if err != nil || !write(buffer[:n], watch.SlowWriteTimeout) {
			return
		}
	}
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
			"that is %s; choose with contest=, competition=, medals= or timeline=", err)
	case errors.Is(err, cache.ErrNotLeased):
		return score.Problemf(score.NotReady,
			"this frontend is not up to date with the master; watch another frontend, or retry in 1 s")
	}
	return err
}
