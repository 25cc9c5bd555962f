package pki

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
)

func TestJoinTokensSurviveTextAndParse(t *testing.T) {
	j := NewJoinToken(strings.Repeat("0f", 32))
	if got, err := ParseJoinToken(" " + j.Text() + "\n"); err != nil || got != j {
		t.Errorf("got %v, %v", got, err)
	}
	if NewJoinToken(j.Fingerprint).Secret == j.Secret {
		t.Error("the same token twice")
	}
}

func TestPrintingAJoinTokenHidesItsSecret(t *testing.T) {
	j := NewJoinToken(strings.Repeat("0f", 32))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, j); strings.Contains(s, j.Secret) {
			t.Errorf("%s prints the secret: %s", verb, s)
		}
	}
	if text, err := json.Marshal(j); err != nil || strings.Contains(string(text), j.Secret) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

func TestParseErrorsDoNotQuoteTheJoinToken(t *testing.T) {
	j := NewJoinToken(strings.Repeat("0f", 32))
	for _, text := range []string{
		"", "x", j.Text()[1:], j.Text() + "A", j.Text()[:len(j.Text())-1], strings.ToUpper(j.Text()),
		strings.Replace(j.Text(), ".", "..", 1), strings.Replace(j.Text(), "-1.", "-2.", 1),
		access.NewBearerToken().Text(),
	} {
		if _, err := ParseJoinToken(text); err == nil || strings.Contains(err.Error(), j.Secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(NewJoinToken(strings.Repeat("0f", 32)).Text())
	sworn := NewJoinToken(strings.Repeat("0f", 32))
	sworn.Founder = strings.Repeat("a0", 32)
	f.Add(sworn.Text())
	f.Add("laurel-join-1...")
	f.Add("laurel-join-2....")
	f.Fuzz(func(t *testing.T, text string) {
		if j, err := ParseJoinToken(text); err == nil && j.Text() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, j.Text())
		}
	})
}
