// Package question reads the questions that clients ask: from the path and the query of a
// URL, or from the key under which another frontend asks the master. A Question has all
// that makes its answer and its text form.
package question

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/unicode/norm"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/score"
)

// Question is what a read asks of the store. It has been checked.
type Question struct {
	// Key is the path behind /v1/ with the parameters that differ from their defaults, in
	// order: one key for one question, however it was put. The path of a plain request is
	// its key, see hit in httpapi.
	Key string
	// Tag names what makes the answer stale; "" for a record that is pushed under its
	// key.
	Tag     string
	Ask     queries.Ask
	Board   *BoardQuery                              // for a question about a leaderboard; else nil
	Missing func() *score.Problem                    // reports that there is no such thing; nil if there always is
	Text    func(b *bytes.Buffer, json []byte) error // writes the answer as text
	Stale   Staleness
}

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
	switch path { // these have no route; frontends in pull mode ask for them by their key
	case "records":
		q, err := handler.Parameters(query, "competition")
		return Keys(q.Get("competition")), err
	case "now":
		return Now(), nil
	case "sections":
		return Sections(), nil
	}
	return ParseRead(path, query)
}

// ParseRead is Parse for the questions that have a route.
func ParseRead(path, query string) (Question, error) {
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

// keyOf returns the key of a path and the parameters that are not empty. limit is another
// of them, unless it is the default.
func keyOf(path string, q url.Values, limit int) string {
	maps.DeleteFunc(q, func(name string, values []string) bool {
		return values[0] == "" || name == "limit" || name == maxStale
	})
	if limit != handler.DefaultPage {
		q.Set("limit", strconv.Itoa(limit))
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// MaxFilter bounds the value of a filter, which becomes part of a key. No name in the
// store is longer.
const MaxFilter = 512

// checkFilters refuses the parameters of these names that are too long, and brings the
// others into the form of identifiers: people type, and systems paste, other forms.
func checkFilters(q url.Values, names ...string) error {
	for _, name := range names {
		if given := q.Get(name); len(given) > MaxFilter {
			return handler.FieldProblem(name, "got %d bytes; names have at most %d", len(given), MaxFilter)
		} else if !norm.NFC.IsNormalString(given) {
			q.Set(name, norm.NFC.String(given))
		}
	}
	return nil
}

// encoded returns an Ask that encodes what find returns: a value, nil if there is no such
// thing, and the revision that last changed it, 0 for that of the view.
func encoded(find func(v queries.View) (value any, revision uint64, err error)) queries.Ask {
	return func(v queries.View) ([]byte, uint64, error) {
		value, revision, err := find(v)
		if err != nil || value == nil {
			return nil, v.Revision(), err
		}
		body, err := queries.Encode(value)
		return body, cmp.Or(revision, v.Revision()), err
	}
}

// found returns what a view has found as encoded wants it.
func found[T any](value T, ok bool, err error) (any, uint64, error) {
	if err != nil || !ok {
		return nil, 0, err
	}
	return value, 0, nil
}

// undefined returns the problem of a contest that is not defined.
func undefined(contest string) *score.Problem {
	return score.Problemf(score.NotFound,
		"contest %s is not defined; GET /v1/scores lists the contests", handler.Quoted(contest))
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

// Route is the route of a kind of question.
type Route struct {
	Pattern    string // a template of mux
	Board      bool   // the question is about a leaderboard
	parameters []string
	// exists is false for names of which nothing can exist; nil if parse decides.
	exists func(name string) bool
	// parse gets the name in the form of identifiers: people type, and systems paste, other forms.
	parse func(name string, q url.Values) (Question, error)
}

// Routes are the routes of questions. The first that matches a path is the right one.
var Routes = []Route{
	{"/v1/scores/{contest:.+}", false, []string{maxStale}, score.ValidPath, named(Score)},
	{"/v1/scores", false, scoresParameters, nil, parseScores},
	{"/v1/timeline/{contest:.+}", false, []string{"after", "limit", maxStale}, score.ValidPath, parseTimeline},
	{"/v1/startlist/{contest:.+}", false, []string{"after", "limit", maxStale}, score.ValidPath, parseStartList},
	{"/v1/leaderboard/{contest:.+}", true, append(boardParameters, maxStale), score.ValidPath, parseLeaderboard},
	{"/v1/medals/{competition}", false, []string{maxStale}, validCompetition, named(Medals)},
	{"/v1/medals/{competition}/{organisation:.+}", false, []string{maxStale}, validRow, named(medalRow)},
	{"/v1/bards/{source:.+}", false, []string{"after", "limit", maxStale}, nil, parseBard},
}

// named returns a parse function for a question that only the path makes.
func named(of func(name string) Question) func(string, url.Values) (Question, error) {
	return func(name string, _ url.Values) (Question, error) { return of(name), nil }
}

// Parse reads a question from the end of a path and the query of a URL. The error is a
// *score.Problem.
func (r *Route) Parse(name, query string) (Question, error) {
	parameters, err := handler.Parameters(query, r.parameters...)
	if err != nil {
		return Question{}, err
	}
	stale, err := parseStaleness(parameters)
	if err != nil {
		return Question{}, err
	}
	name = norm.NFC.String(name)
	q, err := r.parse(name, parameters)
	switch {
	case err != nil:
		return Question{}, err
	case r.exists != nil && !r.exists(name):
		return Question{}, q.Missing()
	}
	q.Stale = stale
	return q, nil
}

// Pattern matches paths. It knows the patterns of the routes that the fast path answers;
// for net/http, mux matches them.
type Pattern struct {
	Prefix   string // what the pattern begins with literally
	segments int    // how many more segments a path needs: 0, 1 or 2
	open     bool   // the last segment may contain slashes
}

// ParsePattern parses the pattern of a route.
func ParsePattern(s string) Pattern {
	prefix, rest, found := strings.Cut(s, "{")
	if !found {
		return Pattern{Prefix: s}
	}
	return Pattern{prefix, 1 + strings.Count(rest, "/{"), strings.HasSuffix(rest, ":.+}")}
}

// Matches reports whether a path matches. It allocates nothing.
func (p *Pattern) Matches(path []byte) bool {
	n := len(p.Prefix)
	switch {
	case len(path) < n || string(path[:n]) != p.Prefix:
		return false
	case p.segments == 0:
		return len(path) == n
	}
	name := path[n:]
	if p.segments == 2 {
		slash := bytes.IndexByte(name, '/')
		if slash <= 0 {
			return false
		}
		name = name[slash+1:]
	}
	return len(name) > 0 && (p.open || bytes.IndexByte(name, '/') < 0)
}

// Staleness is how old an answer may be if there is no current one. The zero value
// accepts no old answer.
type Staleness struct {
	Accepted bool
	bounded  bool
	bound    time.Duration
}

// Accepts reports whether an answer of the given age will do.
func (s Staleness) Accepts(age time.Duration, known bool) bool {
	return s.Accepted && (!s.bounded || known && age <= s.bound)
}

// parseStaleness reads the parameter max_stale: a duration such as 30s, or seconds.
// Without a value any age will do.
func parseStaleness(q url.Values) (Staleness, error) {
	given := q.Get(maxStale)
	switch {
	case !q.Has(maxStale):
		return Staleness{}, nil
	case given == "":
		return Staleness{Accepted: true}, nil
	}
	bound, ok := parseSeconds(given)
	if !ok {
		var err error
		if bound, err = time.ParseDuration(given); err != nil || bound < 0 {
			return Staleness{}, handler.Unwanted(maxStale, given, "how old an answer may be, such as 30s")
		}
	}
	return Staleness{Accepted: true, bounded: true, bound: bound}, nil
}

// StalenessOf finds max-stale in the lists of Cache-Control. As RFC 9111 has it, an
// invalid one is ignored.
func StalenessOf(lists []string) Staleness {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			name, value, bounded := strings.Cut(strings.TrimSpace(one), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "max-stale") {
				continue
			}
			if !bounded {
				return Staleness{Accepted: true}
			}
			if bound, ok := parseSeconds(strings.Trim(strings.TrimSpace(value), `"`)); ok {
				return Staleness{Accepted: true, bounded: true, bound: bound}
			}
		}
	}
	return Staleness{}
}

// parseSeconds parses whole seconds. More than a duration can hold are as many as it can.
func parseSeconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil && (n == 0 || strings.Trim(s, "0123456789") != "") {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second, true
}

// FormatAge returns an age as the header Age has it: in whole seconds, rounded up.
func FormatAge(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// Keys asks for the keys of the records of a competition, or of all for "". It has no
// route.
func Keys(competition string) Question {
	key := "records"
	if competition != "" {
		key += "?competition=" + url.QueryEscape(competition)
	}
	ask := func(v queries.View) (any, uint64, error) {
		contests, tables, err := v.Keys(competition)
		if err != nil {
			return nil, 0, err
		}
		list := make([]string, 0, len(contests)+len(tables))
		for _, competition := range tables {
			list = append(list, cache.MedalsKey(competition))
		}
		for _, id := range contests {
			list = append(list, cache.ScoreKey(id))
		}
		slices.Sort(list)
		return list, 0, nil
	}
	return Question{Key: key, Tag: cache.ListTag(competition), Ask: encoded(ask)}
}
