package httpapi

import (
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
	"laurel/httpapi/watch"
	"laurel/score"
)

const (
	// maxSubjects bounds what one stream names.
	maxSubjects = 100
	// maxBoards bounds those of them that are leaderboards.
	maxBoards = 10
	// maxWindow bounds the rows of each.
	maxWindow = 100
	// windowRows are those of one without a limit.
	windowRows = 10
	// beginLimit bounds the time until a stream has begun, and beginPause how often a frontend that cannot answer is asked again within it.
	beginLimit = 3 * time.Second
	beginPause = 20 * time.Millisecond
	// retryLeast and retrySpread are after how long a client is told to come back, at a random time, so that those of a frontend that died do not come
	// together.
	retryLeast  = 500 * time.Millisecond
	retrySpread = 1500 * time.Millisecond
)

// watchSubjects are the parameters of a stream that may be given many times, and watchParameters the others.
var (
	watchSubjects   = []string{"contest", "competition", "medals", "timeline", "leaderboard"}
	watchParameters = []string{"split", "category", "around", "limit", "last_event_id", "home", "moved"}
)

func subjectsOf(query string) (s watch.Subjects, q url.Values, err error) {
	if q, err = url.ParseQuery(query); err != nil {
		return s, nil, score.Problemf(score.InvalidEvent, "the parameters of the URL cannot be read: %s", err)
	}
	count := 0
	for name, values := range q {
		if slices.Contains(watchParameters, name) {
			continue
		}
		if !slices.Contains(watchSubjects, name) {
			return s, nil, fieldProblem(printable(name), "unknown parameter; want one of %s", strings.Join(append(watchSubjects, watchParameters[:6]...), ", "))
		}
		for _, value := range values {
			if !score.ValidPath(value) {
				return s, nil, fieldProblem(name, "got %s; want segments of letters, digits and ._~- joined by /", quoted(value))
			}
		}
		count += len(values)
	}
	if count > maxSubjects {
		return s, nil, fieldProblem("contest", "%d subjects are named; want at most %d, or a competition", count, maxSubjects)
	}
	s = watch.Subjects{Contests: q["contest"], Competitions: q["competition"], Medals: q["medals"], Timelines: q["timeline"]}
	for _, list := range [][]string{s.Contests, s.Competitions, s.Medals, s.Timelines} {
		slices.Sort(list)
	}
	s.Contests, s.Competitions, s.Medals, s.Timelines = slices.Compact(s.Contests), slices.Compact(s.Competitions), slices.Compact(s.Medals), slices.Compact(s.Timelines)
	s.Everything = count == 0
	s.Windows, err = windowsOf(q)
	return s, q, err
}

// windowsOf are the windows of leaderboards that are to be watched: of each board that is named the same part.
func windowsOf(q url.Values) (list []watch.Window, err error) {
	boards := slices.Clone(q["leaderboard"])
	slices.Sort(boards)
	if boards = slices.Compact(boards); len(boards) > maxBoards {
		return nil, fieldProblem("leaderboard", "%d leaderboards are named; want at most %d in one stream", len(boards), maxBoards)
	}
	for _, name := range []string{"split", "category", "around", "limit"} {
		switch values := q[name]; {
		case len(values) == 0:
		case len(boards) == 0:
			return nil, fieldProblem(name, "given without a leaderboard, of which it chooses a part")
		case len(values) > 1:
			return nil, fieldProblem(name, "given %d times; want it once, for all leaderboards", len(values))
		case len(values[0]) > maxFilter:
			return nil, fieldProblem(name, "got %d bytes; nothing has a name of more than %d", len(values[0]), maxFilter)
		}
	}
	w := watch.Window{Split: q.Get("split"), Category: q.Get("category"), Around: q.Get("around"), Limit: windowRows}
	if given := q.Get("limit"); given != "" {
		if w.Limit, err = strconv.Atoi(given); err != nil || w.Limit < 1 || w.Limit > maxWindow {
			return nil, fieldProblem("limit", "got %s; want 1 to %d rows of each leaderboard", quoted(given), maxWindow)
		}
	}
	for _, w.ContestID = range boards {
		list = append(list, w)
	}
	return list, nil
}

// watchStream answers with a stream of server-sent events that never ends.
func (p *port) watchStream(w http.ResponseWriter, r *http.Request) error {
	subjects, q, err := subjectsOf(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if p.strained() {
		return p.strain()
	}
	lastID := r.Header.Get("Last-Event-Id")
	if given := q.Get("last_event_id"); given != "" {
		lastID = given
	}
	if to := p.elsewhere(r, q); to != "" {
		w.Header().Set("Location", to)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	one, first, err := p.beginWatch(r.Context(), subjects, lastID, q.Get("home"))
	if err != nil {
		return watchProblem(err)
	}
	first = append(fmt.Appendf(nil, "retry: %d\n\n", (retryLeast+rand.N(retrySpread)).Milliseconds()), first...)
	conn, err := p.streamConn(w, r, first)
	if err != nil {
		p.hub.Remove(one)
		return err
	}
	if res, ok := w.(*response); ok {
		res.status, res.stream = http.StatusOK, true
	}
	p.hub.Attach(one, conn)
	if answer, ok := conn.(*answerConn); ok {
		answer.await(r.Context())
		p.hub.Remove(one)
	}
	return nil
}

// beginWatch begins a stream. A frontend that has just lost its master has another in a moment, so who comes meanwhile waits for that.
func (p *port) beginWatch(ctx context.Context, s watch.Subjects, lastID, home string) (*watch.Watcher, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, beginLimit)
	defer cancel()
	for {
		err := error(cache.ErrNotLeased)
		if p.group.Store() != "" {
			var one *watch.Watcher
			var first []byte
			if one, first, err = p.hub.Subscribe(ctx, s, lastID, home); err == nil {
				return one, first, nil
			}
		}
		var problem *score.Problem
		if !errors.Is(err, cache.ErrNotLeased) && !(errors.As(err, &problem) && problem.Code == score.NoMaster) {
			return nil, nil, err
		}
		if rest(ctx, beginPause) != nil {
			return nil, nil, err
		}
	}
}

// streamConn takes the connection out of net/http's hands, with the head and the first part of the stream written: thousands that have nothing to say
// need neither its buffers nor a goroutine each. Where there is no connection to take (HTTP/2), what is written goes through the response.
func (p *port) streamConn(w http.ResponseWriter, r *http.Request, first []byte) (net.Conn, error) {
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	head.Set("Laurel-Mode", string(p.group.CacheMode()))
	if r.ProtoMajor > 1 {
		return p.answerStream(w, first)
	}
	control := http.NewResponseController(w)
	conn, _, err := control.Hijack()
	if err != nil {
		return nil, score.Problemf(score.NotReady, "a stream needs a connection of its own, or HTTP/2")
	}
	conn.SetDeadline(time.Now().Add(p.limits.AnswerTimeout))
	b := []byte("HTTP/1.1 200 OK\r\nConnection: close\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	for _, name := range []string{"Access-Control-Allow-Origin", "Cache-Control", "Content-Type", "Laurel-Frontend", "Laurel-Mode", "X-Accel-Buffering", "X-Content-Type-Options"} {
		if values := head[name]; len(values) > 0 {
			b = append(b, name+": "+values[0]+"\r\n"...)
		}
	}
	b = append(append(b, "\r\n"...), first...)
	if _, err := conn.Write(b); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
