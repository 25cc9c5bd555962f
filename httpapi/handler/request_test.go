package handler

import "testing"

func TestTextMustBeAcceptedByName(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false,
		"text/plain": true, "text/*": true, "TEXT/PLAIN; charset=utf-8": true, "text/plain, */*;q=0.1": true,
		"application/json, text/plain": true, "application/json, text/plain;q=0.5": false, "text/plain;q=0": false,
		"text/html,application/xhtml+xml,*/*;q=0.8": false, "text/plain;q=NaN": true, ";;,,": false,
	} {
		r := &Request{Accept: []string{accept}}
		if r.WantsText() != want {
			t.Errorf("Accept: %q: got %v", accept, !want)
		}
	}
}
