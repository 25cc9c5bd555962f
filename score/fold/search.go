package fold

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"laurel/score"
)

// searchText returns a text as searches compare it: in lower case, without accents and
// apostrophes, and with one blank between words in place of hyphens and the like. The
// page's app/text.ts does the same; testdata/search.json has examples for both.
func searchText(s string) string {
	return string(bytes.Join(bytes.Fields(appendFolded(nil, []byte(s))), []byte(" ")))
}

// appendFolded appends a text as searches compare it, but for the blanks. It allocates
// nothing for a rune, because texts of megabytes are searched.
func appendFolded(b, text []byte) []byte {
	for len(text) > 0 {
		if c := text[0]; c < utf8.RuneSelf {
			if r := foldASCII(rune(c)); r >= 0 {
				b = append(b, byte(r))
			}
			text = text[1:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		switch parts := norm.NFKD.Properties(text).Decomposition(); {
		case isHangul(r):
			b = appendHangul(b, r)
		case parts == nil:
			b = appendRune(b, r)
		default:
			for len(parts) > 0 {
				part, n := utf8.DecodeRune(parts)
				b, parts = appendRune(b, part), parts[n:]
			}
		}
		text = text[n:]
	}
	return b
}

// appendRune appends what appendFolded makes of a rune that cannot be decomposed.
func appendRune(b []byte, r rune) []byte {
	if r = fold(r); r < 0 {
		return b
	}
	if letters := lettersOf[r]; letters != "" {
		return append(b, letters...)
	}
	return utf8.AppendRune(b, r)
}

// The syllables of Hangul are composed by a rule of the Unicode standard.
const (
	firstSyllable, lastSyllable                   = '\uac00', '\ud7a3'
	firstLeading, firstVowel, beforeTrailing      = '\u1100', '\u1161', '\u11a7'
	syllablesOfALeading, syllablesOfAVowel   rune = 588, 28
)

func isHangul(r rune) bool { return firstSyllable <= r && r <= lastSyllable }

func appendHangul(b []byte, r rune) []byte {
	r -= firstSyllable
	b = utf8.AppendRune(b, firstLeading+r/syllablesOfALeading)
	b = utf8.AppendRune(b, firstVowel+r%syllablesOfALeading/syllablesOfAVowel)
	if trailing := r % syllablesOfAVowel; trailing > 0 {
		b = utf8.AppendRune(b, beforeTrailing+trailing)
	}
	return b
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

// lettersOf are the letters that look like one that has no accent to remove.
var lettersOf = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i", 'ŋ': "n",
	'ς': "σ",
}

// Searcher finds contests by words, each of which must be in the contest's id, title,
// sport, discipline, event, phase, group, venue or competition, or in the code, name or
// organisation of a competitor that the Contest has: one of its list, of its leaders, or
// of the beginning of its start list.
type Searcher struct{ words []string }

// NewSearcher returns what finds contests by the words of a text, nil if it has none.
func NewSearcher(text string) *Searcher {
	words := strings.Fields(searchText(text))
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
	text := appendFolded(make([]byte, 0, len(stored)), stored)
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
	add := func(e score.Entrant) { texts = append(texts, e.Code, e.Name, e.Organisation) }
	for i := range c.Competitors {
		add(c.Competitors[i].Known())
	}
	for _, e := range c.Entrants {
		add(e)
	}
	for i := range c.Leaders {
		texts = append(texts, c.Leaders[i].Competitor, c.Leaders[i].Name, c.Leaders[i].Organisation)
	}
	text := searchText(strings.Join(texts, "\n"))
	for _, w := range s.words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
