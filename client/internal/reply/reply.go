// Package reply reads the responses of frontends.
package reply

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// Reply is the response of a frontend, of any status.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Read reads at most limit bytes of a response's body, and closes it.
func Read(resp *http.Response, limit int64) (Reply, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return Reply{}, err
	}
	return Reply{resp.StatusCode, resp.Header, b}, nil
}

// Transient reports whether another frontend, or the same one later, may give a better
// response.
func Transient(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests
}

// Problem returns the problem that the response describes; nil if it is not an error.
func (r Reply) Problem() error {
	if r.Status < 400 {
		return nil
	}
	var p score.Problem
	if json.Unmarshal(r.Body, &p) == nil && p.Code != "" {
		return &p
	}
	// The response comes from a proxy, or from a server that is no frontend.
	text := strings.TrimSpace(string(r.Body[:min(len(r.Body), 200)]))
	return &score.Problem{
		Type:   "about:blank",
		Title:  http.StatusText(r.Status),
		Status: r.Status,
		Code:   score.Code(fmt.Sprintf("http_%d", r.Status)),
		Detail: fmt.Sprintf("not a response of Laurel: %q", text),
	}
}

// RetryAfter returns the delay of the Retry-After header, at most a minute.
func (r Reply) RetryAfter() time.Duration {
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(min(max(seconds, 0), 60)) * time.Second
}
