// Package question reads the questions that clients ask: from the path and the query of a
// URL, or from the key under which another frontend asks the master. A Question has all
// that makes its answer and its text form.
package question

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/score"
)

// Question is what a read asks of the store. It has been checked.
type Question struct {
	// Key is the path behind /v1/ with the parameters that differ from their defaults, in
	// order. So the same question has one key however it was put, and the path of a plain
	// request is its key.
	Key string
	// Tag names what makes the answer stale; "" for a record that is pushed under its key.
	Tag     string
	Ask     queries.Ask
	Board   *BoardQuery                              // for a question about a leaderboard; else nil
	Missing func() *score.Problem                    // reports that there is no such thing
	Text    func(b *bytes.Buffer, json []byte) error // writes the answer as text
	Stale   Staleness
}

// Parser reads a question from the end of a path and the query of a URL. The error is a
// *score.Problem.
type Parser func(name, query string) (Question, error)

// internalQuestions have no route. Frontends in pull mode ask the master for them by their
// key.
var internalQuestions = map[string]Parser{"keys": parseKeys, "page": parsePage}

// ByKey returns the question with a key.
func ByKey(key string) (queries.Question, error) {
	escaped, query, _ := strings.Cut(key, "?")
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return queries.Question{}, score.Problemf(score.InvalidEvent, "invalid key %s", handler.Quoted(key))
	}
	q, err := Parse(path, query)
	if b := q.Board; b != nil {
		return queries.Question{Board: &queries.Board{Contest: b.Contest, Query: b.Query, Body: b.Body}}, err
	}
	return queries.Question{Ask: q.Ask}, err
}

// Parse reads a question from a path behind /v1/ and the query of a URL.
func Parse(path, query string) (Question, error) {
	if parse, ok := internalQuestions[path]; ok {
		return parse("", query)
	}
	full := "/v1/" + path
	for _, r := range Routes {
		if p := ParsePattern(r.Pattern); p.Matches([]byte(full)) {
			return r.Parse(full[len(p.Prefix):], query)
		}
	}
	return Question{}, UnknownPath(full)
}

// maxStale is a parameter of all questions. It is no part of their keys.
const maxStale = "max_stale"

// questionParameters parses the parameters of a question.
func questionParameters(query string, known ...string) (url.Values, Staleness, error) {
	q, err := handler.Parameters(query, append(known, maxStale)...)
	if err != nil {
		return nil, Staleness{}, err
	}
	stale, err := parseStaleness(q)
	return q, stale, err
}

// keyOf returns the key of a path and the parameters that differ from their defaults.
func keyOf(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// textRenderer returns a function that decodes an answer and has write write it as text.
func textRenderer[T any](write func(*bytes.Buffer, *T)) func(*bytes.Buffer, []byte) error {
	return func(b *bytes.Buffer, body []byte) error {
		var value T
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		write(b, &value)
		return nil
	}
}

// UnknownPath reports that there is no such path.
func UnknownPath(path string) *score.Problem {
	return score.Problemf(score.NotFound, "no such path: %s; see GET /", handler.Quoted(path))
}
