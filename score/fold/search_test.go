package fold

import (
	"os"
	"testing"

	"github.com/go-json-experiment/json"

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
		if got := SearchText(e.Text); got != e.Form {
			t.Errorf("%q becomes %q; want %q", e.Text, got, e.Form)
		}
		if got := SearchText(e.Form); got != e.Form {
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
