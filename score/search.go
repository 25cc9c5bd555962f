package score

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// searchedLetters are letters that have no accent to remove, but are searched by the
// letters that look like them.
var searchedLetters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d",
	"ð", "d", "þ", "th", "ħ", "h", "ı", "i", "ŋ", "n", "ς", "σ")

// SearchText returns a text in the form in which it is searched: small letters without
// accents and apostrophes, and a blank for everything else between words. The page's
// searchable does the same.
func SearchText(s string) string {
	simple := true
	for i := 0; i < len(s) && simple; i++ {
		simple = s[i] < utf8.RuneSelf
	}
	if !simple {
		s = norm.NFKD.String(s)
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\'', r == '\u2019', r == '\u02bb', r == '\u02bc', unicode.Is(unicode.Mn, r):
			return -1
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.Is(unicode.Mc, r):
			return unicode.ToLower(r)
		}
		return ' '
	}, s)
	if !simple {
		s = searchedLetters.Replace(s)
	}
	return s
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
	text := SearchText(string(stored))
	for _, w := range s.words {
		if !strings.Contains(text, w) {
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
