package fold

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/unicode/norm"

	"laurel/score"
)

func TestSearchTextFollowsTheExamples(t *testing.T) {
	b, err := os.ReadFile("../../testdata/search.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []struct{ Text, Form string }
	if err := json.Unmarshal(b, &examples, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		if got := searchText(e.Text); got != e.Form {
			t.Errorf("%q becomes %q; want %q", e.Text, got, e.Form)
		}
		if got := searchText(e.Form); got != e.Form {
			t.Errorf("%q becomes %q; want the same", e.Form, got)
		}
	}
}

func TestASearchFindsNamesHoweverTheyAreWritten(t *testing.T) {
	c := NewContest("D18/A")
	c.Definition.Title = "Guinea-Bissau vs O’Brien \"Łódź\""
	c.Competitors = []Competitor{{Entrant: score.Entrant{Code: "JOK", Name: "Jokić"}}}
	stored, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	plain := NewContest("D18/B")
	plain.Definition.Title = "O'Brien vs Guinea-Bissau"
	storedPlain, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, find := range []string{"Guinea-Bissau", "guinea bissau", "BISSAU-guinea", "obrien", "O’Brien", "o'brien"} {
		s := NewSearcher(find)
		if !s.MayMatch(stored) || !s.Matches(c) || !s.MayMatch(storedPlain) || !s.Matches(plain) {
			t.Errorf("%q finds nothing", find)
		}
	}
	for _, find := range []string{"jokic", "Jokic\u0301", "lodz", "JOK łódź"} {
		s := NewSearcher(find)
		if !s.MayMatch(stored) || !s.Matches(c) || s.MayMatch(storedPlain) || s.Matches(plain) {
			t.Errorf("%q does not find one of two", find)
		}
	}
	if s := NewSearcher(" - ' "); s != nil {
		t.Error("a search without words selects something")
	}
}

// Each rune is decomposed apart from those around it.
func TestSearchTextDecomposesEveryRune(t *testing.T) {
	for r := rune(utf8.RuneSelf); r <= 0x1ffff; r++ {
		var want []byte
		for _, part := range norm.NFKD.String(string(r)) {
			want = appendRune(want, part)
		}
		if got := appendFolded(nil, []byte(string(r))); !bytes.Equal(got, want) {
			t.Fatalf("%U becomes %q; want %q", r, got, want)
		}
	}
	for _, text := range []string{"Cafe\u0301 Ångström", "e\u0301\u0323ü\u0304", "각가\xff각", "\u0301a", "\xff"} {
		if got, want := searchText(text), searchText(norm.NFKD.String(text)); got != want {
			t.Errorf("%q becomes %q; want %q", text, got, want)
		}
	}
}

func BenchmarkMayMatch(b *testing.B) {
	for _, text := range []string{"Bayern München, ", "éa"} {
		b.Run(text, func(b *testing.B) {
			stored := []byte(strings.Repeat(text, 1<<20/len(text)))
			s := NewSearcher("zzz")
			b.SetBytes(int64(len(stored)))
			for b.Loop() {
				s.MayMatch(stored)
			}
		})
	}
}
