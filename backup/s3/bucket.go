package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// MaxObject is the most bytes that one PUT may have.
	MaxObject = 5 << 30
	// maxPages bounds the answers of one listing, each of at most 1,000 objects.
	maxPages = 100
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 4 << 20
	// answerTimeout bounds the time from the end of a request to its answer.
	answerTimeout = time.Minute
	// idleTimeout bounds how long nothing of a body may be taken.
	idleTimeout = time.Minute
)

// Bucket is the part of a bucket below a prefix. It is safe for concurrent use.
type Bucket struct {
	// Base is the URL of the bucket: the scheme and the host and, unless the host names the
	// bucket, the name as the path.
	Base *url.URL
	// Region is the one that signatures name.
	Region string
	// Prefix is put before each name.
	Prefix string
	// Credentials returns the credentials for the next request.
	Credentials func() (Credentials, error)
}

// DeniedError is the error of a request that the credentials do not permit.
type DeniedError struct{ err error }

func (e *DeniedError) Error() string { return e.err.Error() }
func (e *DeniedError) Unwrap() error { return e.err }

// client sends the requests. It follows no redirect: the signature is for one host.
var client = &http.Client{
	Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: answerTimeout,
		ExpectContinueTimeout: 5 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   1,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Put stores an object of size bytes with the content of body, whose SHA-256 is sum in
// hexadecimal digits. The object is there whole or not at all. A request that was refused may
// still read body when Put returns.
func (b *Bucket) Put(ctx context.Context, name string, body io.ReaderAt, size int64, sum string) error {
	if size > MaxObject {
		return fmt.Errorf("put %s: it has %d bytes, and a PUT may have %d", name, size, int64(MaxObject))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleTimeout, func() { cancel(fmt.Errorf("nothing was taken for %s", idleTimeout)) })
	defer idle.Stop()
	// Each attempt has a reader of its own, because the one before may still read.
	begin := func() (io.ReadCloser, error) {
		return io.NopCloser(&watched{io.NewSectionReader(body, 0, size), idle}), nil
	}
	r := b.request(ctx, http.MethodPut, b.Prefix+name, nil)
	r.Body, r.ContentLength = http.NoBody, size
	if size > 0 {
		r.GetBody = begin
		r.Body, _ = begin()
	}
	r.Header.Set("Content-Type", "application/gzip")
	r.Header.Set("Expect", "100-continue") // a refusal comes before the body
	_, err := b.do(r, sum)
	if err != nil && context.Cause(ctx) != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// watched is a body that sets a timer back with each read.
type watched struct {
	io.Reader
	idle *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	w.idle.Reset(idleTimeout + answerTimeout) // the answer follows the last read
	return w.Reader.Read(p)
}

// Delete deletes an object. One that is not there is deleted already.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if _, err := b.do(b.request(ctx, http.MethodDelete, b.Prefix+name, nil), emptySum); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// List returns the names, without the prefix, of the objects that begin with a text.
func (b *Bucket) List(ctx context.Context, beginning string) (names []string, err error) {
	query := url.Values{"list-type": {"2"}, "prefix": {b.Prefix + beginning}}
	for range maxPages {
		answer, err := b.do(b.request(ctx, http.MethodGet, "", query), emptySum)
		if err != nil {
			return nil, fmt.Errorf("list %s*: %w", b.Prefix+beginning, err)
		}
		var page struct {
			Contents []struct{ Key string }
			// IsTruncated is set if another page follows, from NextContinuationToken on.
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := xml.Unmarshal(answer, &page); err != nil {
			return nil, fmt.Errorf("list %s*: the answer is no listing: %w", b.Prefix+beginning, err)
		}
		for _, o := range page.Contents {
			if name, ok := strings.CutPrefix(o.Key, b.Prefix); ok {
				names = append(names, name)
			}
		}
		if !page.IsTruncated {
			return names, nil
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
	return nil, fmt.Errorf("list %s*: there are more than %d pages of objects", b.Prefix+beginning, maxPages)
}

// request returns a request for an object, or for the bucket if key is empty.
func (b *Bucket) request(ctx context.Context, method, key string, query url.Values) *http.Request {
	u := *b.Base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + key
	u.RawPath = escape(u.Path, true)
	u.RawQuery = canonicalQuery(query)
	r := &http.Request{Method: method, URL: &u, Host: u.Host, Header: http.Header{}}
	return r.WithContext(ctx)
}

// do signs and sends a request, and returns the body of the answer.
func (b *Bucket) do(r *http.Request, sum string) ([]byte, error) {
	c, err := b.Credentials()
	if err != nil {
		return nil, err
	}
	expect := r.Header.Get("Expect") // a proxy may take it away, so it is not signed
	r.Header.Del("Expect")
	Sign(r, sum, b.Region, c, time.Now())
	if expect != "" {
		r.Header.Set("Expect", expect)
	}
	a, err := client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the query is of no use to a reader
		}
		return nil, err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case a.StatusCode/100 != 2:
		return nil, refusal(a, body)
	}
	return body, nil
}

// refusal returns the error of an answer that reports a failure.
func refusal(a *http.Response, body []byte) error {
	var said struct{ Code, Message, Region string }
	_ = xml.Unmarshal(bytes.TrimSpace(body), &said) // another kind of answer has none of these
	text := a.Status
	if said.Code != "" {
		text = fmt.Sprintf("%.80q, %.200q (%s)", said.Code, said.Message, a.Status)
	}
	err := errors.New("refused: " + text)
	region := a.Header.Get("X-Amz-Bucket-Region")
	if region == "" {
		region = said.Region
	}
	if region != "" && a.StatusCode != http.StatusForbidden {
		err = fmt.Errorf("refused: %s; the bucket is in the region %.40q: give region= in the URL", text, region)
	}
	if a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusUnauthorized ||
		a.StatusCode == http.StatusMethodNotAllowed {
		return &DeniedError{err}
	}
	return err
}
