package verify

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/score"
	"laurel/witness"
)

// group is four frontends, each of which answers every question as it is told.
type group struct {
	policy *witness.Policy
	keys   []*witness.Key
	urls   []string
	tell   [4]func(w http.ResponseWriter, r *http.Request, q *witness.Question) *witness.Statement
	asked  atomic.Int64
}

func newGroup(t *testing.T) *group {
	t.Helper()
	g := &group{policy: &witness.Policy{Store: "gaul", Quorum: 3, Until: time.Now().Add(time.Hour)}}
	for i := range g.tell {
		key, err := witness.NewKey(fmt.Sprintf("f%d", i+1), ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+i)), 32))))
		if err != nil {
			t.Fatal(err)
		}
		g.keys = append(g.keys, key)
		g.policy.Frontends = append(g.policy.Frontends, key.Frontend())
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(i, w, r) }))
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		g.urls = append(g.urls, s.URL)
		g.tell[i] = says(200, 7, `{"n":1}`)
	}
	return g
}

func (g *group) serve(i int, w http.ResponseWriter, r *http.Request) {
	g.asked.Add(1)
	var q witness.Question
	if err := json.UnmarshalRead(r.Body, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := g.tell[i](w, r, &q)
	if s == nil {
		return
	}
	s.Store = "gaul"
	if err := g.keys[i].Vouch(&q, s); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.MarshalWrite(w, s)
}

func says(status int, revision uint64, body string) func(http.ResponseWriter, *http.Request, *witness.Question) *witness.Statement {
	return func(_ http.ResponseWriter, _ *http.Request, q *witness.Question) *witness.Statement {
		return &witness.Statement{Status: status, Revision: max(revision, q.Revision), Body: body}
	}
}

func hangs(_ http.ResponseWriter, r *http.Request, _ *witness.Question) *witness.Statement {
	<-r.Context().Done()
	return nil
}

func refuses(w http.ResponseWriter, _ *http.Request, _ *witness.Question) *witness.Statement {
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"code":"not_ready","status":503,"detail":"not yet"}`))
	return nil
}

func (g *group) reader(t *testing.T) *Reader {
	t.Helper()
	c := patientClient(t, g.urls)
	r := New(c, g.policy)
	r.Timeout = patience
	return r
}

// patience bounds each read, for the machine may be busy.
const patience = time.Minute

// patientClient returns a client of some frontends. Its own transport would give up a connection
// after a second.
func patientClient(t *testing.T, urls []string) *client.Client {
	t.Helper()
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(urls, client.Options{AttemptTimeout: patience, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// endsWhen returns a context that ends as if a timeout had passed, once a condition holds.
func endsWhen(t *testing.T, holds func() bool) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for ; !holds() && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		}
		cancel(context.DeadlineExceeded)
	}()
	return ctx
}

func TestAnAnswerOfThreeDoesNotWaitForTheFourth(t *testing.T) {
	g := newGroup(t)
	g.tell[1] = hangs
	a, err := g.reader(t).Get(t.Context(), "/v1/scores", nil)
	if err != nil || string(a.Body) != `{"n":1}` || a.Revision != 7 || strings.Join(a.Agreed, " ") != "f1 f3 f4" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if len(a.Objectors) != 1 || a.Objectors[0].Frontend != "f2" || a.Objectors[0].URL != g.urls[1] || a.Objectors[0].Err != ErrSilent {
		t.Errorf("it names %v", a.Objectors)
	}
}

func TestFrontendsAreAskedAgainUntilTheyAgree(t *testing.T) {
	g := newGroup(t)
	for i := range g.tell {
		var times atomic.Int64
		g.tell[i] = func(w http.ResponseWriter, r *http.Request, q *witness.Question) *witness.Statement {
			// Each comes to revision 9 at another time, and one never does.
			if n := times.Add(1); i == 3 || n <= int64(2*i) {
				return says(200, 5+uint64(i), fmt.Sprint(i))(w, r, &witness.Question{})
			}
			return says(200, 9, "new")(w, r, q)
		}
	}
	a, err := g.reader(t).Get(t.Context(), "/v1/scores", nil)
	if err != nil || string(a.Body) != "new" || a.Revision != 9 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestWhyNothingCanBeVerifiedIsSaid(t *testing.T) {
	g := newGroup(t)
	g.tell[1], g.tell[2], g.tell[3] = says(200, 7, "other"), hangs, refuses
	var times [4]atomic.Int64
	for i, tell := range g.tell {
		g.tell[i] = func(w http.ResponseWriter, r *http.Request, q *witness.Question) *witness.Statement {
			times[i].Add(1)
			return tell(w, r, q)
		}
	}
	// A frontend that is asked again has been heard.
	ctx := endsWhen(t, func() bool { return min(times[0].Load(), times[1].Load(), times[3].Load()) > 1 })
	_, err := g.reader(t).Get(ctx, "/v1/scores", nil)
	none, ok := errors.AsType[*NoQuorumError](err)
	if !ok || len(none.Opinions) != 2 || none.Quorum != 3 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"f1 gave one", "f2 gave one", "f3: did not", "f4: did not", g.urls[3] + ": not_ready"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q:\n%v", want, err)
		}
	}
}

func TestWhatAllSayThereIsNotIsAProblem(t *testing.T) {
	g := newGroup(t)
	for i := range g.tell {
		g.tell[i] = says(404, 7, `{"code":"not_found","status":404,"detail":"no"}`)
	}
	r := g.reader(t)
	r.Grace = patience // all answer, but not at the same moment
	a, err := r.Get(t.Context(), "/v1/scores/x", nil)
	if score.CodeOf(err) != score.NotFound || a == nil || len(a.Agreed) != 4 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestNobodyIsAskedByAPolicyThatHasExpired(t *testing.T) {
	g := newGroup(t)
	g.policy.Until = time.Now().Add(-time.Hour)
	_, err := g.reader(t).Get(t.Context(), "/v1/scores", nil)
	if !errors.Is(err, witness.ErrExpired) || g.asked.Load() != 0 {
		t.Errorf("%d were asked, %v", g.asked.Load(), err)
	}
}

func TestAReadEndsWithItsContext(t *testing.T) {
	g := newGroup(t)
	for i := range g.tell {
		g.tell[i] = hangs
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := g.reader(t).Get(ctx, "/v1/scores", nil); err == nil {
		t.Error("it has an answer of nobody")
	}
}
