package client_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/trust/signing"
)

func privateKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("cacofonix"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// signingGroup is a group whose client has the key of bard/cacofonix.
func signingGroup(t *testing.T, n int) (*testgroup.Group, *client.Client) {
	t.Helper()
	g, c := group(t, n, withPatience(client.Options{Key: privateKey()}))
	g.Register("bard/cacofonix", privateKey().Public().(ed25519.PublicKey))
	return g, c
}

// alertOf returns an event of bard/cacofonix without an identity.
func alertOf(text string) score.Event {
	return score.Event{
		Source: "bard/cacofonix", Type: score.TypeAlert, ContestID: "OG50BC", Data: &score.Alert{Text: text},
	}
}

// checkSigned checks that all events are signed, and returns the number of signatures: a
// tree of events has one.
func checkSigned(t *testing.T, events []score.Event) (trees int) {
	t.Helper()
	public := privateKey().Public().(ed25519.PublicKey)
	var v signing.Verifier
	seen := map[string]bool{}
	for i := range events {
		form, err := signing.Form(&events[i])
		if err != nil || events[i].Key != score.KeyID(public) || !v.Verify(public, events[i].Lineage, form, events[i].Signature) {
			t.Fatalf("event %d is not signed: %+v, %v", i, events[i], err)
		}
		seen[string(events[i].Signature[:ed25519.SignatureSize])] = true
	}
	return len(seen)
}

func TestPostsOfAClientWithAKeyAreSigned(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 2)
	if _, err := c.Post(t.Context(), []score.Event{alertOf("one")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Post(t.Context(), []score.Event{alertOf("two"), alertOf("three")}); err != nil {
		t.Fatal(err)
	}
	got := g.Events("OG50BC")
	if trees := checkSigned(t, got); len(got) != 3 || trees != 2 {
		t.Errorf("%d events with %d signatures; want 3 with 2", len(got), trees)
	}
	if got[0].Seq != 1 || got[2].Seq != 3 || got[0].Time.IsZero() {
		t.Errorf("accepted %+v", got)
	}
}

func TestSignedPostWithoutASourceIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 1)
	e := alertOf("one")
	e.Source = ""
	if _, err := c.Post(t.Context(), []score.Event{e}); err == nil || !strings.Contains(err.Error(), "no source") {
		t.Errorf("got %v", err)
	}
	if _, err := client.New(g.URLs(), client.Options{Key: privateKey()[:32]}); err == nil {
		t.Error("half a key was accepted")
	}
}

func TestPostWhoseSeqWasTakenTakesTheNext(t *testing.T) {
	t.Parallel()
	// An attempt that was given up could still be under way beside the next one.
	patient := withPatience(client.Options{Key: privateKey()})
	g, c := group(t, 1, patient)
	g.Register("bard/cacofonix", privateKey().Public().(ed25519.PublicKey))
	other := newClient(t, patient, g.Frontends[0].URL)
	faster := 0
	g.Inject(func(_ *testgroup.Frontend, r *http.Request, e *score.Event) testgroup.Fault {
		// Twice, another client posts between the request for the last seq and the post.
		if e == nil && r.Method == http.MethodPost && faster < 2 {
			n := faster
			faster = 10
			if _, err := other.Post(t.Context(), []score.Event{alertOf("faster")}); err != nil {
				t.Error(err)
			}
			faster = n + 1
		}
		return testgroup.None
	})
	r, err := c.Post(t.Context(), []score.Event{alertOf("slower"), alertOf("slower too")})
	if err != nil || r[0].Seq != 3 || r[1].Seq != 4 {
		t.Errorf("got %+v, %v", r, err)
	}
	if got := g.Events("OG50BC"); len(got) != 4 || checkSigned(t, got) != 3 {
		t.Errorf("%d events", len(got))
	}
}

func TestSignedPostWhoseAnswerIsLostCountsOnce(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 2)
	g.Inject(func(_ *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
		if e != nil && len(g.Events("OG50BC")) == 0 { // a busy machine without a master may refuse the first
			return testgroup.CutAfter
		}
		return testgroup.None
	})
	r, err := c.Post(t.Context(), []score.Event{alertOf("one")})
	if err != nil || r[0].Status != score.Duplicate {
		t.Errorf("got %+v, %v", r, err)
	}
	if got := g.Events("OG50BC"); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
}

func TestStreamSignsManyEventsAtOnceAndKeepsTheirOrder(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 2)
	const n = 4000
	answered := 0
	s := c.Stream(t.Context(), client.StreamOptions{Answered: func(a client.Answer) {
		if answered++; a.Line.Number != answered || a.Result.Problem != nil {
			t.Errorf("the answer %d is %+v", answered, a)
		}
	}})
	for i := range n {
		e := alertOf("x")
		e.ID, e.Seq, e.Time = fmt.Sprintf("e-%d", i), uint64(i+1), time.Unix(int64(i), 0).UTC()
		if err := s.SendLine(client.Line{Event: &e, Number: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := g.Events("OG50BC")
	if trees := checkSigned(t, got); len(got) != n || trees > n/2 || answered != n {
		t.Errorf("%d events with %d signatures, %d answered", len(got), trees, answered)
	}
	for i := range got {
		if got[i].Seq != uint64(i+1) {
			t.Fatalf("event %d has the seq %d", i, got[i].Seq)
		}
	}
}

func TestSignedEventOfAStreamWaitsForNoOther(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 1)
	for _, window := range []int{0, 1, 2, 64} {
		before := len(g.Events("OG50BC"))
		answers := make(chan client.Answer)
		answered := func(a client.Answer) { answers <- a }
		s := c.Stream(t.Context(), client.StreamOptions{Window: window, Answered: answered})
		for i := range 3 {
			e := alertOf("x")
			e.Seq = uint64(before + i + 1)
			if err := s.Send(&e); err != nil {
				t.Fatal(err)
			}
			select {
			case a := <-answers:
				if a.Result.Status != score.Applied {
					t.Fatalf("got %+v", a)
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("no answer comes while no further event is sent")
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkSigned(t, g.Events("OG50BC"))
}

func TestStreamSendsJSONAsItIsAmongSignedEvents(t *testing.T) {
	t.Parallel()
	g, _ := signingGroup(t, 1)
	// The token authenticates the events that are not signed.
	token := g.NewToken("bard/cacofonix")
	c := newClient(t, client.Options{Key: privateKey(), Token: token}, g.URLs()...)
	s := c.Stream(t.Context(), client.StreamOptions{})
	for i := range 100 {
		e := alertOf("x")
		e.ID, e.Seq, e.Time = fmt.Sprintf("e-%d", i), uint64(i+1), time.Unix(5, 0).UTC()
		l := client.Line{Event: &e}
		if i%3 == 0 {
			const unsigned = `{"id":%q,"source":"bard/cacofonix","seq":%d,"type":"alert",` +
				`"contest_id":"OG50BC","data":{"text":"x"}}`
			l = client.Line{ID: e.ID, Seq: e.Seq, JSON: fmt.Appendf(nil, unsigned, e.ID, e.Seq)}
		}
		if err := s.SendLine(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := g.Events("OG50BC")
	signed := slices.DeleteFunc(slices.Clone(got), func(e score.Event) bool { return e.Seq%3 == 1 })
	if checkSigned(t, signed); len(got) != 100 || len(signed) != 66 {
		t.Errorf("%d events, %d of them signed", len(got), len(signed))
	}
}

func TestSignedStreamContinuesElsewhereWithTheSameSignatures(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 2)
	var mu sync.Mutex
	seen := 0
	g.Inject(func(_ *testgroup.Frontend, r *http.Request, e *score.Event) testgroup.Fault {
		mu.Lock()
		defer mu.Unlock()
		if e != nil {
			if seen++; seen%400 == 399 {
				return testgroup.CutAfter
			}
		}
		return testgroup.None
	})
	s := c.Stream(t.Context(), client.StreamOptions{Window: 256})
	for i := range 2000 {
		e := alertOf("x")
		e.Seq = uint64(i + 1)
		if err := s.Send(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := g.Events("OG50BC"); len(got) != 2000 {
		t.Errorf("%d events", len(got))
	}
	checkSigned(t, g.Events("OG50BC"))
	if s.Stats().Retries == 0 {
		t.Error("nothing broke")
	}
}

func TestStreamRefusesAtOnceWhatCannotBeSigned(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 1)
	s := c.Stream(t.Context(), client.StreamOptions{})
	e := alertOf("x") // without a seq
	if err := s.Send(&e); err == nil || !strings.Contains(err.Error(), "seq is missing") {
		t.Errorf("got %v", err)
	}
	e.Seq = 1
	if err := s.Send(&e); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkSigned(t, g.Events("OG50BC"))
}
