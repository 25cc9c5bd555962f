package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"laurel/httpapi/admission"
	"laurel/score"
)

// void returns an event.void as JSON on one line.
func void(id string) string {
	return fmt.Sprintf(`{"id":%q,"type":"event.void","contest_id":"OG50BC/CUR-M-GPA-01",`+
		`"data":{"voids":"x","reason":"wrong"}}`, id)
}

// foldingGroup has each void fold so many events, and refuses a second one in a post.
func foldingGroup(each int) func(score.Post) ([]score.Result, error) {
	return func(p score.Post) (list []score.Result, err error) {
		for _, e := range p.Events {
			r := score.Result{ID: e.ID, Seq: 1, Revision: 1, Status: score.Applied}
			if e.Type == score.TypeEventVoid {
				voided := func(r score.Result) bool { return r.Folded > 0 }
				if r.Folded = each; slices.ContainsFunc(list, voided) {
					r = score.Result{ID: e.ID, Problem: score.Problemf(score.TooLarge, "too much")}
					return append(list, r), nil
				}
			}
			list = append(list, r)
		}
		return list, nil
	}
}

func TestVoidsArePaidForByTheirCaller(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	c.group.post = foldingGroup(100 * admission.FoldsPerCaller)
	post := func(body string) *readResponse {
		return ask(t, s, "POST", "/v1/events", body, isJSON, bearer(c.bard))
	}
	if got := post(void("v1")); got.StatusCode != http.StatusOK || strings.Contains(got.body, "folded") {
		t.Errorf("the first void: got %d %s", got.StatusCode, got.body)
	}
	if got := post(void("v2")); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("a void of a caller who has not paid: got %d %s", got.StatusCode, got.body)
	}
	if got := post(alert("a", "")); got.StatusCode != http.StatusOK {
		t.Errorf("another event of that caller: got %d %s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "POST", "/v1/events", void("v3"), isJSON, bearer(c.operator)); got.StatusCode != http.StatusOK {
		t.Errorf("a void of another caller: got %d %s", got.StatusCode, got.body)
	}
}

func TestAStreamGoesOnWithAVoidThatIsTooMuchForOnePost(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	c.group.post = foldingGroup(1)
	ids := []string{"a1", "v1", "a2", "v2", "v3", "a3"}
	var lines []string
	for _, id := range ids {
		if id[0] == 'v' {
			lines = append(lines, void(id))
		} else {
			lines = append(lines, alert(id, ""))
		}
	}
	got := ask(t, s, "POST", "/v1/events", strings.Join(lines, "\n"), isNDJSON, bearer(c.bard))
	all := results(t, got.body)
	if len(all) != len(ids) {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	for i, r := range all {
		if r.ID != ids[i] || r.Status != score.Applied {
			t.Errorf("result %d is %+v; want %s applied", i, r, ids[i])
		}
	}
	// A void that is too much alone ends the stream.
	c.group.post = func(p score.Post) ([]score.Result, error) {
		return []score.Result{{ID: p.Events[0].ID, Problem: score.Problemf(score.TooLarge, "too much")}}, nil
	}
	got = ask(t, s, "POST", "/v1/events", void("v"), isNDJSON, bearer(c.bard))
	if all := results(t, got.body); len(all) != 1 || all[0].Problem == nil || all[0].Problem.Code != score.TooLarge {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}
