package httpapi

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"laurel/httpapi/admission"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// guardedGroup is a group with access control, with tokens and keys of callers.
type guardedGroup struct {
	group *testMember

	operator, bard, reader, revoked, expired access.BearerToken

	private      ed25519.PrivateKey // of bard/assurancetourix
	other        ed25519.PrivateKey // of bard/other
	unregistered ed25519.PrivateKey
}

func keyFor(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

func publicOf(k ed25519.PrivateKey) []byte { return k.Public().(ed25519.PublicKey) }

// bardToken is the token of bard/cacofonix in every guarded group.
var bardToken = access.NewBearerToken()

func newGuardedGroup(t testing.TB, g *testMember) *guardedGroup {
	t.Helper()
	c := &guardedGroup{
		group:        g,
		operator:     access.NewBearerToken(),
		bard:         bardToken,
		reader:       access.NewBearerToken(),
		revoked:      access.NewBearerToken(),
		expired:      access.NewBearerToken(),
		private:      keyFor("bard"),
		other:        keyFor("other"),
		unregistered: keyFor("unregistered"),
	}
	now := time.Now().UTC()
	byToken := func(b access.BearerToken, name string, role access.Role) *access.Grant {
		g := &access.Grant{Name: name, Role: role}
		g.SetToken(b)
		return g
	}
	byKey := func(k ed25519.PrivateKey, name string) *access.Grant {
		return &access.Grant{ID: score.KeyID(publicOf(k)), Name: name, Role: access.RoleBard, Public: publicOf(k)}
	}
	bard, expired := byToken(c.bard, "bard/cacofonix", access.RoleBard), byToken(c.expired, "bard/old", access.RoleBard)
	bard.Competitions = []string{"OG50BC"}
	expired.Expires = now.Add(-time.Hour)
	signer := byKey(c.private, "bard/assurancetourix")
	signer.Types = []score.Type{score.TypeAlert}
	for _, change := range []access.Change{
		{Guard: true},
		{Grant: byToken(c.operator, "caesar", access.RoleOperator)},
		{Grant: bard},
		{Grant: byToken(c.reader, "spectator", access.RoleReader)},
		{Grant: byToken(c.revoked, "bard/fired", access.RoleBard)},
		{Revoke: c.revoked.ID},
		{Grant: expired},
		{Grant: signer},
		{Grant: byKey(c.other, "bard/other")},
	} {
		change.At, change.By = now, "test"
		if err := g.ChangeAccess(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func bearer(b access.BearerToken) string { return "Authorization: Bearer " + b.Text() }

// guardedServer serves a guarded group over TCP.
func guardedServer(t testing.TB, o Options) (*guardedGroup, *API, *httptest.Server) {
	g, a := newTestAPI(t, o)
	c := newGuardedGroup(t, g)
	return c, a, serve(t, a, a.Handler())
}

// refusals returns the number of refusals that the metrics count for a reason.
func refusals(a *API, reason string) (n float64) {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(a.options.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	_, rest, _ := strings.Cut(w.Body.String(), `laurel_http_refused_total{reason="`+reason+`"} `)
	_, _ = fmt.Sscan(rest, &n) // 0 if it was never counted
	return n
}

func TestEveryRouteHasAPermission(t *testing.T) {
	c, a, s := guardedServer(t, Options{})
	c.group.store.change(access.SettingPrivate, "true")
	for _, rt := range a.clientServer().routes() {
		path := strings.NewReplacer(
			"{contest:.+}", "OG50BC/CUR-M-GPA-01",
			"{competition}", "OG50BC",
			"{organisation:.+}", "GAU",
			"{source:.+}", "bard/cacofonix",
			"{id}", "f9",
			"{file}", "x.js",
		).Replace(rt.pattern)
		name := rt.method + " " + path
		anonymous, bard := ask(t, s, rt.method, path, "").StatusCode, 0
		if rt.permit != admission.PermitWatch { // the answer to an authorized watcher has no end
			bard = ask(t, s, rt.method, path, "", bearer(c.bard)).StatusCode
		}
		switch rt.permit {
		case admission.PermitAll:
			if anonymous == http.StatusUnauthorized {
				t.Errorf("%s: without a token: got %d", name, anonymous)
			}
		case admission.PermitRead, admission.PermitWatch, admission.PermitMetrics:
			if anonymous != http.StatusUnauthorized {
				t.Errorf("%s: without a token: got %d; want 401", name, anonymous)
			}
		case admission.PermitPost, admission.PermitEnroll, admission.PermitSigned:
			if anonymous == http.StatusOK {
				t.Errorf("%s: without a token: got %d", name, anonymous)
			}
		case admission.PermitOperate, admission.PermitJoin, admission.PermitLeave:
			if anonymous != http.StatusUnauthorized || bard != http.StatusForbidden {
				t.Errorf("%s: without a token: got %d, as a bard %d; want 401 and 403", name, anonymous, bard)
			}
		default:
			t.Errorf("%s has no permission", name)
		}
	}
	if len(c.group.members) > 0 || len(c.group.events()) > 0 {
		t.Errorf("refused requests had effects: %v, %d events", c.group.members, len(c.group.events()))
	}
}

func TestInvalidTokenIsRefusedAndCountedAndNeverShown(t *testing.T) {
	var log logBuffer
	r := prometheus.NewRegistry()
	g := &testMember{id: "f1", store: newStore(t)}
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a := newPatientAPI(t, groupOf(g), Options{Registry: r, Logger: logger})
	c := newGuardedGroup(t, g)
	s := serve(t, a, a.Handler())
	wrong := c.operator
	wrong.Secret = c.bard.Secret
	unknown := access.NewBearerToken()
	for _, one := range []struct {
		name, header, reason string
	}{
		{"unknown", bearer(unknown), "unknown_token"},
		{"another's secret", bearer(wrong), "unknown_token"},
		{"revoked", bearer(c.revoked), "revoked"},
		{"expired", bearer(c.expired), "expired"},
		{"malformed", "Authorization: Bearer " + c.operator.Text()[:40], "malformed_token"},
		{"basic", "Authorization: Basic " + c.operator.Text(), "malformed_token"},
		{
			"a key's id",
			"Authorization: Bearer laurel-token-1." + score.KeyID(publicOf(c.private)) + "." + c.operator.Secret,
			"unknown_token",
		},
	} {
		before := refusals(a, one.reason)
		got := ask(t, s, "GET", "/v1/access", "", one.header)
		counted := refusals(a, one.reason) - before
		if got.StatusCode != http.StatusUnauthorized || got.Header.Get("Www-Authenticate") == "" || counted != 1 {
			t.Errorf("%s: got %d, %q, counted %v; want 401 and 1 %s", one.name, got.StatusCode, got.Header, counted, one.reason)
		}
		_, secret, _ := strings.Cut(one.header, "laurel-token-1.")
		if strings.Contains(got.body, secret) {
			t.Errorf("%s: the answer has the token: %s", one.name, got.body)
		}
	}
	for _, header := range []string{"Authorization", "authorization"} {
		req, _ := http.NewRequest("GET", s.URL+"/v1/access", nil)
		req.Header["Authorization"] = []string{"Bearer " + c.operator.Text()}
		req.Header[header] = append(req.Header[header], "Bearer "+c.operator.Text())
		if res, err := s.Client().Do(req); err != nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("two header fields: got %v, %v", res, err)
		}
	}
	if got := ask(t, s, "GET", "/v1/access", "", bearer(c.operator)); got.StatusCode != http.StatusOK {
		t.Errorf("the right token: got %d %s", got.StatusCode, got.body)
	}
	for _, path := range []string{
		"/v1/scores?token=" + c.operator.Text(),
		"/v1/scores?access_token=" + c.operator.Text(),
		"/v1/scores?x=" + c.operator.Text(),
		"/v1/events?tok%65n=" + c.operator.Text(),
		"/v1/scores?x=laurel%2D" + c.operator.Text()[len("laurel-"):],
		"/v1/keys/" + c.operator.Text(),
		"/v1/keys/laurel%2D" + c.operator.Text()[len("laurel-"):],
		"/v1/scores/" + c.operator.Text(),
		"/v1/leaderboard/" + c.operator.Text(),
		"/" + c.operator.Text(),
		"/v1/access/grants/" + c.operator.Text(),
	} {
		got := ask(t, s, "GET", path, "")
		if got.StatusCode/100 != 4 || strings.Contains(got.body, c.operator.Secret) {
			t.Errorf("%s: got %d %s", path, got.StatusCode, got.body)
		}
	}
	post := ask(t, s, "POST", "/v1/events?token="+c.operator.Text(), alert("", ""), isJSON, bearer(c.bard))
	if post.StatusCode != http.StatusBadRequest || len(g.events()) > 0 {
		t.Errorf("a post with a token in its URL: got %d %s", post.StatusCode, post.body)
	}
	revoked := ask(t, s, "DELETE", "/v1/access/grants/"+c.operator.Text(), "", bearer(c.operator))
	if revoked.StatusCode != http.StatusBadRequest || strings.Contains(revoked.body, c.operator.Secret[:3]) {
		t.Errorf("a token in the place of its id: got %d %s", revoked.StatusCode, revoked.body)
	}
	if n := refusals(a, "token_in_url"); n != 13 {
		t.Errorf("counted %v tokens in URLs; want 13", n)
	}
	var page bytes.Buffer
	page.WriteString(ask(t, s, "GET", "/metrics", "").body)
	for _, b := range []access.BearerToken{c.operator, c.bard, c.revoked, c.expired, unknown} {
		if strings.Contains(log.String(), b.Secret) || strings.Contains(page.String(), b.Secret) {
			t.Error("a secret is in the log or the metrics")
		}
	}
}

func TestTokenInTheClearIsAcceptedOnlyFromThisMachine(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	c := newGuardedGroup(t, g)
	for addr, want := range map[string]int{
		"192.0.2.7:999":     http.StatusUnauthorized,
		"127.0.0.1:999":     http.StatusOK,
		"[::1]:999":         http.StatusOK,
		"[2001:db8::1]:999": http.StatusUnauthorized,
	} {
		r := httptest.NewRequest("GET", "/v1/access", nil)
		r.RemoteAddr = addr
		r.Header.Set("Authorization", "Bearer "+c.operator.Text())
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s: got %d %s; want %d", addr, w.Code, w.Body, want)
		}
	}
	if n := refusals(a, "token_in_clear"); n != 2 {
		t.Errorf("counted %v; want 2", n)
	}
}

// testLineage is the lineage of the store of a guarded group.
const testLineage = "gaul"

// signedEvent returns a signed event, and the same as JSON.
func signedEvent(t testing.TB, key ed25519.PrivateKey, source string, seq uint64, text string) (score.Event, string) {
	t.Helper()
	e := []score.Event{{
		ID:        fmt.Sprintf("%s-%d", strings.ReplaceAll(source, "/", "-"), seq),
		Source:    source,
		Seq:       seq,
		Type:      score.TypeAlert,
		Time:      time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC),
		ContestID: "OG50BC/CUR-M-GPA-01",
		Data:      &score.Alert{Text: text},
		TimeGiven: true,
		IDGiven:   true,
	}}
	if err := signing.Sign(key, testLineage, e); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(&e[0])
	if err != nil {
		t.Fatal(err)
	}
	return e[0], string(b)
}

func TestEventIsAcceptedOnlyFromAnAuthorizedCaller(t *testing.T) {
	const mine = "bard/assurancetourix"
	for _, fast := range []bool{false, true} {
		c, a, _ := guardedServer(t, Options{})
		addr := serveAPI(t, a, fast)
		first, good := signedEvent(t, c.private, mine, 1, "clack")
		second, _ := signedEvent(t, c.private, mine, 2, "clonk")
		swapped := first
		swapped.Signature = second.Signature
		bySwapped, _ := json.Marshal(&swapped)
		_, unregistered := signedEvent(t, c.unregistered, mine, 1, "clack")
		_, others := signedEvent(t, c.other, mine, 1, "clack")
		stolen := strings.Replace(others, score.KeyID(publicOf(c.other)), score.KeyID(publicOf(c.private)), 1)
		wrongType := strings.NewReplacer(
			`"type":"alert"`, `"type":"contest.status"`,
			`"data":{"text":"clack"}`, `"data":{"period":"END1"}`,
		).Replace(good)
		alertFrom := func(id, source string) string {
			return strings.Replace(alert(id, ""), `{"id"`, `{"source":"`+source+`","id"`, 1)
		}
		for _, one := range []struct {
			name, body string
			token      *access.BearerToken
			status     int
			reason     string
		}{
			{"signed", good, nil, 200, ""},
			{"replayed", good, nil, 200, ""}, // the store answers duplicate
			{"unsigned", alert("a", ""), nil, 401, "unsigned"},
			{"altered", strings.Replace(good, "clack", "clink", 1), nil, 401, "signature"},
			{"altered source", strings.Replace(good, mine, mine+"/2", 1), nil, 401, "signature"},
			{"altered time", strings.Replace(good, "10:00", "10:01", 1), nil, 401, "signature"},
			{"altered seq", strings.Replace(good, `"seq":1`, `"seq":3`, 1), nil, 401, "signature"},
			{"signature swapped", string(bySwapped), nil, 401, "signature"},
			{"key unknown", unregistered, nil, 401, "unknown_token"},
			{"another's key", others, nil, 403, "event_forbidden"},
			{"another's key renamed", stolen, nil, 401, "signature"},
			{"a type without permission", wrongType, nil, 403, "event_forbidden"},
			{"by token", alert("b", ""), &c.bard, 200, ""},
			{"by token in another's name", alertFrom("c", "bard/other"), &c.bard, 403, "event_forbidden"},
			{
				"by token for another competition",
				strings.Replace(alert("c", ""), "OG50BC", "OG54BC", 1), &c.bard, 403, "event_forbidden",
			},
			{"by a reader", alert("d", ""), &c.reader, 403, "event_forbidden"},
			{"by a revoked bard", alert("e", ""), &c.revoked, 401, "revoked"},
			{"by an expired bard", alert("f", ""), &c.expired, 401, "expired"},
			{"by an operator", alertFrom("g", "bard/anyone"), &c.operator, 200, ""},
			{"signed, with a token", good, &c.reader, 200, ""},
		} {
			before := 0.0
			if one.reason != "" {
				before = refusals(a, one.reason)
			}
			fields := []string{isJSON}
			if one.token != nil {
				fields = append(fields, bearer(*one.token))
			}
			got, _ := (&way{addr: addr}).send(t, rawPost(one.body, fields...), 1)
			if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", one.status)) {
				t.Errorf("%s (fast path %t): want %d, got %s", one.name, fast, one.status, got)
			}
			if one.reason != "" && refusals(a, one.reason) != before+1 {
				t.Errorf("%s (fast path %t): not counted as %s", one.name, fast, one.reason)
			}
		}
		var posted []string
		for _, e := range c.group.events() {
			posted = append(posted, e.Source+" "+e.Key+" "+e.Token)
		}
		signed := mine + " " + first.Key + " "
		want := []string{signed, signed, "bard/cacofonix  " + c.bard.ID, "bard/anyone  " + c.operator.ID, signed}
		if !slices.Equal(posted, want) {
			t.Errorf("the store got %q; want %q", posted, want)
		}
	}
}

// serveAPI serves an API with or without the fast path.
func serveAPI(t testing.TB, a *API, fast bool) string {
	t.Helper()
	if !fast {
		return serve(t, a, a.Handler()).Listener.Addr().String()
	}
	return serveFront(t, a)
}

func TestStreamEndsAtTheFirstUnauthorizedEvent(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	_, first := signedEvent(t, c.private, "bard/assurancetourix", 1, "one")
	_, second := signedEvent(t, c.private, "bard/assurancetourix", 2, "two")
	_, third := signedEvent(t, c.private, "bard/assurancetourix", 3, "three")
	got := ask(t, s, "POST", "/v1/events", first+"\n"+strings.Replace(second, "two", "TWO", 1)+"\n"+third+"\n", isNDJSON)
	lines := strings.Split(strings.TrimSpace(got.body), "\n")
	if got.StatusCode != 200 || len(lines) != 2 || !strings.Contains(lines[0], score.Applied) ||
		!strings.Contains(lines[1], `"code":"unauthorized"`) || !strings.Contains(lines[1], `"index":1`) {
		t.Errorf("got %d\n%s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "POST", "/v1/events", alert("a", "")+"\n", isNDJSON); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("an anonymous stream: got %d %s", got.StatusCode, got.body)
	}
	got = ask(t, s, "POST", "/v1/events", alert("a", "")+"\n"+alert("b", "")+"\n", isNDJSON, bearer(c.bard))
	if got.StatusCode != 200 || strings.Count(got.body, score.Applied) != 2 {
		t.Errorf("a stream with a token: got %d %s", got.StatusCode, got.body)
	}
	if n := len(c.group.events()); n != 3 {
		t.Errorf("the store got %d events; want 3", n)
	}
}

func TestOpenStoreAcceptsEventsWithoutOrWithInvalidTokens(t *testing.T) {
	g, s := start(t)
	for _, headers := range [][]string{{isJSON}, {isJSON, "Authorization: Bearer nonsense"}, {isJSON, bearer(access.NewBearerToken())}} {
		if got := ask(t, s, "POST", "/v1/events", alert("", ""), headers...); got.StatusCode != 200 {
			t.Errorf("%v: got %d %s", headers, got.StatusCode, got.body)
		}
	}
	for _, e := range g.events() {
		if e.Source != "anonymous" || e.Token != "" {
			t.Errorf("got %+v", e)
		}
	}
	if got := ask(t, s, "POST", "/v1/cluster/transfer", ""); got.StatusCode != 200 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestFrontendOfASecureGroupIsGuardedFromTheStart(t *testing.T) {
	g, a := newTestAPI(t, Options{Options: admission.Options{Secure: true}})
	s := serve(t, a, a.Handler())
	if got := ask(t, s, "POST", "/v1/events", alert("", ""), isJSON); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "POST", "/v1/cluster/transfer", ""); got.StatusCode != http.StatusUnauthorized || len(g.members) > 0 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestPrivateGroupShowsNothingToAnonymousCallers(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	g.keeps = true
	c := newGuardedGroup(t, g)
	g.store.change(access.SettingPrivate, "true")
	for _, fast := range []bool{false, true} {
		addr := serveAPI(t, a, fast)
		for _, path := range []string{
			"/v1/scores/" + contest, "/v1/scores", "/v1/timeline/" + contest, "/v1/medals/OG50BC",
			"/v1/medals/OG50BC/GAU", "/v1/bards/bard/cacofonix", "/v1/frontends", "/v1/cluster", "/v1/keys",
			"/v1/watch", "/", "/metrics", "/v1/scores?max_stale",
		} {
			for range 2 { // the second time it is in memory
				for _, fields := range [][]string{nil, {"Accept: text/html"}} {
					got, _ := (&way{addr: addr}).send(t, rawGet(path, fields...), 1)
					if !strings.HasPrefix(got, "HTTP/1.1 401 ") {
						t.Errorf("%s (fast path %t): an anonymous caller got %.300s", path, fast, got)
					}
					if path == "/v1/watch" {
						continue
					}
					got, _ = (&way{addr: addr}).send(t, rawGet(path, append(fields, bearer(c.reader))...), 1)
					if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
						t.Errorf("%s (fast path %t): a reader got %.300s", path, fast, got)
					}
				}
			}
		}
	}
}
