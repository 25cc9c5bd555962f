package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/trust/access"
)

func TestOperatorGrantsAndRevokes(t *testing.T) {
	c, a, s := guardedServer(t, Options{})
	got := ask(t, s, "POST", "/v1/access/grants", `{"name":"bard/new","role":"bard","competitions":["OG50BC"]}`, isJSON,
		bearer(c.operator))
	var made access.GrantResponse
	err := json.Unmarshal([]byte(got.body), &made)
	if err != nil || got.StatusCode != 200 || made.Token == "" || got.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s (%v)", got.StatusCode, got.body, err)
	}
	token := "Authorization: Bearer " + made.Token
	if got := ask(t, s, "POST", "/v1/events", alert("a", ""), isJSON, token); got.StatusCode != 200 {
		t.Errorf("the new bard: got %d %s", got.StatusCode, got.body)
	}
	view := ask(t, s, "GET", "/v1/access", "", bearer(c.operator))
	text := ask(t, s, "GET", "/v1/access", "", bearer(c.operator), "Accept: text/plain")
	_, secret, _ := strings.Cut(made.Token, made.ID+".")
	hash := base64.StdEncoding.EncodeToString(c.operator.Hash())
	for _, page := range []*readResponse{view, text} {
		if page.StatusCode != 200 || !strings.Contains(page.body, made.ID) {
			t.Errorf("got %d %s", page.StatusCode, page.body)
		}
		for _, hidden := range []string{secret, hash, `"hash"`} {
			if strings.Contains(page.body, hidden) {
				t.Errorf("the answer has %s:\n%s", hidden, page.body)
			}
		}
	}
	if got := ask(t, s, "DELETE", "/v1/access/grants/"+made.ID, "", bearer(c.operator)); got.StatusCode != 200 {
		t.Errorf("revoking: got %d %s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "POST", "/v1/events", alert("b", ""), isJSON, token); got.StatusCode != 401 ||
		refusals(a, "revoked") != 1 {
		t.Errorf("the revoked bard: got %d %s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "DELETE", "/v1/access/grants/nosuch", "", bearer(c.operator)); got.StatusCode != 404 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "DELETE", "/v1/access/grants/"+c.operator.ID, "", bearer(c.operator)); got.StatusCode != 409 {
		t.Errorf("the last operator: got %d %s", got.StatusCode, got.body)
	}
}

func TestAGrantWithARestrictionThatHasNoEffectIsRefused(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	before := len(c.group.Access().Grants)
	for body, field := range map[string]string{
		`{"name":"press","role":"reader","competitions":["OG50BC"]}`:           "grant.competitions",
		`{"name":"press","role":"reader","types":["alert"]}`:                   "grant.types",
		`{"name":"press","role":"reader","rate":5}`:                            "grant.rate",
		`{"name":"obelix","role":"operator","competitions":["OG50BC"]}`:        "grant.competitions",
		`{"name":"obelix","role":"operator","types":["alert"]}`:                "grant.types",
		fmt.Sprintf(`{"name":"press","role":"reader","public":%q}`, publicKey): "grant.public",
	} {
		got := ask(t, s, "POST", "/v1/access/grants", body, isJSON, bearer(c.operator))
		var p score.Problem
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.StatusCode != 400 ||
			p.Code != score.InvalidEvent || p.Field != field || !strings.Contains(p.Detail, "has no effect") {
			t.Errorf("%s: got %d %s", body, got.StatusCode, got.body)
		}
	}
	if n := len(c.group.Access().Grants); n != before {
		t.Errorf("there are %d grants; want %d", n, before)
	}
}

func TestAGrantTakesATimeAsAnEventDoes(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	for expires, want := range map[string]string{
		`"2036-12-31t23:59:59.5+05:30"`: "2036-12-31T18:29:59.5Z",
		`"2036-12-31T23:59:60z"`:        "2037-01-01T00:00:00Z",
		`"2036-12-31"`:                  "got \"2036-12-31\"; want an RFC 3339 time",
		`"2036-02-30T10:00:00Z"`:        "day out of range",
		`5`:                             "got a number; want an RFC 3339 time",
	} {
		for _, mark := range []string{"", "\uFEFF"} {
			got := ask(t, s, "POST", "/v1/access/grants", mark+`{"name":"press","role":"reader","expires":`+expires+`}`,
				isJSON, bearer(c.operator))
			if strings.HasPrefix(want, "2037") || strings.HasPrefix(want, "2036") {
				if view := ask(t, s, "GET", "/v1/access", "", bearer(c.operator)); got.StatusCode != 200 ||
					!strings.Contains(view.body, want) {
					t.Errorf("%s: got %d %s; the grants are %s", expires, got.StatusCode, got.body, view.body)
				}
				continue
			}
			if p := got.problem(t); p.Status != 400 || p.Field != "expires" || !strings.Contains(p.Detail, want) {
				t.Errorf("%s: got %+v; want %s", expires, p, want)
			}
		}
	}
}

func TestAWrongMemberOfAGrantSaysWhatIsWanted(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	for body, want := range map[string]string{
		`{"name":5,"role":"reader"}`:             "got a number; want a string",
		`{"name":"a","role":"bard","types":"x"}`: "want an array",
		`{"name":"a","role":"bard","rate":"x"}`:  "want a number",
		`{"name":"a","role":"bard","ttl":"x"}`:   "unknown member; want only name, role, public",
		`{"name":"a","role":"bard"`:              "ends in the middle",
		`{"name":"a","role":"bard"}{}`:           "after top-level value",
		"\xff\xfe{\x00}\x00":                     "the text is UTF-16",
	} {
		p := ask(t, s, "POST", "/v1/access/grants", body, isJSON, bearer(c.operator)).problem(t)
		if p.Status != 400 || !strings.Contains(p.Detail, want) || strings.Contains(p.Detail, "event") {
			t.Errorf("%s: got %+v; want %s", body, p, want)
		}
	}
}

// publicKey is a key as it is sent.
var publicKey = base64.StdEncoding.EncodeToString(publicOf(keyFor("press")))

func TestTheLastOperatorIsNotRevokedByOneWhoseTokenEnds(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	for _, body := range []string{
		fmt.Sprintf(`{"name":"b","role":"operator","expires":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339)),
		fmt.Sprintf(`{"name":"c","role":"operator","public":%q}`, publicKey),
	} {
		var made access.GrantResponse
		got := ask(t, s, "POST", "/v1/access/grants", body, isJSON, bearer(c.operator))
		if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.StatusCode != 200 {
			t.Fatalf("%s: got %d %s (%v)", body, got.StatusCode, got.body, err)
		}
		by := bearer(c.operator)
		if made.Token != "" {
			by = "Authorization: Bearer " + made.Token
		}
		if got := ask(t, s, "DELETE", "/v1/access/grants/"+c.operator.ID, "", by); got.StatusCode != 409 ||
			!strings.Contains(got.body, "only operator") {
			t.Errorf("%s: got %d %s", body, got.StatusCode, got.body)
		}
	}
	if got := ask(t, s, "GET", "/v1/access", "", bearer(c.operator)); got.StatusCode != 200 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestKeysAreShownToAnyReader(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	id := score.KeyID(publicOf(c.private))
	list, one := ask(t, s, "GET", "/v1/keys", ""), ask(t, s, "GET", "/v1/keys/"+id, "")
	var key access.KeyView
	err := json.Unmarshal([]byte(one.body), &key)
	if err != nil || string(key.Public) != string(publicOf(c.private)) || key.Name != "bard/assurancetourix" {
		t.Errorf("got %d %s (%v)", one.StatusCode, one.body, err)
	}
	if list.StatusCode != 200 || !strings.Contains(list.body, id) || strings.Contains(list.body, c.operator.ID) {
		t.Errorf("got %d %s", list.StatusCode, list.body)
	}
	for _, no := range []string{c.operator.ID, "nosuch"} {
		if got := ask(t, s, "GET", "/v1/keys/"+no, ""); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d %s", no, got.StatusCode, got.body)
		}
	}
}

func TestAuditTrailNamesTheOperatorOfEachChange(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	for _, one := range []struct{ method, path, body string }{
		{"POST", "/v1/cluster/members", `{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004"}`},
		{"POST", "/v1/cluster/transfer", `{"to":"f2"}`},
		{"PUT", "/v1/cluster/settings/cache_mode", `{"value":"pull"}`},
		{"POST", "/v1/access/grants", `{"name":"feed/one","role":"bard","rate":5}`},
	} {
		if got := ask(t, s, one.method, one.path, one.body, isJSON, bearer(c.operator)); got.StatusCode != 200 {
			t.Fatalf("%s %s: got %d %s", one.method, one.path, got.StatusCode, got.body)
		}
	}
	if got := ask(t, s, "DELETE", "/v1/cluster/members/f4?force", "", bearer(c.operator)); got.StatusCode != 200 {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	got := ask(t, s, "GET", "/v1/audit?after=11", "", bearer(c.operator))
	var page access.AuditPage
	if err := json.Unmarshal([]byte(got.body), &page); err != nil || len(page.Audit) != 5 {
		t.Fatalf("got %s (%v)", got.body, err)
	}
	for i, want := range []string{"added f4", "leadership to f2", "cache_mode was push; now it is pull", "feed/one",
		"f4 to leave (force: true)"} {
		if line := page.Audit[i]; line.By != "caesar" || !strings.Contains(line.What, want) {
			t.Errorf("line %d: %+v; want %q by caesar", i, line, want)
		}
	}
	first := ask(t, s, "GET", "/v1/audit?limit=2", "", bearer(c.operator))
	if !strings.Contains(first.body, `"next":"fake-2"`) {
		t.Errorf("got %s", first.body)
	}
	for _, bad := range []string{"?after=x", "?limit=0", "?x=1"} {
		if got := ask(t, s, "GET", "/v1/audit"+bad, "", bearer(c.operator)); got.StatusCode != 400 {
			t.Errorf("%s: got %d", bad, got.StatusCode)
		}
	}
}
