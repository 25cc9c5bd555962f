package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// call is one request, which may be tried at several frontends.
type call struct {
	method string
	path   string
	query  url.Values
	accept string // "": JSON
	body   []byte // JSON; nil: none
	// once: the call has no identity, so it is not sent again after an attempt that may have had its effect.
	nonIdempotent bool
}

// answer is what a frontend said, whatever it was.
type response struct {
	status int
	header http.Header
	body   []byte
}

// maxAnswer bounds the body of an answer: a thousand contests with a thousand competitors each are less.
const maxResponse = 256 << 20

// do tries a call at one frontend after the other until one of them answers it or the deadline is there.
// unsure tells that an earlier attempt may have had its effect.
func (c *Client) do(ctx context.Context, r call) (a response, unsure bool, err error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	var last error
	var problem *score.Problem
	for round, n := 1, 1; ; n++ {
		url := c.frontends.pick()
		attempt, stop := context.WithTimeout(ctx, c.o.AttemptTimeout)
		a, last = c.attempt(attempt, url, r)
		stop()
		if last == nil && !transient(a.status) {
			c.frontends.markOK(url)
			c.refreshInBackground(false)
			return a, unsure, a.problem()
		}
		if parent.Err() != nil {
			return response{}, unsure, fmt.Errorf("%s %s: %w", r.method, r.path, context.Cause(parent))
		}
		if last == nil {
			errors.As(a.problem(), &problem)
			last = problem
		}
		unsure = unsure || mayHaveArrived(last)
		busy := a.status == http.StatusTooManyRequests
		if !busy {
			c.frontends.markFailed(url, last)
			c.refreshInBackground(true)
		}
		if (busy || n >= c.frontends.count()) && !(r.nonIdempotent && unsure) {
			pause := backoff(round)
			if busy { // a 503 asks for a pause too, but speaks for one frontend only
				pause = max(pause, a.retryAfter())
			}
			sleep(ctx, pause)
			n, round = 0, round+1
		}
		if ctx.Err() != nil || r.nonIdempotent && unsure {
			return response{}, unsure, c.finalError(r, unsure, problem, last)
		}
	}
}

// gaveUp says why a call ends without an answer.
func (c *Client) finalError(r call, unsure bool, p *score.Problem, last error) error {
	if unsure && r.method != http.MethodGet && (p == nil || p.Code != score.OutcomeUnknown) {
		advice := "the same again, with the same identity, finds out and counts once"
		if r.nonIdempotent {
			advice = "look what became of it before doing it again"
		}
		return score.Problemf(score.OutcomeUnknown, "%s %s may have been done or not (%v); %s", r.method, r.path, last, advice)
	}
	if p != nil {
		return p
	}
	return &UnreachableError{Tried: c.frontends.urls(), Err: last}
}

// attempt sends a call to one frontend. An error means that there was no whole answer.
func (c *Client) attempt(ctx context.Context, base string, r call) (response, error) {
	begun := time.Now()
	a, err := c.send(ctx, base, r)
	c.o.Attempted(Attempt{URL: base, Frontend: a.header.Get("Laurel-Frontend"), Method: r.method, Path: r.path, Status: a.status, Took: time.Since(begun), Err: err})
	return a, err
}

func (c *Client) send(ctx context.Context, base string, r call) (response, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, requestURL(base, r.path, r.query), body)
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return response{}, annotate(ctx, base, err)
	}
	a, err := readResponse(resp, maxResponse)
	if err != nil {
		return response{}, annotate(ctx, base, err)
	}
	return a, nil
}

// target is the URL of a request to a frontend.
func requestURL(base, path string, q url.Values) string {
	if len(q) == 0 {
		return base + path
	}
	return base + path + "?" + q.Encode()
}

// answerOf reads at most limit bytes of a response's body, and closes it.
func readResponse(resp *http.Response, limit int64) (response, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return response{}, err
	}
	return response{resp.StatusCode, resp.Header, b}, nil
}

// because says at which frontend an attempt failed and why, in words that a person at a terminal understands.
func annotate(ctx context.Context, base string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errTooSlow
	}
	return fmt.Errorf("%s: %w", base, withoutURL(err))
}

// withoutURL takes off the method and the URL that package http puts before its errors.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// transient tells whether another frontend, or the same one later, may answer better.
func transient(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests
}

// mayHaveArrived tells whether a call that ended with err may have had its effect all the same.
func mayHaveArrived(err error) bool {
	var p *score.Problem
	if errors.As(err, &p) {
		// These two say that nothing was done; so does a frontend that is not ready.
		return p.Code != score.NoMaster && p.Code != score.RateLimited && p.Code != score.NotReady
	}
	var op *net.OpError
	return !(errors.As(err, &op) && op.Op == "dial")
}

// problem is nil for an answer that is none.
func (a response) problem() error {
	if a.status < 400 {
		return nil
	}
	var p score.Problem
	if json.Unmarshal(a.body, &p) == nil && p.Code != "" {
		return &p
	}
	// Something between us and the frontend, or something that is no frontend.
	text := strings.TrimSpace(string(a.body[:min(len(a.body), 200)]))
	return &score.Problem{Type: "about:blank", Title: http.StatusText(a.status), Status: a.status, Code: score.Code(fmt.Sprintf("http_%d", a.status)),
		Detail: fmt.Sprintf("not an answer of Laurel: %q", text)}
}

// retryAfter is how long whoever answered wants to be left alone.
func (a response) retryAfter() time.Duration {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(min(max(seconds, 0), 60)) * time.Second
}

// get asks for JSON and reads it into v.
func (c *Client) get(ctx context.Context, path string, query url.Values, v any) error {
	a, _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("the answer to GET %s cannot be read: %w", path, err)
	}
	return nil
}

// idPath appends an id that has slashes of its own to the path of its collection.
func idPath(collection, id string) string {
	var b strings.Builder
	b.WriteString(collection)
	for segment := range strings.SplitSeq(id, "/") {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}
