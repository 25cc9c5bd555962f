package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"net/url"

	"laurel/httpapi/fastpath"
)

// adapter lets a handler for net/http answer a request of the front, so that a connection whose questions are not in memory, for a moment or
// for long, stays with the front.
type adapter struct {
	handler http.Handler
	server  *http.Server
}

// answer appends the handler's whole answer to dst. False: the answer is too long to be held, and nothing was appended; a request that changes
// nothing may then be repeated.
func (a *adapter) answer(ctx context.Context, dst []byte, r *fastpath.Request) ([]byte, bool) {
	rec := &recording{header: http.Header{}}
	// A reverse proxy whose answer breaks off panics, as net/http wants it, only for those who seem to be net/http. The front takes that too.
	ctx = context.WithValue(ctx, http.ServerContextKey, a.server)
	a.handler.ServeHTTP(rec, requestOf(r).WithContext(ctx))
	if rec.tooLong {
		return dst, false
	}
	return rec.append(dst, r), true
}

// requestOf is a GET of the front as net/http has it.
func requestOf(r *fastpath.Request) *http.Request {
	h := http.Header{}
	for _, field := range [...]struct {
		name  string
		value []byte
	}{{"Accept", r.Accept}, {"If-None-Match", r.IfNoneMatch}, {"Cache-Control", r.CacheControl}, {"Authorization", r.Authorization}, {"Origin", r.Origin}} {
		if len(field.value) > 0 {
			h[field.name] = []string{string(field.value)}
		}
	}
	u := &url.URL{Path: string(r.Path), RawQuery: string(r.Query)}
	return &http.Request{Method: r.Method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: http.NoBody, RequestURI: u.RequestURI()}
}

// maxRecorded bounds the body of an answer that is held as a whole.
const maxRecorded = 1 << 20

// recording is an answer that is written at once.
type recording struct {
	header  http.Header
	status  int
	body    []byte
	tooLong bool
}

func (rec *recording) Header() http.Header { return rec.header }

func (rec *recording) WriteHeader(status int) {
	if rec.status == 0 && status >= http.StatusOK {
		rec.status = status
	}
}

func (rec *recording) Write(b []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.tooLong = rec.tooLong || len(rec.body)+len(b) > maxRecorded; !rec.tooLong {
		rec.body = append(rec.body, b...)
	}
	return len(b), nil
}

// connectionFields are the connection's own affair.
var connectionFields = map[string]bool{"Date": true, "Connection": true, "Transfer-Encoding": true}

// append appends nothing where nobody has been answered, for nobody waits.
func (rec *recording) append(dst []byte, r *fastpath.Request) []byte {
	if rec.status == 0 {
		return dst
	}
	if rec.status != http.StatusNotModified && rec.header.Get("Content-Length") == "" {
		rec.header.Set("Content-Length", decimalOf(uint64(len(rec.body))))
	}
	head := bytes.NewBuffer(fastpath.AppendStatus(dst, rec.status))
	_ = rec.header.WriteSubset(head, connectionFields) // a buffer takes everything
	return append(r.AppendEnd(head.Bytes()), rec.body...)
}
