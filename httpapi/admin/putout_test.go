package admin

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func TestTheListOfFrontendsSaysWhoWasPutOutWhenAndWhy(t *testing.T) {
	at := time.Date(2026, 2, 9, 14, 5, 0, 0, time.UTC)
	var b bytes.Buffer
	frontendsText(&b, score.Frontends{Frontends: []score.Frontend{
		{ID: "f1"},
		{ID: "f2", PutOut: &score.PutOut{Reason: "diverged", Text: "reported another history", Since: at}},
		{ID: "f3", PutOut: &score.PutOut{Reason: "convicted", Text: "signed two histories", Since: at, ForGood: true}},
	}})
	for _, want := range []string{
		"\nf2 was put out at 14:05:00 UTC: reported another history\n",
		"\nf3 was put out at 14:05:00 UTC: signed two histories, for good: ",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, &b)
		}
	}
	if n := strings.Count(b.String(), "put out"); n != 2 {
		t.Errorf("%d are put out", n)
	}
}
