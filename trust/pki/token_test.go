package pki

import (
	"fmt"
	"strings"
	"testing"
)

func TestTokensSurviveTextAndParse(t *testing.T) {
	j := NewJoinToken(strings.Repeat("0f", 32))
	if got, err := ParseJoinToken(" " + j.Text() + "\n"); err != nil || got != j {
		t.Errorf("got %v, %v", got, err)
	}
	b := NewBearerToken()
	if got, err := ParseBearerToken(b.Text()); err != nil || got != b {
		t.Errorf("got %v, %v", got, err)
	}
	if NewBearerToken() == b || NewJoinToken(j.Fingerprint).Secret == j.Secret {
		t.Error("the same token twice")
	}
}

func TestPrintingATokenHidesItsSecret(t *testing.T) {
	j, b := NewJoinToken(strings.Repeat("0f", 32)), NewBearerToken()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, j); strings.Contains(s, j.Secret) {
			t.Errorf("%s prints the secret: %s", verb, s)
		}
		if s := fmt.Sprintf(verb, b); strings.Contains(s, b.Secret) {
			t.Errorf("%s prints the secret: %s", verb, s)
		}
	}
}

func TestParseErrorsDoNotQuoteTheToken(t *testing.T) {
	j, b := NewJoinToken(strings.Repeat("0f", 32)), NewBearerToken()
	for _, text := range []string{"", "x", j.Text()[1:], j.Text() + "A", j.Text()[:len(j.Text())-1], strings.ToUpper(j.Text()), b.Text(),
		strings.Replace(j.Text(), ".", "..", 1), strings.Replace(j.Text(), "-1.", "-2.", 1)} {
		if _, err := ParseJoinToken(text); err == nil || strings.Contains(err.Error(), j.Secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", j.Text(), b.Text() + ".", b.Text() + "A", "BearerToken " + b.Text()} {
		if _, err := ParseBearerToken(text); err == nil || strings.Contains(err.Error(), b.Secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(NewJoinToken(strings.Repeat("0f", 32)).Text())
	f.Add(NewBearerToken().Text())
	f.Add("laurel-join-1...")
	f.Add("laurel-token-1..")
	f.Fuzz(func(t *testing.T, text string) {
		if j, err := ParseJoinToken(text); err == nil && j.Text() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, j.Text())
		}
		if b, err := ParseBearerToken(text); err == nil && b.Text() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, b.Text())
		}
	})
}
