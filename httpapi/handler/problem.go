package handler

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// challenge is the WWW-Authenticate of every 401.
const challenge = `Bearer realm="laurel"`

// WithProblem returns the answer that reports p with the header fields of a. The client is
// asked to wait for the time wait, at least, if p can pass by itself.
func (a Response) WithProblem(p *score.Problem, wait time.Duration) Response {
	a.Status, a.Type, a.Body = p.Status, TypeProblem, append(AppendProblem(nil, p), '\n')
	a.CacheControl, a.written = "no-store", false
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		a.RetryAfter = RetryAfter(wait)
	case http.StatusUnauthorized:
		a.Authenticate = challenge
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
	p := score.Problemf(score.InvalidEvent, format, args...)
	p.Field = name
	return p
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
