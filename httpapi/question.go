package httpapi

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/cache/queries"
	"laurel/score"
)

// question is what a request asks of the store. It has been checked.
type question struct {
	// key is the path behind /v1/, with those parameters that say more than the defaults, in order. So a plain request finds its answer by a
	// part of itself, and the same question has one key however it was put.
	key string
	// tag names what makes the answer stale; "" for a record that is pushed under its key.
	tag     string
	ask     queries.Ask
	board   *board                                   // what is asked of a leaderboard; nil for another question
	missing func() *score.Problem                    // says that there is no such thing
	text    func(b *bytes.Buffer, json []byte) error // writes the answer for people
	consent consent
}

// Question is what to ask the store for a key, as another frontend polls it. The error is a *score.Problem.
func (a *API) Question(key string) (queries.Question, error) {
	escaped, query, _ := strings.Cut(key, "?")
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return queries.Question{}, score.Problemf(score.InvalidEvent, "there is no answer under the key %s", quoted(key))
	}
	q, err := questionOf(path, query)
	if b := q.board; b != nil {
		return queries.Question{Board: &queries.Board{Contest: b.contest, Query: b.Query, Body: b.body}}, err
	}
	return queries.Question{Ask: q.ask}, err
}

// questionOf reads a question from a path behind /v1/ and the parameters. The error is a *score.Problem.
func questionOf(path, query string) (question, error) {
	kind, name, named := strings.Cut(path, "/")
	switch {
	case kind == "scores" && !named:
		return listScores(query)
	case kind == "scores":
		return oneScore(name, query)
	case kind == "leaderboard" && named:
		return leaderboard(name, query)
	case kind == "timeline" && named:
		return timeline(name, query)
	case kind == "medals" && named:
		if competition, organisation, row := strings.Cut(name, "/"); row {
			return medalRow(competition, organisation, query)
		}
		return medalTable(name, query)
	case kind == "keys" && !named:
		return keys(query)
	case kind == "page" && !named:
		return page(), nil
	case kind == "bards" && named:
		return bard(name, query)
	}
	return question{}, score.Problemf(score.NotFound, "there is no %s; GET / names what there is", quoted("/v1/"+path))
}

// maxStale is the parameter of all questions that is no part of what is asked.
const maxStale = "max_stale"

// asked reads the parameters of a question, and what it consents to.
func asked(query string, known ...string) (url.Values, consent, error) {
	q, err := parameters(query, append(known, maxStale)...)
	if err != nil {
		return nil, consent{}, err
	}
	c, err := consentOf(q)
	return q, c, err
}

// keyOf is the key of a path and of those parameters that are not their defaults.
func keyOf(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// forPeople writes an answer in JSON with the function given.
func forPeople[T any](write func(*bytes.Buffer, *T)) func(*bytes.Buffer, []byte) error {
	return func(b *bytes.Buffer, body []byte) error {
		var value T
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		write(b, &value)
		return nil
	}
}
