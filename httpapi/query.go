package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"laurel/score"
)

// parameters reads those of a URL. One that the path does not know is refused: a misspelt filter would choose everything.
func parameters(query string, known ...string) (url.Values, error) {
	if query == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "the parameters of the URL cannot be read: %s", err)
	}
	for name, values := range q {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, fieldProblem(printable(name), "unknown parameter; there are none here")
		case !slices.Contains(known, name):
			return nil, fieldProblem(printable(name), "unknown parameter; want one of %s", strings.Join(known, ", "))
		case len(values) > 1:
			return nil, fieldProblem(name, "given %d times; want it once", len(values))
		}
	}
	return q, nil
}

// knownOnly refuses any parameter.
func knownOnly(r *http.Request) error {
	_, err := parameters(r.URL.RawQuery)
	return err
}

// pageSize is the parameter limit.
func pageSize(q url.Values) (int, error) {
	given := q.Get("limit")
	if given == "" {
		return DefaultPage, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > MaxPage {
		return 0, fieldProblem("limit", "got %s; want 1 to %d", quoted(given), MaxPage)
	}
	return n, nil
}

// printable is a name from a URL as it may stand in a problem.
func printable(s string) string {
	return strings.Trim(quoted(s), `"`)
}
