package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/client/verify"
	"laurel/internal/testwitness"
	"laurel/score"
	"laurel/witness"
)

const certifiedKey = "scores/OG50BC/CUR-1"

// proofLiar sits before a frontend, and alters the proofs that it gives.
type proofLiar struct {
	to     string // the frontend's URL
	server *httptest.Server
	lie    atomic.Pointer[proofLie]
	old    atomic.Pointer[witness.Proven] // the first that was given of the key
}

// proofLie answers, instead of with the given.
type proofLie func(l *proofLiar, w http.ResponseWriter, given witness.Proven)

func newProofLiar(t testing.TB, f *frontend) *proofLiar {
	t.Helper()
	to, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	l := &proofLiar{to: f.url}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell := l.lie.Load()
		if tell == nil || !strings.HasPrefix(r.URL.Path, "/v1/proof/") {
			proxy.ServeHTTP(w, r)
			return
		}
		given, err := l.given(strings.TrimPrefix(r.URL.Path, "/v1/proof/"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		l.old.CompareAndSwap(nil, &given)
		(*tell)(l, w, given)
	}))
	t.Cleanup(func() {
		l.server.CloseClientConnections()
		l.server.Close()
	})
	return l
}

// given returns what the frontend proves of a key.
func (l *proofLiar) given(key string) (given witness.Proven, err error) {
	r, err := http.Get(l.to + "/v1/proof/" + key)
	if err != nil {
		return given, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return given, fmt.Errorf("status %d", r.StatusCode)
	}
	return given, json.UnmarshalRead(r.Body, &given)
}

func saysProven(w http.ResponseWriter, given witness.Proven) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, &given)
}

// reproved answers with a proof that is changed.
func reproved(change func(p *witness.Proof)) proofLie {
	return func(_ *proofLiar, w http.ResponseWriter, given witness.Proven) {
		if p, err := witness.ParseProof(given.Proof); err == nil {
			change(p)
			given.Proof = p.String()
		}
		saysProven(w, given)
	}
}

// proofLies are what a frontend, or who sits before it, can make of a proof.
func proofLies(t testing.TB) map[string]proofLie {
	foreign := testwitness.New(t, "rome")
	foreign.Certify(map[string]string{certifiedKey: "{}\n"})
	// other answers for another key, with the answer of that or of this one.
	other := func(key string, own bool) proofLie {
		return func(l *proofLiar, w http.ResponseWriter, given witness.Proven) {
			if of, err := l.given(key); err == nil && own {
				given.Proof = of.Proof
			} else if err == nil {
				given = of
			}
			saysProven(w, given)
		}
	}
	return map[string]proofLie{
		"a body that is altered": func(_ *proofLiar, w http.ResponseWriter, given witness.Proven) {
			body := altered(*given.Answer)
			given.Answer = &body // the liar may keep the true one as an old answer
			saysProven(w, given)
		},
		"no body": func(_ *proofLiar, w http.ResponseWriter, given witness.Proven) {
			given.Answer = nil
			saysProven(w, given)
		},
		"another contest's answer":  other("scores/OG50BC/MAR", false),
		"another contest's proof":   other("scores/OG50BC/MAR", true),
		"neighbours of another key": other("scores/OG50BC/CUR-2", false),
		"an old proof":              func(l *proofLiar, w http.ResponseWriter, _ witness.Proven) { saysProven(w, *l.old.Load()) },
		"an old note": func(l *proofLiar, w http.ResponseWriter, given witness.Proven) {
			if old, err := witness.ParseProof(l.old.Load().Proof); err == nil {
				reproved(func(p *witness.Proof) { p.Note = old.Note })(l, w, given)
			}
		},
		"a cut path to the answer": reproved(func(p *witness.Proof) { p.Leaves[0].Path = p.Leaves[0].Path[1:] }),
		"a cut path to the round":  reproved(func(p *witness.Proof) { p.Path = p.Path[:len(p.Path)-1] }),
		"another revision":         reproved(func(p *witness.Proof) { p.Round.Revision++ }),
		"no certificate":           reproved(func(p *witness.Proof) { p.Note = nil }),
		"another store": func(_ *proofLiar, w http.ResponseWriter, _ witness.Proven) {
			body, proof, _ := foreign.Prove(t.Context(), certifiedKey)
			text := string(body)
			saysProven(w, witness.Proven{Answer: &text, Proof: proof})
		},
		"a huge proof": func(_ *proofLiar, w http.ResponseWriter, given witness.Proven) {
			given.Proof += strings.Repeat("x", 8<<20)
			saysProven(w, given)
		},
		"404": func(_ *proofLiar, w http.ResponseWriter, _ witness.Proven) {
			http.Error(w, `{"status":404,"code":"not_found","detail":"no"}`, http.StatusNotFound)
		},
		"junk": func(_ *proofLiar, w http.ResponseWriter, _ witness.Proven) { _, _ = w.Write([]byte(`{"answer":["`)) },
	}
}

func TestNoLieAboutACertificateIsAcceptedAndAnotherFrontendIsAsked(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	poster := g.client(g.urls()...)
	g.define(poster)
	liars := []*proofLiar{newProofLiar(t, g.master()), nil}
	urls := []string{liars[0].server.URL}
	for _, f := range g.frontends {
		switch {
		case f.url == liars[0].to:
		case liars[1] == nil:
			liars[1] = newProofLiar(t, f)
			urls = append(urls, liars[1].server.URL)
		default:
			urls = append(urls, f.url)
		}
	}
	reader, seen := g.client(urls...), filepath.Join(t.TempDir(), "seen")
	truths := []string{get(t, g.frontends[0].url+"/v1/"+certifiedKey).body}
	read := func(what string) (*verify.CertifiedAnswer, error) {
		// A reader stays with the frontend that gave a good answer, so each read has its own.
		a, err := verify.NewCertified(reader, g.policy, seen).Get(t.Context(), "/v1/"+certifiedKey, nil)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(truths, string(a.Body)) {
			t.Fatalf("%s: a reader accepted\n%s", what, a.Body)
		}
		if string(a.Body) != truths[len(truths)-1] {
			return nil, errors.New("the last event is not certified")
		}
		return a, nil
	}
	// A certificate of a moment ago, before the contest was whole, is no lie.
	eventually(t, "the contest is certified", func() error {
		a, err := verify.NewCertified(reader, g.policy, seen).Get(t.Context(), "/v1/"+certifiedKey, nil)
		if err == nil && string(a.Body) != truths[0] {
			err = fmt.Errorf("it has %s", a.Body)
		}
		return err
	})
	refused := 0
	for what, lie := range proofLies(t) {
		for n := range liars {
			for _, l := range liars[:n+1] {
				l.lie.Store(&lie)
			}
			e, p := score.Decode([]byte(`{"type":"score.play","contest_id":"OG50BC/CUR-1","data":{"competitor":"GAU","delta":1}}`))
			if p != nil {
				t.Fatal(p)
			}
			e.Source, e.Seq = "bard/desk", uint64(8+len(truths))
			g.post(poster, e)
			truths = append(truths, get(t, g.master().url+"/v1/"+certifiedKey).body)
			eventually(t, what+": the last event is read", func() error {
				a, err := read(what)
				if err != nil {
					return err
				}
				for _, o := range a.Objectors {
					if !slices.Contains([]string{urls[0], liars[1].server.URL}, o.URL) {
						t.Logf("%s: an honest frontend was refused: %v", what, o)
					}
					refused++
				}
				return nil
			})
		}
		for _, l := range liars {
			l.lie.Store(nil)
		}
	}
	if refused == 0 {
		t.Error("no liar was ever asked")
	}
	env := []string{"LAUREL_URL=" + strings.Join(urls, ","), "LAUREL_POLICY=" + g.policyFile, "XDG_CACHE_HOME=" + t.TempDir()}
	lie := proofLies(t)["a body that is altered"]
	liars[0].lie.Store(&lie)
	plain := commandEnv(t, []string{"LAUREL_URL=" + g.frontends[0].url}, "laurel", "scores", "OG50BC/CUR-1")
	eventually(t, "the command prints the certified answer", func() error {
		got := commandEnv(t, env, "laurel", "scores", "OG50BC/CUR-1", "--verify", "--policy-key", g.policyKey)
		if got.code != 0 || got.out != plain.out || !strings.Contains(got.err, "certified by ") {
			return fmt.Errorf("exit code %d\n%s%s\nwithout --verify\n%s", got.code, got.out, got.err, plain.out)
		}
		return nil
	})
}

func TestABardEndsWhenItsEventsAreCertified(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	var events strings.Builder
	for i := range 300 {
		fmt.Fprintf(&events, `{"source":"bard/desk","seq":%d,"type":"alert","time":"2026-02-09T10:00:00Z","contest_id":"OG50BC/CUR-1","data":{"text":"%d"}}`+"\n", i+1, i)
	}
	file := filepath.Join(g.dir, "events")
	if err := os.WriteFile(file, []byte(events.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"LAUREL_URL=" + strings.Join(g.urls(), ","), "LAUREL_POLICY=" + g.policyFile, "XDG_CACHE_HOME=" + t.TempDir()}
	for range 2 { // what the store has already is sent again
		sung := commandEnv(t, env, "bard", "sing", "--certified", "--key", filepath.Join(g.dir, "bard.key"), file)
		if sung.code != 0 || !strings.Contains(sung.out, "events 300") {
			t.Fatalf("exit code %d\n%s%s", sung.code, sung.out, sung.err)
		}
	}
	// The bard was told by one frontend; another one may have the certificate a moment later.
	eventually(t, "another frontend has the certificate", func() error {
		answer, _, err := g.verified(g.frontends[2], "bards/bard/desk")
		if err == nil && !strings.Contains(answer, `"last_seq":300`) {
			err = fmt.Errorf("certified is %s", answer)
		}
		return err
	})
}
