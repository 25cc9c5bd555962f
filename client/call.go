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
	"slices"
	"strings"
	"time"

	"laurel/client/internal/reply"
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
	// nonIdempotent calls are not sent again after an attempt that may have been applied.
	nonIdempotent bool
}

// maxResponse is more than a thousand contests with a thousand competitors each.
const maxResponse = 256 << 20

// do tries a call at one frontend after the other until one answers it or the deadline
// has passed. mayHaveApplied is true if an earlier attempt may have been applied.
func (c *Client) do(ctx context.Context, r call) (a reply.Reply, mayHaveApplied bool, err error) {
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
		if last == nil && !reply.Transient(a.Status) {
			c.frontends.markOK(url)
			c.refreshInBackground(false)
			return a, mayHaveApplied, a.Problem()
		}
		if parent.Err() != nil {
			return reply.Reply{}, mayHaveApplied, fmt.Errorf("%s %s: %w", r.method, r.path, context.Cause(parent))
		}
		if last == nil {
			last = a.Problem()
			problem, _ = errors.AsType[*score.Problem](last)
		}
		mayHaveApplied = mayHaveApplied || mayHaveArrived(last)
		busy := a.Status == http.StatusTooManyRequests
		if !busy {
			c.frontends.markFailed(url, last)
			c.refreshInBackground(true)
		}
		if (busy || n >= c.frontends.count()) && !(r.nonIdempotent && mayHaveApplied) {
			pause := backoff(round)
			if busy { // a 503 asks for a pause too, but speaks for one frontend only
				pause = max(pause, a.RetryAfter())
			}
			sleep(ctx, pause)
			n, round = 0, round+1
		}
		if ctx.Err() != nil || r.nonIdempotent && mayHaveApplied {
			return reply.Reply{}, mayHaveApplied, c.finalError(r, mayHaveApplied, problem, last)
		}
	}
}

func (c *Client) finalError(r call, mayHaveApplied bool, p *score.Problem, last error) error {
	if mayHaveApplied && r.method != http.MethodGet && (p == nil || p.Code != score.OutcomeUnknown) {
		advice := "repeat it with the same identity: it counts once"
		if r.nonIdempotent {
			advice = "check the outcome before you repeat it"
		}
		return score.Problemf(score.OutcomeUnknown, "%s %s may have been applied or not (%v); %s",
			r.method, r.path, last, advice)
	}
	if p != nil {
		return p
	}
	return &UnreachableError{Tried: c.frontends.urls(), Err: last}
}

// attempt sends a call to one frontend. An error means that there is no complete response.
func (c *Client) attempt(ctx context.Context, base string, r call) (reply.Reply, error) {
	begun := time.Now()
	a, err := c.send(ctx, base, r)
	c.o.Attempted(Attempt{
		URL:      base,
		Frontend: a.Header.Get("Laurel-Frontend"),
		Method:   r.method,
		Path:     r.path,
		Status:   a.Status,
		Took:     time.Since(begun),
		Err:      err,
	})
	return a, err
}

func (c *Client) send(ctx context.Context, base string, r call) (reply.Reply, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, requestURL(base, r.path, r.query), body)
	if err != nil {
		return reply.Reply{}, err
	}
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err == nil {
		var a reply.Reply
		if a, err = reply.Read(resp, maxResponse); err == nil {
			return a, nil
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errTooSlow
	}
	return reply.Reply{}, fmt.Errorf("%s: %w", base, withoutURL(err))
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

// mayHaveArrived reports whether a call that ended with err may have been applied.
func mayHaveArrived(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return !(ok && op.Op == "dial") && !hasCode(err, score.NoMaster, score.RateLimited, score.NotReady)
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
	a, _, err := c.do(ctx, r)
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
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
	var b strings.Builder
	b.WriteString(collection)
	for segment := range strings.SplitSeq(id, "/") {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}
