package httpapi

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
	"laurel/witness"
)

const vouchNonce = "0123456789abcdef"

// newVoucher returns a frontend of a sworn group, and what its readers know of it.
func newVoucher(t testing.TB, o Options) (*testMember, *API, *witness.Policy) {
	t.Helper()
	g, a := newTestAPI(t, o)
	g.witness = witnessKey(t, 1)
	p := &witness.Policy{Store: "gaul", Until: time.Now().Add(time.Hour), Quorum: 1,
		Frontends: []witness.Frontend{g.witness.Frontend()}}
	return g, a, p
}

func witnessKey(t testing.TB, seed byte) *witness.Key {
	t.Helper()
	key, err := witness.NewKey("f1", ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize))))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func vouchBody(t testing.TB, question string, revision uint64) string {
	t.Helper()
	body, err := json.Marshal(witness.Question{Question: question, Nonce: vouchNonce, Revision: revision})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAVouchIsWhatGETAnswersByteForByte(t *testing.T) {
	g, a, p := newVoucher(t, Options{})
	s := serve(t, a, a.Handler())
	for _, q := range []string{
		"/v1/scores/" + contest, "/v1/scores", "/v1/scores?limit=1", "/v1/scores?find=curl&section=live",
		"/v1/medals/OG50BC", "/v1/medals/OG50BC/GAU", "/v1/timeline/" + contest, "/v1/startlist/" + contest,
		"/v1/leaderboard/" + race, "/v1/leaderboard/" + race + "?around=2888&limit=3",
		"/v1/leaderboard/" + race + "?split=finish&limit=2", "/v1/bards/bard/cacofonix", "/v1/bards/bard/cacofonix?after=0",
		// What there is not.
		"/v1/scores/OG50BC/NO", "/v1/medals/NO", "/v1/medals/OG50BC/XXX", "/v1/leaderboard/OG50BC/NO",
		"/v1/leaderboard/" + race + "?around=nobody", "/v1/timeline/OG50BC/NO", "/v1/scores/..", "/v1/records",
	} {
		plain := ask(t, s, "GET", q, "")
		got := ask(t, s, "POST", "/v1/vouch", vouchBody(t, q, 0), isJSON)
		var said witness.Statement
		if err := json.Unmarshal([]byte(got.body), &said); got.StatusCode != http.StatusOK || err != nil {
			t.Errorf("%s: %d %s", q, got.StatusCode, got.body)
			continue
		}
		if said.Body != plain.body || said.Status != plain.StatusCode || said.Revision != g.store.Revision() {
			t.Errorf("%s: got %d at revision %d\n%s\nGET answers %d\n%s", q, said.Status, said.Revision, said.Body,
				plain.StatusCode, plain.body)
		}
		if err := p.VerifyVouch(&witness.Question{Question: q, Nonce: vouchNonce}, &said); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestAFrontendVouchesForItsOwnStateWithoutItsMaster(t *testing.T) {
	g, a, _ := newVoucher(t, Options{})
	g.elsewhere.Store(true) // no lease, and nobody to forward to
	s := serve(t, a, a.Handler())
	if got := ask(t, s, "POST", "/v1/vouch", vouchBody(t, "/v1/scores/"+contest, 0), isJSON); got.StatusCode != http.StatusOK {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestAFrontendVouchesForNothingBeforeItHasCaughtUp(t *testing.T) {
	g, a, _ := newVoucher(t, Options{})
	g.unknown = true
	s := serve(t, a, a.Handler())
	for _, q := range []string{"/v1/scores/" + contest, "/v1/scores/OG50BC/NO", "/v1/leaderboard/" + race} {
		got := ask(t, s, "POST", "/v1/vouch", vouchBody(t, q, 0), isJSON)
		if got.StatusCode != http.StatusServiceUnavailable || strings.Contains(got.body, "signature") {
			t.Errorf("%s: got %d %s", q, got.StatusCode, got.body)
		}
	}
}

func TestAVouchWaitsForTheRevisionThatIsNamed(t *testing.T) {
	g, a, _ := newVoucher(t, Options{})
	s := serve(t, a, a.Handler())
	now := g.store.Revision()
	done := make(chan witness.Statement)
	body := vouchBody(t, "/v1/leaderboard/"+race+"?around=12", now+1)
	go func() {
		defer close(done) // ask may end this goroutine
		var said witness.Statement
		got := ask(t, s, "POST", "/v1/vouch", body, isJSON)
		if err := json.Unmarshal([]byte(got.body), &said); err != nil {
			t.Errorf("got %s", got.body)
		}
		done <- said
	}()
	for len(a.catchingUp) == 0 {
		select {
		case said := <-done:
			t.Fatalf("it is answered at once: %+v", said)
		case <-time.After(time.Millisecond):
		}
	}
	g.store.setMark("12", 9000)
	if said := <-done; said.Revision != now+1 || said.Status != http.StatusOK {
		t.Errorf("got %+v; want revision %d", said, now+1)
	}
}

func TestAVouchNamesTheRevisionThatThereIsIfTheOtherDoesNotCome(t *testing.T) {
	g, a, _ := newVoucher(t, Options{})
	s := serve(t, a, a.Handler())
	// All that may wait do, so that this one does not.
	for range maxCatchingUp {
		a.catchingUp <- struct{}{}
	}
	got := ask(t, s, "POST", "/v1/vouch", vouchBody(t, "/v1/scores/"+contest, 1<<60), isJSON)
	if want := fmt.Sprintf(`"revision":%d,`, g.store.Revision()); got.StatusCode != http.StatusOK || !strings.Contains(got.body, want) {
		t.Errorf("got %d %s; want %s", got.StatusCode, got.body, want)
	}
}

func TestAVouchThatIsMalformedIsRefused(t *testing.T) {
	_, a, _ := newVoucher(t, Options{})
	s := serve(t, a, a.Handler())
	for what, body := range map[string]string{
		"no nonce":              `{"question":"/v1/scores"}`,
		"a short nonce":         `{"question":"/v1/scores","nonce":"0123456789abcde"}`,
		"a long nonce":          `{"question":"/v1/scores","nonce":"` + strings.Repeat("n", 65) + `"}`,
		"a long question":       `{"question":"/v1/scores?find=` + strings.Repeat("n", 1024) + `","nonce":"0123456789abcdef"}`,
		"a line break":          `{"question":"/v1/scores\nbody","nonce":"0123456789abcdef"}`,
		"another member":        `{"question":"/v1/scores","nonce":"0123456789abcdef","store":"x"}`,
		"no path":               `{"question":"scores","nonce":"0123456789abcdef"}`,
		"a URL":                 `{"question":"http://a/v1/scores","nonce":"0123456789abcdef"}`,
		"a wrong parameter":     `{"question":"/v1/scores?limit=0","nonce":"0123456789abcdef"}`,
		"an unknown parameter":  `{"question":"/v1/scores?x=y","nonce":"0123456789abcdef"}`,
		"a negative revision":   `{"question":"/v1/scores","nonce":"0123456789abcdef","revision":-1}`,
		"nothing":               ``,
		"something else":        `[]`,
		"an escape of nonsense": `{"question":"/v1/scores/%zz","nonce":"0123456789abcdef"}`,
	} {
		if got := ask(t, s, "POST", "/v1/vouch", body, isJSON); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
		}
	}
}

func TestNobodyVouchesInAGroupThatIsNotSworn(t *testing.T) {
	g, a, _ := newVoucher(t, Options{})
	g.witness = nil
	s := serve(t, a, a.Handler())
	got := ask(t, s, "POST", "/v1/vouch", vouchBody(t, "/v1/scores", 0), isJSON)
	if got.StatusCode != http.StatusNotFound || !strings.Contains(got.body, "not sworn") {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestAVouchOfAPrivateGroupIsForItsReaders(t *testing.T) {
	g, a, _ := newVoucher(t, Options{})
	c := newGuardedGroup(t, g)
	w := &way{addr: serveAPI(t, a, true)}
	body := vouchBody(t, "/v1/scores/"+contest, 0)
	post := func(fields ...string) string {
		t.Helper()
		got, _ := w.send(t, "POST /v1/vouch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+
			fmt.Sprintf("Content-Length: %d\r\n", len(body))+strings.Join(append(fields, ""), "\r\n")+"\r\n"+body, 1)
		return got
	}
	for _, private := range []string{"false", "true"} {
		g.store.change(access.SettingPrivate, private)
		want := "HTTP/1.1 200 "
		if private == "true" {
			want = "HTTP/1.1 401 "
		}
		if got := post(); !strings.HasPrefix(got, want) {
			t.Errorf("private %s: anybody got %.300s", private, got)
		}
		if got := post(bearer(c.reader)); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("private %s: a reader got %.300s", private, got)
		}
	}
}
