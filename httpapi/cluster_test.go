package httpapi

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

func TestMembershipIsChangedAtTheMaster(t *testing.T) {
	g, s := start(t)
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/v1/cluster/members", `{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004","instance":"i"}`,
			`join {"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004","voter":true,"instance":"i"}`},
		{"POST", "/v1/cluster/members", `{"id":"f5","peer":"127.0.0.1:9005","url":"http://127.0.0.1:8005","voter":false}`,
			`join {"id":"f5","peer":"127.0.0.1:9005","url":"http://127.0.0.1:8005","voter":false,"instance":""}`},
		{"DELETE", "/v1/cluster/members/f4", "", "leave f4"},
		{"DELETE", "/v1/cluster/members/f4?force=false", "", "leave f4"},
		{"DELETE", "/v1/cluster/members/f4?force=true", "", "force f4"},
		{"DELETE", "/v1/cluster/members/f4?force", "", "force f4"},
		{"POST", "/v1/cluster/transfer", `{"to":"f2"}`, "transfer f2"},
		{"POST", "/v1/cluster/transfer", `{}`, "transfer "},
		{"POST", "/v1/cluster/transfer", ``, "transfer "},
	} {
		a := ask(t, s, c.method, c.path, c.body, isJSON)
		var f score.Frontends
		if err := json.Unmarshal([]byte(a.body), &f); err != nil || a.StatusCode != 200 || f.Epoch != 7 {
			t.Errorf("%s %s: got %d %s", c.method, c.path, a.StatusCode, a.body)
		}
		g.mu.Lock()
		if got := g.members[len(g.members)-1]; got != c.want {
			t.Errorf("%s %s: the group got %q; want %q", c.method, c.path, got, c.want)
		}
		g.mu.Unlock()
	}
}

func TestInvalidMembershipRequestNamesTheField(t *testing.T) {
	g, s := start(t)
	for _, c := range []struct{ method, path, body, field string }{
		{"POST", "/v1/cluster/members", `{"peer":"a:1","url":"http://a"}`, "id"},
		{"POST", "/v1/cluster/members", `{"id":"a b","peer":"a:1","url":"http://a"}`, "id"},
		{"POST", "/v1/cluster/members", `{"id":"f4","url":"http://a"}`, "peer"},
		{"POST", "/v1/cluster/members", `{"id":"f4","peer":"a:1","url":"a:8001"}`, "url"},
		{"POST", "/v1/cluster/members", `{"id":"f4","peer":"a:1","url":"http://a","votre":true}`, "votre"},
		{"POST", "/v1/cluster/members", `{"id":4}`, "id"},
		{"POST", "/v1/cluster/members", `[]`, ""},
		{"POST", "/v1/cluster/members", `{"id`, ""},
		{"DELETE", "/v1/cluster/members/f4?force=ture", "", "force"},
		{"POST", "/v1/cluster/transfer", `{"too":"f2"}`, "too"},
		{"PUT", "/v1/cluster/settings/cache_mode", `{"value":"forward"}`, "setting.value"},
		{"PUT", "/v1/cluster/settings/cache_mode", `{}`, "setting.value"},
		{"PUT", "/v1/cluster/settings/cache_mode", `{"mode":"push"}`, "mode"},
		{"PUT", "/v1/cluster/settings/cache_mode", ``, ""},
		{"PUT", "/v1/cluster/settings/crown", `{"value":"true"}`, "setting.name"},
	} {
		if p := ask(t, s, c.method, c.path, c.body, isJSON).problem(t); p.Status != 400 || p.Field != c.field {
			t.Errorf("%s %s: got %+v", c.path, c.body, p)
		}
	}
	if len(g.members) != 0 {
		t.Errorf("the group got %v", g.members)
	}
}

func TestMembershipRequestIsForwardedWithItsBody(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	var body string
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		b, err := io.ReadAll(r.Body)
		body = string(b)
		w.WriteHeader(http.StatusOK)
		return err
	}
	if a := ask(t, s, "POST", "/v1/cluster/transfer", `{"to":"f2"}`, isJSON); a.StatusCode != 200 ||
		body != `{"to":"f2"}` {
		t.Errorf("got %d, forwarded %q", a.StatusCode, body)
	}
}

func TestFrontendsAreAnsweredWithoutTheMaster(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	for _, path := range []string{"/v1/frontends", "/v1/cluster"} {
		a := ask(t, s, "GET", path, "")
		var f score.Frontends
		if err := json.Unmarshal([]byte(a.body), &f); err != nil || len(f.Frontends) != 2 || f.Frontends[0].ID != "f1" {
			t.Errorf("%s: got %s", path, a.body)
		}
	}
}

func TestReadinessFollowsTheGroupAndLivenessDoesNot(t *testing.T) {
	g, s := start(t)
	if a := ask(t, s, "GET", "/readyz", ""); a.StatusCode != 200 || a.body != "ok\n" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	for _, err := range []error{
		score.Problemf(score.NoMaster, "none"),
		score.Problemf(score.NotReady, "far behind"),
		errors.New("no"),
	} {
		g.ready = err
		a := ask(t, s, "GET", "/readyz", "")
		if p := a.problem(t); p.Status != 503 || p.Code != score.NotReady || a.Header.Get("Retry-After") != "1" {
			t.Errorf("%v: got %+v", err, p)
		}
		if a := ask(t, s, "GET", "/readyz?scope=reads", ""); a.StatusCode != 503 {
			t.Errorf("%v, the reads alone: got %d %s", err, a.StatusCode, a.body)
		}
		if a := ask(t, s, "GET", "/livez", ""); a.StatusCode != 200 || a.body != "ok\n" {
			t.Errorf("got %d %s", a.StatusCode, a.body)
		}
	}
}

func TestReadinessForReadsNeedsNoVote(t *testing.T) {
	g, s := start(t)
	g.voteless = score.Problemf(score.NotReady, "it waits for its vote")
	p := ask(t, s, "GET", "/readyz", "").problem(t)
	if p.Status != 503 || p.Code != score.NotReady || p.Detail != "it waits for its vote" {
		t.Errorf("got %+v", p)
	}
	if a := ask(t, s, "GET", "/readyz?scope=reads", ""); a.StatusCode != 200 || a.body != "ok\n" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	for _, query := range []string{"scope=", "scope=votes", "scope=reads&scope=reads", "x=y"} {
		if a := ask(t, s, "GET", "/readyz?"+query, ""); a.StatusCode != 400 {
			t.Errorf("%s: got %d %s", query, a.StatusCode, a.body)
		}
	}
}

func TestMetricsCountByRouteAndStatus(t *testing.T) {
	_, s := start(t)
	ask(t, s, "GET", "/v1/scores/"+contest, "")
	ask(t, s, "GET", "/v1/scores/OG50BC/NO", "")
	ask(t, s, "GET", "/some/other", "")
	ask(t, s, "POST", "/v1/events", alert("a", ""), isJSON)
	ask(t, s, "POST", "/v1/events", alert("a", "")+"\n"+alert("b", "refuse"), isNDJSON)
	page := ask(t, s, "GET", "/metrics", "").body
	for _, want := range []string{
		`laurel_http_requests_total{method="GET",port="client",route="/v1/scores/{contest:.+}",status="200"} 1`,
		`laurel_http_requests_total{method="GET",port="client",route="/v1/scores/{contest:.+}",status="404"} 1`,
		`laurel_http_requests_total{method="any",port="client",route="unknown",status="404"} 1`,
		`laurel_http_requests_total{method="POST",port="client",route="/v1/events",status="200"} 2`,
		`laurel_http_request_seconds_count{method="POST",port="client",route="/v1/events"} 1`,
		`laurel_http_problems_total{code="not_found"} 2`,
		`laurel_http_problems_total{code="status_conflict"} 1`,
		`laurel_http_events_total{status="applied"} 2`,
		`laurel_http_events_total{status="refused"} 1`,
	} {
		if !slices.Contains(strings.Split(page, "\n"), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(page, "some/other") {
		t.Error("clients can create label values")
	}
}
