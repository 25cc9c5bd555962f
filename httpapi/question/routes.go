package question

import (
	"bytes"
	"strings"
)

// Route is the route of a kind of question.
type Route struct {
	Pattern string // a template of mux
	Parse   Parser
	Board   bool // the question is about a leaderboard
}

// Routes are the routes of questions. The first that matches a path is the right one.
var Routes = []Route{
	{Pattern: "/v1/scores/{contest:.+}", Parse: parseScore},
	{Pattern: "/v1/scores", Parse: parseScores},
	{Pattern: "/v1/timeline/{contest:.+}", Parse: parseTimeline},
	{Pattern: "/v1/leaderboard/{contest:.+}", Parse: parseLeaderboard, Board: true},
	{Pattern: "/v1/medals/{competition}", Parse: parseMedals},
	{Pattern: "/v1/medals/{competition}/{organisation:.+}", Parse: parseMedalRow},
	{Pattern: "/v1/bards/{source:.+}", Parse: parseBard},
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
