package access

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestBearerTokensSurviveTextAndParse(t *testing.T) {
	b := NewBearerToken()
	if got, err := ParseBearerToken(" " + b.Text() + "\n"); err != nil || got != b {
		t.Errorf("got %v, %v", got, err)
	}
	if NewBearerToken() == b {
		t.Error("the same token twice")
	}
}

func TestPrintingABearerTokenHidesItsSecret(t *testing.T) {
	b := NewBearerToken()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, b); strings.Contains(s, b.Secret) {
			t.Errorf("%s prints the secret: %s", verb, s)
		}
	}
	if text, err := json.Marshal(b); err != nil || strings.Contains(string(text), b.Secret) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

func TestParseErrorsDoNotQuoteTheBearerToken(t *testing.T) {
	b := NewBearerToken()
	for _, text := range []string{
		"", "laurel-join-1." + strings.Repeat("0f", 32) + b.Text()[len(bearerPrefix):], b.Text() + ".", b.Text() + "A",
		"BearerToken " + b.Text(), strings.ToUpper(b.Text()), b.Text()[:30] + "\n" + b.Text()[30:],
	} {
		if _, err := ParseBearerToken(text); err == nil || strings.Contains(err.Error(), b.Secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseBearerToken(f *testing.F) {
	f.Add(NewBearerToken().Text())
	f.Add("laurel-token-1..")
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := ParseBearerToken(text); err == nil && b.Text() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, b.Text())
		}
	})
}
