package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// retryAfter is the Retry-After of a 429 or 503, in seconds. What can pass by itself passes within one, unless the client is asked to wait longer.
func retryAfter(wait time.Duration) string {
	return strconv.Itoa(max(1, int(wait.Seconds())))
}

// authenticate is the WWW-Authenticate of every 401.
const authenticate = `Bearer realm="laurel"`

const typeProblem = "application/problem+json"

// writeProblem answers with p and its status.
func writeProblem(w http.ResponseWriter, p *score.Problem) {
	body := appendProblem(nil, p)
	body = append(body, '\n')
	h := w.Header()
	h.Set("Content-Type", typeProblem)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if passes(p.Status) {
		h.Set("Retry-After", retryAfter(0))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("Www-Authenticate", authenticate)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
}

// passes tells whether what a status says can pass by itself.
func passes(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
}

// appendProblem appends p as JSON.
func appendProblem(b []byte, p *score.Problem) []byte {
	body, err := json.Marshal(p)
	if err != nil {
		// Only a detail that is not UTF-8 can do this.
		body, _ = json.Marshal(score.Problemf(p.Code, "the detail cannot be written: %s", err))
	}
	return append(b, body...)
}

// fieldProblem is an invalid_event about one member of a body or one parameter.
func fieldProblem(field, format string, args ...any) *score.Problem {
	p := score.Problemf(score.InvalidEvent, format, args...)
	p.Field = field
	return p
}

// quoted is s for a detail: short, and readable whatever bytes it has.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
