package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"laurel/score"
)

// Snapshot returns a snapshot file of the whole store, of any frontend that gives one. It has
// each event that was acknowledged before the call. The caller reads and closes it. What has
// been read is no snapshot before the reader returns io.EOF, and is to be verified: see package
// laurel/fsm/archive. Options.Timeout bounds the time until the file begins.
func (c *Client) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	r := call{method: http.MethodGet, path: "/v1/snapshot"}
	begun, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	var problem *score.Problem // the last one
	for failures := 1; ; failures++ {
		url := c.frontends.pick()
		body, status, err := c.openSnapshot(ctx, url, r.path)
		if err == nil {
			c.frontends.markOK(url)
			return body, nil
		}
		if p, ok := errors.AsType[*score.Problem](err); ok {
			if problem = p; !transient(status) {
				return nil, err
			}
		}
		busy := status == http.StatusTooManyRequests
		if !busy && ctx.Err() == nil {
			c.frontends.markFailed(url, err)
			c.refreshInBackground(true)
		}
		if sleep(begun, c.pause(failures, busy)); begun.Err() != nil || c.frontends.allUntrusted() {
			return nil, c.frontends.finalError(ctx, r, false, problem, err)
		}
	}
}

// openSnapshot asks one frontend. status is 0 if it has not answered.
func (c *Client) openSnapshot(ctx context.Context, base, path string) (body io.ReadCloser, status int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	slow := time.AfterFunc(c.o.AttemptTimeout, func() { cancel(errTooSlow) })
	conn := connection{reports: c.own != nil}
	req, err := http.NewRequestWithContext(conn.trace(ctx), http.MethodGet, requestURL(base, path, nil), nil)
	if err != nil {
		slow.Stop()
		cancel(nil)
		return nil, 0, err
	}
	resp, err := c.http.Do(req)
	if !slow.Stop() && err == nil {
		resp.Body.Close()
		err = errTooSlow
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, 0, conn.explain(fmt.Errorf("%s: %w", base, withoutURL(err)))
	}
	if resp.StatusCode != http.StatusOK {
		defer cancel(nil)
		a, err := readRefusal(resp)
		return nil, a.status, err
	}
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	quiet.Stop()
	return &snapshotBody{silenceReader{resp.Body, quiet}, resp.Body, ctx, cancel}, resp.StatusCode, nil
}

// snapshotBody is the body of an answer that ends when its frontend is silent.
type snapshotBody struct {
	silenceReader
	body   io.Closer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *snapshotBody) Read(p []byte) (int, error) {
	n, err := b.silenceReader.Read(p)
	if cause := context.Cause(b.ctx); err != nil && err != io.EOF && cause != nil {
		err = cause
	}
	return n, err
}

func (b *snapshotBody) Close() error {
	b.cancel(nil)
	return b.body.Close()
}
