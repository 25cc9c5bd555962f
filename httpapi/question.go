package httpapi

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/score"
)

// question is what a read asks of the store. It has been checked.
type question struct {
	// key is the path behind /v1/ with the parameters that differ from their defaults, in order. So
	// the same question has one key however it was put, and the path of a plain request is its key.
	key string
	// tag names what makes the answer stale; "" for a record that is pushed under its key.
	tag     string
	ask     queries.Ask
	board   *boardQuery                              // for a question about a leaderboard; else nil
	missing func() *score.Problem                    // reports that there is no such thing
	text    func(b *bytes.Buffer, json []byte) error // writes the answer as text
	stale   staleness
}

// parser reads a question from the end of a path and the query of a URL. The error is a *score.Problem.
type parser func(name, query string) (question, error)

// internalQuestions have no route. Frontends in pull mode ask the master for them by their key.
var internalQuestions = map[string]parser{"keys": parseKeys, "page": parsePage}

// questionByKey returns the question with a key.
func questionByKey(key string) (queries.Question, error) {
	escaped, query, _ := strings.Cut(key, "?")
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return queries.Question{}, score.Problemf(score.InvalidEvent, "invalid key %s", handler.Quoted(key))
	}
	q, err := parseQuestion(path, query)
	if b := q.board; b != nil {
		return queries.Question{Board: &queries.Board{Contest: b.contest, Query: b.Query, Body: b.body}}, err
	}
	return queries.Question{Ask: q.ask}, err
}

// parseQuestion reads a question from a path behind /v1/ and the query of a URL.
func parseQuestion(path, query string) (question, error) {
	if parse, ok := internalQuestions[path]; ok {
		return parse("", query)
	}
	full := "/v1/" + path
	for _, r := range reads {
		if p := parsePattern(r.pattern); p.matches([]byte(full)) {
			return r.parse(full[len(p.prefix):], query)
		}
	}
	return question{}, unknownPath(full)
}

// maxStale is a parameter of all questions. It is no part of their keys.
const maxStale = "max_stale"

// questionParameters parses the parameters of a question.
func questionParameters(query string, known ...string) (url.Values, staleness, error) {
	q, err := handler.Parameters(query, append(known, maxStale)...)
	if err != nil {
		return nil, staleness{}, err
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
