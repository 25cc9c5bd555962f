package handler

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"laurel/score"
)

const (
	// DefaultPage and MaxPage bound the parameter limit of lists.
	DefaultPage = 100
	MaxPage     = 1000
)

// Parameters parses the query of a URL. It refuses parameters that are not known, because a
// misspelt filter would choose everything.
func Parameters(query string, known ...string) (url.Values, error) {
	if query == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "invalid URL parameters: %s", err)
	}
	for name, values := range q {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, FieldProblem(Printable(name), "unknown parameter; this path takes none")
		case !slices.Contains(known, name):
			return nil, FieldProblem(Printable(name), "unknown parameter; want one of %s", strings.Join(known, ", "))
		case len(values) > 1:
			return nil, FieldProblem(name, "given %d times; want it once", len(values))
		}
	}
	return q, nil
}

// NoParameters refuses every parameter.
func (r *Request) NoParameters() error {
	_, err := Parameters(r.Query)
	return err
}

// PageSize returns the parameter limit.
func PageSize(q url.Values) (int, error) {
	given := q.Get("limit")
	if given == "" {
		return DefaultPage, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > MaxPage {
		return 0, FieldProblem("limit", "got %s; want 1 to %d", Quoted(given), MaxPage)
	}
	return n, nil
}
