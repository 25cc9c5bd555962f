package httpapi

import (
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/fsm"
	"laurel/httpapi/admission"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// signedText returns the body of a request with a change that the holder of a key has signed.
func signedText(t *testing.T, key ed25519.PrivateKey, number uint64, c access.Change) string {
	t.Helper()
	text, err := json.Marshal(signedChange(t, key, number, c))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func signedChange(t *testing.T, key ed25519.PrivateKey, number uint64, c access.Change) *access.SignedChange {
	t.Helper()
	c.At, c.By = time.Now().UTC(), "getafix"
	signed, err := access.Sign(key, testLineage, number, c)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// newSwornAPI returns the interface of a sworn group whose operator has the key.
func newSwornAPI(t *testing.T, key ed25519.PrivateKey) (*testMember, *API) {
	t.Helper()
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	g := &testMember{id: "f1", store: &testStore{Machine: m, t: t}}
	now := time.Now().UTC()
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("f", ed25519.SeedSize)))
	err = g.ChangeSigned(t.Context(), &access.SignedChange{Change: access.Change{At: now, By: "f1",
		Sworn: &access.SwornChange{Found: &access.Founding{
			Operator: publicOf(key), Name: "getafix", Frontend: access.RosterEntry{Name: "f1", Key: publicOf(other)},
		}},
	}})
	for _, s := range []access.Setting{
		{Name: access.SettingLineage, Value: testLineage}, {Name: access.SettingIncarnation, Value: "i1"},
	} {
		if err == nil {
			err = g.ChangeAccess(t.Context(), access.Change{At: now, By: "f1", Setting: &s})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	o.Logger, o.Verify = slog.New(slog.DiscardHandler), new(signing.Verifier).VerifyEvent
	o.CallerOf, o.PublicHost = callerOf, testHost
	o.Registry = prometheus.NewRegistry()
	return g, newPatientAPI(t, groupOf(g), o)
}

func TestASignedChangeNeedsNoTokenAndAnUnsignedOneFillsNoLog(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	g, a := newSwornAPI(t, key)
	s := serve(t, a, a.Handler())
	const path = "/v1/roster/changes"
	grant := access.Change{Grant: &access.Grant{
		ID: score.KeyID(publicOf(key)), Name: "bard/cacofonix", Role: access.RoleBard, Public: publicOf(key),
	}}
	stranger := ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", ed25519.SeedSize)))
	before, applied := refusals(a, string(admission.ReasonSignature)), g.store.Applied()
	for what, body := range map[string]string{
		"by a stranger": signedText(t, stranger, 1, grant),
		"altered":       strings.Replace(signedText(t, key, 1, grant), "cacofonix", "impostor", 1),
		"unsigned":      `{"change":{"at":"2026-02-09T10:00:00Z","by":"getafix","revoke":"x"},"number":1,"key":"","signature":""}`,
	} {
		if got := ask(t, s, "POST", path, body, isJSON); got.StatusCode != http.StatusForbidden ||
			!strings.Contains(got.body, `"code":"unsigned"`) {
			t.Errorf("%s: got %d %s", what, got.StatusCode, got.body)
		}
	}
	if n := refusals(a, string(admission.ReasonSignature)) - before; n != 3 || g.store.Applied() != applied {
		t.Errorf("%v refusals were counted, and %d entries are in the log", n, g.store.Applied()-applied)
	}
	for _, body := range []string{"", "[]", `{"change":{}}`, `{"change":{"x":1},"number":1}`} {
		if got := ask(t, s, "POST", path, body, isJSON); got.StatusCode != 400 && got.StatusCode != 403 {
			t.Errorf("%q: got %d %s", body, got.StatusCode, got.body)
		}
	}
	signed := signedText(t, key, 5, grant)
	for range 2 { // the answer to the first may be lost
		if got := ask(t, s, "POST", path, signed, isJSON); got.StatusCode != http.StatusOK ||
			!strings.Contains(got.body, `"number":5`) {
			t.Errorf("got %d %s", got.StatusCode, got.body)
		}
	}
	if len(g.Access().Grants) != 1 {
		t.Errorf("the grants are %+v", g.Access().Grants)
	}
	if got := ask(t, s, "GET", "/v1/roster", "", "Accept: text/plain"); got.StatusCode != 200 ||
		!strings.Contains(got.body, "getafix") || !strings.Contains(got.body, "f1") {
		t.Errorf("the roster is %d %s", got.StatusCode, got.body)
	}
}

func TestWhatEverybodyCanSendFillsNoLog(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	sworn, a := newSwornAPI(t, key)
	open, b := newTestAPI(t, Options{})
	swornServer, openServer := serve(t, a, a.Handler()), serve(t, b, b.Handler())
	const path = "/v1/roster/changes"
	enter := func(number uint64, name string) string {
		entry := &access.RosterEntry{Name: name, Key: publicOf(ed25519.NewKeyFromSeed([]byte(strings.Repeat(name[1:], 32))))}
		return signedText(t, key, number, access.Change{Sworn: &access.SwornChange{Frontend: entry}})
	}
	// The roster shows both to everybody, with their signatures.
	before, last := enter(5, "f2"), enter(6, "f3")
	for _, text := range []string{before, last} {
		if got := ask(t, swornServer, "POST", path, text, isJSON); got.StatusCode != http.StatusOK {
			t.Fatalf("got %d %s", got.StatusCode, got.body)
		}
	}
	for what, c := range map[string]struct {
		server *httptest.Server
		of     *testMember
		text   string
		status int
	}{
		"an older change again":            {swornServer, sworn, before, http.StatusConflict},
		"the last change again":            {swornServer, sworn, last, http.StatusOK},
		"one to a group that is not sworn": {openServer, open, before, http.StatusConflict},
	} {
		applied := c.of.store.Applied()
		if got := ask(t, c.server, "POST", path, c.text, isJSON); got.StatusCode != c.status {
			t.Errorf("%s: got %d %s", what, got.StatusCode, got.body)
		}
		if n := c.of.store.Applied() - applied; n != 0 {
			t.Errorf("%s: %d entries are in the log", what, n)
		}
	}
}
