package score

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// SearchText returns a text as searches compare it: in lower case, without accents, and
// with a blank in place of each hyphen. The page's searchText does the same.
func SearchText(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
	}
	if !ascii {
		s = norm.NFKD.String(s)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case unicode.Is(unicode.Pd, r), r == '_':
			return ' '
		}
		return unicode.ToLower(r)
	}, s)
}

// Searcher finds contests by words, each of which must be in the contest's id, title,
// sport, discipline, event, phase, group, venue or competition, or in the code, name or
// organisation of a competitor.
type Searcher struct{ words []string }

// Searcher returns what finds the contests of the filter, nil if it has no words.
func (f Filter) Searcher() *Searcher {
	words := strings.Fields(SearchText(f.Find))
	if len(words) == 0 {
		return nil
	}
	return &Searcher{words}
}

// MayMatch reports whether the contest with the given JSON may match. It decodes nothing,
// and is right for nearly all contests.
func (s *Searcher) MayMatch(stored []byte) bool {
	if s == nil {
		return true
	}
	text := []byte(nil)
	for i, c := range stored {
		if c >= utf8.RuneSelf {
			text = []byte(SearchText(string(stored)))
			break
		}
		if text == nil {
			text = make([]byte, len(stored))
		}
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '-' || c == '_':
			c = ' '
		}
		text[i] = c
	}
	for _, w := range s.words {
		if !bytes.Contains(text, []byte(w)) && !strings.ContainsAny(w, `"\`) {
			return false
		}
	}
	return true
}

// Matches reports whether the contest has all words.
func (s *Searcher) Matches(c *Contest) bool {
	if s == nil {
		return true
	}
	d := &c.Definition
	texts := []string{c.ID, d.Title, d.Sport, d.Discipline, d.Event, d.Phase, d.Group, d.Venue, d.CompetitionName}
	for i := range c.Competitors {
		e := &c.Competitors[i].Entrant
		texts = append(texts, e.Code, e.Name, e.Organisation)
	}
	for i := range c.Leaders {
		texts = append(texts, c.Leaders[i].Competitor, c.Leaders[i].Organisation)
	}
	text := SearchText(strings.Join(texts, "\n"))
	for _, w := range s.words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
