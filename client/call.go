package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// eventsPath is where events are posted.
const eventsPath = "/v1/events"

// call is one request, which may be tried at several frontends.
type call struct {
	method string
	path   string
	query  url.Values
	accept string // "": JSON
	body   []byte // JSON; nil: none
	// nonIdempotent calls are not sent again after an attempt that may have been applied.
	nonIdempotent bool
	// removes is true for a call that is refused with score.NotFound once it was applied.
	removes bool
}

// maxResponse is more than a thousand contests with a thousand competitors each.
const maxResponse = 256 << 20

// response is a complete response of a frontend, of any status.
type response struct {
	status int
	header http.Header
	body   []byte
}

// readResponse reads at most limit bytes of a response's body, and closes it.
func readResponse(r *http.Response, limit int64) (response, error) {
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, limit))
	if err != nil {
		return response{}, err
	}
	return response{r.StatusCode, r.Header, b}, nil
}

// readRefusal reads the response to a request for a stream, whose status is not 200.
func readRefusal(r *http.Response) (response, error) {
	a, err := readResponse(r, maxResult)
	if err == nil {
		err = a.problem()
	}
	if err == nil {
		err = fmt.Errorf("answered with status %d; want 200", a.status)
	}
	return a, err
}

// transient reports whether another frontend, or the same one later, may give a better
// response than one with this status.
func transient(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// problem returns the problem that the response describes; nil if the call succeeded.
func (r *response) problem() error {
	if r.status >= 200 && r.status < 300 {
		return nil
	}
	var p score.Problem
	if json.Unmarshal(r.body, &p) == nil && p.Code != "" {
		return &p
	}
	// The response comes from a proxy, or from a server that is no frontend.
	text := strings.TrimSpace(string(r.body[:min(len(r.body), 200)]))
	detail := fmt.Sprintf("not a response of Laurel: %q", text)
	if to := r.header.Get("Location"); to != "" {
		detail = fmt.Sprintf(
			"redirected to %q, which the client does not follow; if that is a frontend, use its URL", to)
	}
	return &score.Problem{
		Type:   "about:blank",
		Title:  http.StatusText(r.status),
		Status: r.status,
		Code:   score.Code(fmt.Sprintf("http_%d", r.status)),
		Detail: detail,
	}
}

// maxRedirects bounds the redirects of one call.
const maxRedirects = 10

// checkRedirect follows a redirect that keeps the method. Those of some statuses make a
// GET of a change, whose success would count as the change's.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if r.Method != via[0].Method || len(via) == maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// retryAfter returns the delay of the Retry-After header, at most a minute.
func (r *response) retryAfter() time.Duration {
	seconds, _ := strconv.Atoi(r.header.Get("Retry-After"))
	return time.Duration(min(max(seconds, 0), 60)) * time.Second
}

// do tries a call at one frontend after the other until one answers it or the deadline
// has passed.
func (c *Client) do(ctx context.Context, r call) (body []byte, err error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	mayHaveApplied := false
	var problem *score.Problem // the last one
	var refusal time.Duration  // the longest that a frontend took to say that nothing was done
	for failures := 1; ; failures++ {
		url := c.frontends.pick()
		begun := time.Now()
		a, err := c.attempt(ctx, url, r)
		if err == nil && !transient(a.status) {
			c.frontends.markOK(url)
			c.refreshInBackground(false)
			return r.settle(&a, mayHaveApplied)
		}
		if err == nil {
			err = a.problem()
			problem, _ = errors.AsType[*score.Problem](err)
		}
		if mayHaveArrived(err) {
			mayHaveApplied = true
		} else if a.status != 0 {
			refusal = max(refusal, time.Since(begun))
		}
		interrupted := parent.Err() != nil
		// The whole group refuses posts for lack of room, and the frontend is well.
		busy := a.status == http.StatusTooManyRequests || hasCode(err, score.NoSpace)
		if !busy && !interrupted {
			c.frontends.markFailed(url, err)
			c.refreshInBackground(true)
		}
		end := interrupted || r.nonIdempotent && mayHaveApplied || c.frontends.allUntrusted()
		if !end {
			pause := c.pause(failures, busy)
			if busy { // a 503 asks for a pause too, but speaks for one frontend only
				pause = max(pause, a.retryAfter())
			}
			sleep(ctx, pause)
			// A refusal that the deadline cut off would count as a change that was perhaps made.
			end = ctx.Err() != nil || r.method != http.MethodGet && timeLeft(ctx) < refusal
		}
		if end {
			return nil, c.frontends.finalError(parent, r, mayHaveApplied, problem, err)
		}
	}
}

func timeLeft(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline)
}

// settle returns what a call with the response a has come to. An attempt before, whose
// response was lost, may have been applied although this one was refused.
func (r *call) settle(a *response, mayHaveApplied bool) (body []byte, err error) {
	err = a.problem()
	switch {
	case err == nil:
		return a.body, nil
	case !mayHaveApplied || r.method == http.MethodGet:
	case r.removes && hasCode(err, score.NotFound):
		return nil, nil
	case r.path == eventsPath && !hasCode(err, score.Unauthorized, score.Forbidden, score.Unsigned):
		// An event that was applied would be a duplicate, whatever else is wrong with it.
	default:
		err = r.unknown(err)
	}
	return nil, err
}

// unknown returns the error of a call that may have been applied or not.
func (r *call) unknown(last error) *score.Problem {
	advice := "repeat it: a change is not made twice"
	switch {
	case r.nonIdempotent:
		advice = "check the outcome before you repeat it"
	case r.path == eventsPath:
		advice = "repeat it with the same identity: it counts once"
	}
	return score.Problemf(score.OutcomeUnknown, "%s %s may have been applied or not (%v); %s",
		r.method, r.path, last, advice)
}

// finalError returns the error of a call without a final response. p is the last problem
// of an attempt, nil for none, and last the error of the last attempt.
func (f *frontends) finalError(ctx context.Context, r call, mayHaveApplied bool, p *score.Problem, last error) error {
	unknown := mayHaveApplied && r.method != http.MethodGet
	if unknown && (p == nil || p.Code != score.OutcomeUnknown) {
		p = r.unknown(last)
	}
	switch cause := context.Cause(ctx); {
	case cause != nil && unknown:
		return fmt.Errorf("%w: %w", cause, p)
	case cause != nil:
		return fmt.Errorf("%s %s: %w", r.method, r.path, cause)
	case p != nil:
		return p
	}
	return f.unreachable(last)
}

// attempt sends a call to one frontend. An error means that no complete response came.
func (c *Client) attempt(ctx context.Context, base string, r call) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.AttemptTimeout)
	defer cancel()
	begun := time.Now()
	conn := connection{reports: c.own != nil}
	a, err := c.send(conn.trace(ctx), base, r)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errTooSlow
		}
		err = conn.explain(fmt.Errorf("%s: %w", base, withoutURL(err)))
	}
	c.o.Attempted(Attempt{
		URL:      base,
		Frontend: a.header.Get("Laurel-Frontend"),
		Method:   r.method,
		Path:     r.path,
		Status:   a.status,
		Took:     time.Since(begun),
		Err:      err,
	})
	return a, err
}

func (c *Client) send(ctx context.Context, base string, r call) (response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, requestURL(base, r.path, r.query), bytes.NewReader(r.body))
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return response{}, err
	}
	return readResponse(resp, maxResponse)
}

func requestURL(base, path string, q url.Values) string {
	if encoded := q.Encode(); encoded != "" {
		path += "?" + encoded
	}
	return base + path
}

// withoutURL removes the method and the URL that package http puts before its errors.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// connection notes whether a request has ever had a connection.
type connection struct {
	reports     bool // the transport is the client's own, which reports all
	wanted, got atomic.Bool
}

// trace returns a context for the request.
func (c *connection) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { c.got.Store(true) },
	})
}

// explain makes an unsentError of the request's error if it had no connection. A transport
// that does not report connections may have sent it.
func (c *connection) explain(err error) error {
	if (c.reports || c.wanted.Load()) && !c.got.Load() {
		return &unsentError{err}
	}
	return err
}

// unsentError is the error of a request that was not sent: its frontend did not accept the
// connection, or has a certificate that is not trusted.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// mayHaveArrived reports whether a call that ended with err may have been applied.
func mayHaveArrived(err error) bool {
	return !errors.As(err, new(*unsentError)) && !hasCode(err, score.NoMaster, score.RateLimited, score.NoSpace,
		score.NotReady)
}

// hasCode reports whether err is a problem with one of the codes.
func hasCode(err error, codes ...score.Code) bool {
	p, ok := errors.AsType[*score.Problem](err)
	return ok && slices.Contains(codes, p.Code)
}

// request sends body as JSON and decodes the response into v. Either may be nil.
func (c *Client) request(ctx context.Context, r call, body, v any) (err error) {
	if body != nil {
		if r.body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	b, err := c.do(ctx, r)
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("cannot read the response to %s %s: %w", r.method, r.path, err)
	}
	return nil
}

// get requests JSON and decodes it.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (v T, err error) {
	err = c.request(ctx, call{method: http.MethodGet, path: path, query: query}, nil, &v)
	return v, err
}

// idPath appends an id, which may have slashes, to the path of its collection.
func idPath(collection, id string) string {
	return collection + "/" + strings.ReplaceAll(url.PathEscape(id), "%2F", "/")
}
