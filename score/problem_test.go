package score_test

import (
	"testing"

	"laurel/score"
)

func TestEveryCodeOfAProblemHasAStatusAndATitle(t *testing.T) {
	if len(score.Codes()) != 16 {
		t.Errorf("%d codes; the interface names 16", len(score.Codes()))
	}
	for _, code := range score.Codes() {
		p := score.Problemf(code, "because of %s", "rain")
		if p.Status < 400 || p.Status > 599 || p.Status == 500 || p.Title == "" || p.Code != code ||
			p.Detail != "because of rain" || p.Type != "urn:laurel:problem:"+string(code) {
			t.Errorf("%+v", p)
		}
	}
	if s := score.Code("none").HTTPStatus(); s != 500 {
		t.Errorf("an unknown code has status %d", s)
	}
}
