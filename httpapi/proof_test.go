package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/internal/testwitness"
	"laurel/trust/access"
	"laurel/witness"
)

// newCertifier returns a frontend of a group whose answers are certified as GET gives them.
func newCertifier(t testing.TB, keys ...string) (*testMember, *API, *testwitness.Group) {
	t.Helper()
	certified := testwitness.New(t, "gaul")
	g, a := newTestAPI(t, Options{})
	a.proofs.Certifier = certified
	bodies := map[string]string{}
	s := serve(t, a, a.Handler())
	for _, key := range keys {
		bodies[key] = ask(t, s, "GET", "/v1/"+key, "").body
	}
	certified.Certify(bodies)
	return g, a, certified
}

func TestAProofIsOfWhatGETAnswersByteForByte(t *testing.T) {
	keys := []string{"scores/" + contest, "medals/OG50BC", "bards/bard/cacofonix", "roster", "keys"}
	_, a, certified := newCertifier(t, keys...)
	for _, h := range []struct {
		name    string
		handler http.Handler
	}{{"at the port of clients", a.Handler()}, {"forwarded", a.ForwardedHandler()}} {
		s := serve(t, a, h.handler)
		for _, key := range append(keys, "scores/OG50BC/NO", "medals/NO", "bards/bard/nobody") {
			var plain *readResponse
			got := ask(t, s, "GET", "/v1/proof/"+key, "", forwarded)
			var proven witness.Proven
			if err := json.Unmarshal([]byte(got.body), &proven); got.StatusCode != http.StatusOK || err != nil {
				t.Errorf("%s %s: %d %s", key, h.name, got.StatusCode, got.body)
				continue
			}
			var body []byte
			if proven.Answer != nil {
				body = []byte(*proven.Answer)
				if plain = ask(t, s, "GET", "/v1/"+key, "", forwarded); *proven.Answer != plain.body {
					t.Errorf("%s %s: %q; GET answers %q", key, h.name, body, plain.body)
				}
			}
			r := witness.Reader{Policy: certified.Policy}
			if _, _, err := r.Verify(key, body, proven.Proof, time.Now()); err != nil {
				t.Errorf("%s %s: %v", key, h.name, err)
			}
		}
	}
}

func TestThereAreNoProofsOfListsAndOtherAnswers(t *testing.T) {
	_, a, _ := newCertifier(t)
	s := serve(t, a, a.Handler())
	for path, want := range map[string]int{
		"scores": 404, "scores/": 404, "medals": 404, "medals/OG50BC/GAU": 404, "leaderboard/" + race: 404,
		"timeline/" + contest: 404, "access": 404, "x": 404, "bards/": 404, "scores/a..b//": 404, "scores/x?limit=3": 400,
	} {
		if got := ask(t, s, "GET", "/v1/proof/"+path, ""); got.StatusCode != want || strings.Contains(got.body, "tlog") {
			t.Errorf("%s: %d %s; want %d", path, got.StatusCode, got.body, want)
		}
	}
}

func TestAReaderThatHasAProofIsToldSoWithoutIt(t *testing.T) {
	const path = "/v1/proof/scores/" + contest
	_, a, certified := newCertifier(t, "scores/"+contest)
	s := serve(t, a, a.Handler())
	const text = "Accept: text/plain"
	for _, way := range [][]string{{"GET", path}, {"GET", path, text}, {"GET", "/v1/checkpoint"}} {
		got := ask(t, s, way[0], way[1], "", way[2:]...)
		tag := "If-None-Match: " + got.Header.Get("Etag")
		if got.Header.Get("Cache-Control") != "no-cache" || len(tag) < 25 {
			t.Errorf("%q has the header fields %v", way, got.Header)
		}
		if again := ask(t, s, way[0], way[1], "", append(way[2:], tag)...); again.StatusCode != http.StatusNotModified || again.body != "" {
			t.Errorf("%q again: %d %s", way, again.StatusCode, again.body)
		}
		certified.Certify(map[string]string{"scores/" + contest: time.Now().String()})
		if again := ask(t, s, way[0], way[1], "", append(way[2:], tag)...); again.StatusCode != http.StatusOK || again.body == got.body {
			t.Errorf("%q after the next round: %d %s", way, again.StatusCode, again.body)
		}
	}
}

func TestTheTextOfAProofIsThatForOtherPrograms(t *testing.T) {
	_, a, _ := newCertifier(t, "medals/OG50BC")
	s := serve(t, a, a.Handler())
	got := ask(t, s, "GET", "/v1/proof/medals/OG50BC", "", "Accept: text/plain")
	if _, err := witness.ParseProof(got.body); err != nil || got.Header.Get("Vary") != "Accept" {
		t.Errorf("%v: %v\n%s", err, got.Header, got.body)
	}
	got = ask(t, s, "GET", "/v1/checkpoint", "")
	if !strings.HasPrefix(got.body, "laurel/gaul\n1\n") {
		t.Errorf("the checkpoint is\n%s", got.body)
	}
}

func TestNobodyCertifiesInAGroupThatIsNotSworn(t *testing.T) {
	_, a := newTestAPI(t, Options{})
	s := serve(t, a, a.Handler())
	for _, path := range []string{"proof/medals/OG50BC", "checkpoint"} {
		got := ask(t, s, "GET", "/v1/"+path, "")
		if got.StatusCode != http.StatusNotFound || !strings.Contains(got.body, "not sworn") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestProofsOfAPrivateGroupAreForItsReaders(t *testing.T) {
	g, a, _ := newCertifier(t, "medals/OG50BC")
	c := newGuardedGroup(t, g)
	w := &way{addr: serveAPI(t, a, true)}
	g.store.change(access.SettingPrivate, "true")
	for _, path := range []string{"proof/medals/OG50BC", "checkpoint"} {
		get := func(fields string) string {
			t.Helper()
			got, _ := w.send(t, "GET /v1/"+path+" HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n", 1)
			return got
		}
		if got := get(""); !strings.HasPrefix(got, "HTTP/1.1 401 ") {
			t.Errorf("%s: anybody got %.300s", path, got)
		}
		if got := get(bearer(c.reader) + "\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "no-cache, private") {
			t.Errorf("%s: a reader got %.300s", path, got)
		}
	}
}
