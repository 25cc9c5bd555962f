package fold

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// SearchText returns a text as searches compare it: in lower case, without accents and
// apostrophes, and with one blank between words in place of hyphens and the like. The
// page's app/text.ts does the same; testdata/search.json has examples for both.
func SearchText(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			s = letters.Replace(strings.Map(fold, norm.NFKD.String(s)))
			return strings.Join(strings.Fields(s), " ")
		}
	}
	return strings.Join(strings.Fields(strings.Map(foldASCII, s)), " ")
}

// fold returns a rune as searches compare it, -1 for none.
func fold(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return foldASCII(r)
	case unicode.In(r, unicode.Mn, unicode.Cf), r == '\u2019', r == '\u02bb', r == '\u02bc':
		return -1
	case unicode.IsLetter(r):
		return unicode.ToLower(r)
	case unicode.IsNumber(r), unicode.Is(unicode.Mc, r):
		return r
	}
	return ' '
}

func foldASCII(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		return r
	case 'A' <= r && r <= 'Z':
		return r + 'a' - 'A'
	case r == '\'':
		return -1
	}
	return ' '
}

// letters have no accent to remove, but are searched by the letters that look like them.
var letters = strings.NewReplacer(
	"ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ħ", "h", "ı", "i", "ŋ", "n",
	"ς", "σ",
)

// Searcher finds contests by words, each of which must be in the contest's id, title,
// sport, discipline, event, phase, group, venue or competition, or in the code, name or
// organisation of a competitor. Of those that only a competitor.define names, it knows the
// first ones: of the start list, and of the marks.
type Searcher struct{ words []string }

// NewSearcher returns what finds contests by the words of a text, nil if it has none.
func NewSearcher(text string) *Searcher {
	words := strings.Fields(SearchText(text))
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
	text := make([]byte, 0, len(stored))
	for _, c := range stored {
		if c >= utf8.RuneSelf {
			text = []byte(SearchText(string(stored)))
			break
		}
		if r := foldASCII(rune(c)); r >= 0 {
			text = append(text, byte(r))
		}
	}
	for _, w := range s.words {
		if !bytes.Contains(text, []byte(w)) {
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
		e := c.Competitors[i].Known()
		texts = append(texts, e.Code, e.Name, e.Organisation)
	}
	for _, e := range c.Entrants {
		texts = append(texts, e.Code, e.Name, e.Organisation)
	}
	for i := range c.Leaders {
		m := &c.Leaders[i]
		texts = append(texts, m.Competitor, m.Name, m.Organisation)
	}
	text := SearchText(strings.Join(texts, "\n"))
	for _, w := range s.words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
