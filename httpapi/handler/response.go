package handler

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"laurel/cache/queries"
	"laurel/httpapi/fastpath"
	"laurel/score"
)

// Media types.
const (
	TypeJSON    = "application/json"
	TypeNDJSON  = "application/x-ndjson"
	TypeText    = "text/plain; charset=utf-8"
	TypeProblem = "application/problem+json"
)

// Response is an answer. The zero value of each member omits its header field.
type Response struct {
	Status int // 0 means 200
	Type   string
	Body   []byte
	// Buffer is where Body is, if that is to be freed once it has been written.
	Buffer *Buffer

	CacheControl string
	ETag         string
	VaryAccept   bool
	// Cache, Mode, Revision and Age describe how an answer from the store came about.
	// Revision is sent if Cache is set.
	Cache, Mode string
	Revision    uint64
	Age         string

	Allow          string
	Location       string
	ReferrerPolicy string
	RetryAfter     string
	Authenticate   string

	written bool
}

// Written is the response of a handler that has written its answer to Request.Transport.
var Written = Response{written: true}

// IsWritten reports whether the handler has written the answer itself.
func (a *Response) IsWritten() bool { return a.written }

// StatusCode returns the status.
func (a *Response) StatusCode() int { return cmp.Or(a.Status, http.StatusOK) }

// Shared are the header fields that every answer of a port has.
type Shared struct {
	Frontend    string // the frontend's id
	AllowOrigin string // of the pages that may read the answer and its header fields; "" for none
	VaryOrigin  bool   // AllowOrigin depends on the origin of the page that asks
	Private     bool   // caches that many use must not keep the answer
}

const (
	noSniff = "nosniff"
	// everyField, as Access-Control-Expose-Headers, lets a page read every header field.
	// Browsers take it so for requests without cookies. With cookies they let no page of
	// another origin read anything: no answer has Access-Control-Allow-Credentials.
	everyField = "*"
)

type field struct{ name, value string }

// fields appends the header fields to list in the order of their names, in which net/http
// writes them, too. Fields of the connection are not among them.
func (a *Response) fields(list []field, s Shared) []field {
	add := func(name, value string) {
		if value != "" {
			list = append(list, field{name, value})
		}
	}
	if add("Access-Control-Allow-Origin", s.AllowOrigin); s.AllowOrigin != "" {
		add("Access-Control-Expose-Headers", everyField)
	}
	add("Age", a.Age)
	add("Allow", a.Allow)
	if s.Private && a.CacheControl == "no-cache" {
		add("Cache-Control", "no-cache, private")
	} else {
		add("Cache-Control", a.CacheControl)
	}
	if a.StatusCode() != http.StatusNotModified {
		add("Content-Length", strconv.Itoa(len(a.Body)))
		add("Content-Type", a.Type)
	}
	add("Etag", a.ETag)
	add("Laurel-Cache", a.Cache)
	add("Laurel-Frontend", s.Frontend)
	add("Laurel-Mode", a.Mode)
	if a.Cache != "" {
		add("Laurel-Revision", strconv.FormatUint(a.Revision, 10))
	}
	add("Location", a.Location)
	add("Referrer-Policy", a.ReferrerPolicy)
	add("Retry-After", a.RetryAfter)
	if a.VaryAccept {
		add("Vary", "Accept")
	}
	if s.VaryOrigin {
		add("Vary", "Origin")
	}
	add("Www-Authenticate", a.Authenticate)
	add("X-Content-Type-Options", noSniff)
	return list
}

// WriteTo writes the answer with net/http. w adds Vary: Origin itself, so s.VaryOrigin is
// false. An error is not reported: the client is gone.
func (a *Response) WriteTo(w http.ResponseWriter, s Shared) {
	var space [20]field
	h := w.Header()
	for _, f := range a.fields(space[:0], s) {
		h[f.name] = []string{f.value}
	}
	w.WriteHeader(a.StatusCode())
	if len(a.Body) > 0 {
		_, _ = w.Write(a.Body)
	}
	a.free()
}

// AppendTo appends the answer to a request of the fast path to dst.
func (a *Response) AppendTo(dst []byte, r *fastpath.Request, s Shared) []byte {
	dst = r.AppendEnd(a.AppendHead(dst, s))
	if a.StatusCode() != http.StatusNotModified {
		dst = append(dst, a.Body...)
	}
	a.free()
	return dst
}

// AppendHead appends the status line and the header fields, but for those that
// fastpath.Request.AppendEnd appends.
func (a *Response) AppendHead(dst []byte, s Shared) []byte {
	var space [20]field
	dst = fastpath.AppendStatus(dst, a.StatusCode())
	for _, f := range a.fields(space[:0], s) {
		dst = append(dst, f.name...)
		dst = append(dst, ": "...)
		dst = append(dst, f.value...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func (a *Response) free() {
	if a.Buffer != nil {
		a.Buffer.Free()
		a.Buffer = nil
	}
}

// Result returns an answer about the frontend or the group, which has no revision: value
// as JSON, or what text writes for a client that prefers text.
func (r *Request) Result(value any, text func(*bytes.Buffer)) (Response, error) {
	a := Response{CacheControl: "no-store", VaryAccept: true}
	if r.WantsText() {
		var b bytes.Buffer
		text(&b)
		a.Type, a.Body = TypeText, b.Bytes()
		return a, nil
	}
	var err error
	a.Type = TypeJSON
	a.Body, err = queries.Encode(value)
	return a, err
}

// NextText appends how to get the next page, for users of the command line and of URLs.
func NextText(b *bytes.Buffer, next string) {
	if next != "" {
		fmt.Fprintf(b, "\nmore: --after %s, or after=%s in the URL\n", shellWord(next), inURL(next))
	}
}

// shellWord returns s as a shell reads it as one word.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return isSpecial(r) && r < utf8.RuneSelf }) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// inURL returns s as the value of a parameter in a URL.
func inURL(s string) string {
	if strings.ContainsFunc(s, isSpecial) {
		return url.QueryEscape(s)
	}
	return s
}

// isSpecial reports whether a character means something to a shell or in a URL.
func isSpecial(r rune) bool {
	return !strings.ContainsRune("-_.,:/", r) && !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
}

// ETag returns a strong tag that follows from the body alone, so that every frontend tags
// the same answer alike.
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// MatchesETag reports whether one of the lists of an If-None-Match has tag. It compares
// weakly, as RFC 9110 requires for this header field.
func MatchesETag(lists []string, tag string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// maxRecorded bounds the body of an answer that the fast path holds in memory.
const maxRecorded = 1 << 20

// recorder holds what a handler writes to Request.Transport on the fast path.
type recorder struct {
	header  http.Header
	status  int
	body    []byte
	tooLong bool
}

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= http.StatusOK {
		rec.status = status
	}
}

func (rec *recorder) Write(b []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.tooLong = rec.tooLong || len(rec.body)+len(b) > maxRecorded; !rec.tooLong {
		rec.body = append(rec.body, b...)
	}
	return len(b), nil
}

// connectionFields are the header fields that the connection writes.
var connectionFields = map[string]bool{"Date": true, "Connection": true, "Transfer-Encoding": true}

// WrittenLength returns the length of the body that the handler has written to Transport
// on the fast path.
func (r *Request) WrittenLength() int {
	if r.rec == nil {
		return 0
	}
	return len(r.rec.body)
}

// AppendWritten appends what the handler has written to Transport on the fast path.
// status is 0 if it has written nothing, ok false if that was too long to be held.
func (r *Request) AppendWritten(dst []byte) (out []byte, status int, ok bool) {
	rec := r.rec
	switch {
	case rec == nil || rec.status == 0:
		return dst, 0, true
	case rec.tooLong:
		return dst, rec.status, false
	}
	h := rec.header
	if rec.status != http.StatusNotModified && h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.Itoa(len(rec.body)))
	}
	if r.Shared.VaryOrigin {
		h.Add("Vary", "Origin")
	}
	b := bytes.NewBuffer(fastpath.AppendStatus(dst, rec.status))
	_ = h.WriteSubset(b, connectionFields) // a Buffer does not fail
	return append(r.fast.AppendEnd(b.Bytes()), rec.body...), rec.status, true
}

// SetOn sets the shared header fields before a handler writes an answer itself, but for
// Vary: a handler that passes on an answer of the master drops the master's value of what
// is set here.
func (s Shared) SetOn(h http.Header) {
	h.Set("Laurel-Frontend", s.Frontend)
	h.Set("X-Content-Type-Options", noSniff)
	if s.AllowOrigin != "" {
		h.Set("Access-Control-Allow-Origin", s.AllowOrigin)
		h.Set("Access-Control-Expose-Headers", everyField)
	}
}

// WithProblem returns the answer that reports p with the header fields of a. The client
// is asked to wait for the time wait, at least, if p can pass by itself.
func (a Response) WithProblem(p *score.Problem, wait time.Duration) Response {
	a.Status, a.Type, a.Body = p.Status, TypeProblem, append(AppendProblem(nil, p), '\n')
	a.CacheControl, a.written = "no-store", false
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusInsufficientStorage:
		// What can pass by itself passes within a second, but for a disk that is full.
		a.RetryAfter = strconv.Itoa(max(1, int(wait.Seconds())))
	case http.StatusUnauthorized:
		a.Authenticate = `Bearer realm="laurel"`
	}
	return a
}

// AppendProblem appends p as JSON.
func AppendProblem(b []byte, p *score.Problem) []byte {
	body, err := json.Marshal(p)
	if err != nil {
		// The detail is not UTF-8.
		body, _ = json.Marshal(score.Problemf(p.Code, "the detail cannot be encoded: %s", err))
	}
	return append(b, body...)
}

// FieldProblem returns an invalid_event about one member of a body or one parameter.
func FieldProblem(name, format string, args ...any) *score.Problem {
	return score.Problemf(score.InvalidEvent, format, args...).At(name)
}

// Unwanted is FieldProblem for a value that is not what is wanted.
func Unwanted(name, given, want string, args ...any) *score.Problem {
	return FieldProblem(name, "got %s; want "+want, append([]any{Quoted(given)}, args...)...)
}

// Quoted returns s for a detail: short, and readable whatever its bytes are.
func Quoted(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "..."
	}
	return strconv.Quote(s)
}

// Printable returns a name from a URL for a problem's field.
func Printable(s string) string {
	return strings.Trim(Quoted(s), `"`)
}
