package fsm

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// verified returns events as a frontend has them that has verified their signatures.
func verified(t *testing.T, m *Machine, events []score.Event) []score.Event {
	t.Helper()
	events = slices.Clone(events)
	for i := range events {
		g := m.Access().Grants[events[i].Key]
		if p := m.Verifier().VerifyEvent(g.Public, testLineage, &events[i]); p != nil {
			t.Fatal(p)
		}
	}
	return events
}

// applyBytes applies a post, given as bytes, as the next log entry.
func applyBytes(t *testing.T, m *Machine, post entry.EncodedPost) []score.Result {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, entry.Encode([]entry.EncodedPost{post})}}, index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0][0]
}

// A frontend takes its own word that it has verified a post, so a false word shows for what
// it is taken.
func TestOnlyThePostThatWasVerifiedHereIsNotVerifiedAgain(t *testing.T) {
	forged := signedAlert(t, 1, "bard/a", 1, "rain")
	forged.Data = &score.Alert{Text: "sun"}
	forged.VerifiedBy = testKey(1).Public().(ed25519.PublicKey)
	other := forged
	other.Data = &score.Alert{Text: "hail"}
	for name, c := range map[string]struct {
		expected, applied score.Event
		forget            bool
		want              string
	}{
		"the post itself":   {forged, forged, false, score.Applied},
		"another post":      {other, forged, false, string(score.Unauthorized)},
		"a forgotten post":  {forged, forged, true, string(score.Unauthorized)},
		"an unverified one": {unverified(forged), forged, false, string(score.Unauthorized)},
		"by another key":    {byKey(forged, 2), forged, false, string(score.Unauthorized)},
		"for another store": {forStore(forged, "rehearsal"), forged, false, string(score.Unauthorized)},
	} {
		m := guardedMachine(t)
		own := m.Expect(encodePost(t, singlePost(c.expected)))
		if c.forget {
			own.Forget()
		}
		r := applyBytes(t, m, encodePost(t, singlePost(c.applied)))[0]
		got := r.Status
		if r.Problem != nil {
			got = string(r.Problem.Code)
		}
		if got != c.want {
			t.Errorf("%s: got %s; want %s", name, got, c.want)
		}
	}
}

func unverified(e score.Event) score.Event {
	e.VerifiedBy = nil
	return e
}

func byKey(e score.Event, n byte) score.Event {
	e.VerifiedBy = testKey(n).Public().(ed25519.PublicKey)
	return e
}

func forStore(e score.Event, lineage string) score.Event {
	e.Lineage = lineage
	return e
}

// A post with one event that was not verified is verified as a whole.
func TestAPostThatWasVerifiedInPartIsVerifiedAgain(t *testing.T) {
	m := guardedMachine(t)
	events := signEvents(t, 1, []score.Event{
		unsignedAlert(1, "bard/a", 1, "rain"), unsignedAlert(1, "bard/a", 2, "sun"),
	})
	events = verified(t, m, events)
	events[1].Data, events[1].VerifiedBy = &score.Alert{Text: "hail"}, nil
	post := encodePost(t, score.Post{Events: events, Mode: score.UntilRefused})
	defer m.Expect(post).Forget()
	results := applyBytes(t, m, post)
	if results[0].Status != score.Applied || results[1].Problem == nil || results[1].Problem.Code != score.Unauthorized {
		t.Errorf("got %+v", results)
	}
}

// The frontend that takes a post in must come to the state of all others, which verify the
// post for the first time when they apply it.
func TestAnExpectedPostIsAppliedAsEverywhereElse(t *testing.T) {
	here, elsewhere := guardedMachine(t), guardedMachine(t)
	for _, m := range []*Machine{here, elsewhere} {
		mustChange(t, m, access.Change{Grant: keyGrant(3, "bard/games")})
	}
	events := slices.Concat(readStream(t, "worldcup2026", 500), readStream(t, "curling", 500), readStream(t, "marathon", 500))
	zones := []*time.Location{time.UTC, time.FixedZone("", 19800), time.FixedZone("", -12600), time.FixedZone("x", 0)}
	for i := range events {
		e := &events[i]
		e.IDGiven, e.Source, e.Seq, e.TimeGiven = true, "bard/games", uint64(i)+1, true
		e.Time = e.Time.In(zones[i%len(zones)]).Add(time.Duration(i%3) * time.Millisecond)
	}
	for part := range slices.Chunk(signEvents(t, 3, events), 300) {
		post := encodePost(t, score.Post{Events: verified(t, here, part), Mode: score.UntilRefused})
		if len(post.Signers) != 1 {
			t.Fatalf("the post has the signers %v", post.Signers)
		}
		own := here.Expect(post)
		a, b := applyBytes(t, here, post), applyBytes(t, elsewhere, post)
		own.Forget()
		if len(a) != len(part) || len(b) != len(part) || a[len(a)-1].Status != score.Applied {
			t.Fatalf("%d and %d of %d events have results: %+v", len(a), len(b), len(part), a[len(a)-1])
		}
	}
	if stateOf(t, here) != stateOf(t, elsewhere) {
		t.Error("the states differ")
	}
}

// Data that are not in the stored form are refused by all, also by the frontend that verified them.
func TestAnExpectedPostMustBeCanonical(t *testing.T) {
	signed := signedAlert(t, 1, "bard/a", 1, "rain")
	for _, text := range []string{`{"text":"rain"}`, `{"text":"rain" }`, `{"text":"ra\u0069n"}`} {
		e := entry.Event{Event: signed, JSON: []byte(text)}
		e.Data = nil
		if got, want := e.IsSignable(), text == `{"text":"rain"}`; got != want {
			t.Errorf("%s can be signed: %t; want %t", text, got, want)
		}
	}
}
