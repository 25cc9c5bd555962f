package signing_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
	"laurel/trust/signing"
)

// lineage is that of the store for which events are signed.
const lineage = "games50bc"

// keyOf returns the same key for the same name.
func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(private ed25519.PrivateKey) ed25519.PublicKey {
	return private.Public().(ed25519.PublicKey)
}

// someEvents returns n events with a seq each.
func someEvents(t testing.TB, n int) []score.Event {
	t.Helper()
	events := make([]score.Event, n)
	for i := range events {
		text := fmt.Sprintf(`{"id":"a-%06d","source":"bard/a","seq":%d,"type":"score.play",`+
			`"time":"2026-02-09T09:19:%02d.5-04:00","contest_id":"OG50BC/M-01","data":{"action":"GOAL","athlete":"Astérix","clock":"19'","competitor":"GAU","delta":%d.25,"period":"H1","result":{"GAU":%d.5,"ROM":0},"stats_delta":{"corners":1}}}`, i+1, i+1, i%60, i, i)
		e, p := score.Decode([]byte(text))
		if p != nil {
			t.Fatal(p)
		}
		events[i] = e
	}
	return events
}

func signed(t testing.TB, private ed25519.PrivateKey, n int) []score.Event {
	t.Helper()
	events := someEvents(t, n)
	if err := signing.Sign(private, lineage, events); err != nil {
		t.Fatal(err)
	}
	return events
}

func formOf(t testing.TB, e *score.Event) []byte {
	t.Helper()
	form, err := signing.Form(e)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

func TestTheFormIsTheCanonicalJSONOfTheEvent(t *testing.T) {
	e := someEvents(t, 1)[0]
	e.Key = "0123456789abcdef"
	want := `{"contest_id":"OG50BC/M-01","data":{"action":"GOAL","athlete":"Astérix","clock":"19'","competitor":"GAU","delta":0.25,"period":"H1","result":{"GAU":0.5,"ROM":0},"stats_delta":{"corners":1}},"id":"a-000001","key":"0123456789abcdef","seq":1,"source":"bard/a","time":"2026-02-09T09:19:00.5-04:00","type":"score.play"}`
	if got := string(formOf(t, &e)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// canonicalOf returns the form of e, made with a library for RFC 8785.
func canonicalOf(t testing.TB, e *score.Event) []byte {
	t.Helper()
	data, err := score.MarshalData(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(struct {
		Data      jsontext.Value `json:"data"`
		Type      score.Type     `json:"type"`
		ID        string         `json:"id"`
		Source    string         `json:"source"`
		Seq       uint64         `json:"seq"`
		Time      time.Time      `json:"time"`
		ContestID string         `json:"contest_id"`
		Key       string         `json:"key"`
	}{data, e.Type, e.ID, e.Source, e.Seq, e.Time, e.ContestID, e.Key})
	if err != nil {
		t.Fatal(err)
	}
	v := jsontext.Value(b)
	if err := v.Canonicalize(); err != nil {
		t.Fatal(err)
	}
	return v
}

// games returns the lines of the Games in the tree, one event each.
func games(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile("../../testdata/games/og50bc.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

func TestTheFormOfEveryEventOfTheGamesIsThatOfRFC8785(t *testing.T) {
	for i, line := range games(t) {
		e, p := score.Decode(line)
		if p != nil {
			t.Fatal(p)
		}
		e.Source, e.Seq, e.Key = "bard/og50bc", uint64(i+1), "0123456789abcdef"
		if form, want := formOf(t, &e), canonicalOf(t, &e); !bytes.Equal(form, want) {
			t.Fatalf("line %d:\ngot  %s\nwant %s", i+1, form, want)
		}
	}
}

func TestNamesAreOrderedByUTF16(t *testing.T) {
	e := someEvents(t, 1)[0]
	e.Key = "k"
	// U+1F600 is above U+FB33, but before it in UTF-16.
	e.Data = &score.ScoreSet{Result: score.Totals{
		{Code: "\ufb33"}, {Code: "\U0001f600"}, {Code: "a\"b"}, {Code: "a b"}, {Code: "a"}, {Code: "é"}, {Code: "a\\"},
	}}
	if form, want := formOf(t, &e), canonicalOf(t, &e); !bytes.Equal(form, want) {
		t.Errorf("got  %s\nwant %s", form, want)
	}
}

func TestDataInAnotherSpellingHasNoForm(t *testing.T) {
	e := someEvents(t, 1)[0]
	e.Key = "k"
	for _, data := range []string{``, ` {}`, `{} `, `{"a": 1}`, `{"a":1 }`, `{"a":1,"a":2}`, `{"b":1,"a":2,"b":1}`,
		`{"a":1,}`, `{,"a":1}`, `{"a"}`, `{"a":}`, `{"a":[1,]}`, `{"a":[1,,2]}`,
		`{"a":[1 ,2]}`, `{"a":{"b": 1}}`, `{"a":{"b":1,"b":1}}`, `[]`, `1`, `"a"`, `{"a":1}}`, `{"a":1`, `{"a`, `{"a\`, `{"a":"`, `{"a":9007199254740993}`, "{\"a\":\"\n\"}", `{"a":1:2}`, `{"a":1.0}`, `{"a":1e0}`, `{"a":-0}`, `{"a":"\u0041"}`, `{"a":"\/"}`} {
		if form, err := signing.FormOf(&e, []byte(data)); err == nil {
			t.Errorf("%s gave %s", data, form)
		}
	}
}

func TestIncompleteEventsCannotBeSigned(t *testing.T) {
	for what, change := range map[string]func(e *score.Event){
		"id":     func(e *score.Event) { e.ID = "" },
		"source": func(e *score.Event) { e.Source = "" },
		"seq":    func(e *score.Event) { e.Seq = 0 },
		"time":   func(e *score.Event) { e.Time = time.Time{} },
		"offset": func(e *score.Event) { e.Time = e.Time.In(time.FixedZone("", 3601)) },
	} {
		events := someEvents(t, 3)
		change(&events[1])
		if err := signing.Sign(keyOf("a"), lineage, events); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("without a good %s: %v", what, err)
		}
	}
	if err := signing.Sign(keyOf("a")[:10], lineage, someEvents(t, 1)); err == nil {
		t.Error("a short key signed")
	}
}

func TestEveryEventOfATreeIsVerifiedAloneAndInAnyOrder(t *testing.T) {
	private := keyOf("a")
	for _, n := range []int{1, 2, 3, 5, 64, 100, 256, 257, 600} {
		events := signed(t, private, n)
		forwards, backwards := new(signing.Verifier), new(signing.Verifier)
		for i := range events {
			j := len(events) - 1 - i
			if e := &events[i]; !forwards.Verify(publicOf(private), lineage, formOf(t, e), e.Signature) {
				t.Errorf("event %d of %d is refused", i, n)
			}
			if e := &events[i]; !new(signing.Verifier).Verify(publicOf(private), lineage, formOf(t, e), e.Signature) {
				t.Errorf("event %d of %d is refused by a new verifier", i, n)
			}
			if e := &events[j]; !backwards.Verify(publicOf(private), lineage, formOf(t, e), e.Signature) {
				t.Errorf("event %d of %d, from the end, is refused", j, n)
			}
		}
	}
}

// eachVerifier calls f with a new verifier, and with one that has verified all events.
func eachVerifier(
	t *testing.T, public ed25519.PublicKey, events []score.Event, f func(t *testing.T, v *signing.Verifier),
) {
	t.Run("new verifier", func(t *testing.T) { f(t, new(signing.Verifier)) })
	t.Run("cached tree", func(t *testing.T) {
		v := new(signing.Verifier)
		for i := range events {
			if !v.Verify(public, lineage, formOf(t, &events[i]), events[i].Signature) {
				t.Fatalf("event %d is refused", i)
			}
		}
		f(t, v)
	})
}

func TestEveryAlteredByteIsRefused(t *testing.T) {
	private := keyOf("a")
	events := signed(t, private, 5)
	eachVerifier(t, publicOf(private), events, func(t *testing.T, v *signing.Verifier) {
		for i := range events {
			form, signature := formOf(t, &events[i]), events[i].Signature
			for at := range form {
				altered := slices.Clone(form)
				altered[at] ^= 1
				if v.Verify(publicOf(private), lineage, altered, signature) {
					t.Fatalf("event %d: byte %d of the form, altered, is accepted", i, at)
				}
			}
			for at := range signature {
				for bit := range 8 {
					altered := slices.Clone(signature)
					altered[at] ^= 1 << bit
					if v.Verify(publicOf(private), lineage, form, altered) {
						t.Fatalf("event %d: byte %d of the signature, altered, is accepted", i, at)
					}
				}
			}
			for _, n := range []int{0, 1, 63, 64, 67, 68, len(signature) - 32, len(signature) - 1} {
				if n < len(signature) && v.Verify(publicOf(private), lineage, form, signature[:n]) {
					t.Fatalf("event %d: %d bytes of the signature are accepted", i, n)
				}
			}
			if v.Verify(publicOf(private), lineage, form, append(slices.Clone(signature), make([]byte, 32)...)) {
				t.Fatalf("event %d: a signature with a longer path is accepted", i)
			}
		}
	})
}

func TestSwappedSignaturesAreRefused(t *testing.T) {
	private := keyOf("a")
	events := signed(t, private, 7)
	others := someEvents(t, 7)[2:]
	if err := signing.Sign(private, lineage, others); err != nil {
		t.Fatal(err)
	}
	eachVerifier(t, publicOf(private), append(slices.Clone(events), others...),
		func(t *testing.T, v *signing.Verifier) {
			for i := range events {
				for j := range events {
					if i != j && v.Verify(publicOf(private), lineage, formOf(t, &events[i]), events[j].Signature) {
						t.Errorf("event %d is accepted with the signature of %d", i, j)
					}
				}
				for j := range others {
					if v.Verify(publicOf(private), lineage, formOf(t, &events[i]),
						others[j].Signature) != (others[j].ID == events[i].ID) {
						t.Errorf("event %d with the signature of another tree", i)
					}
				}
			}
		})
}

func TestTheSignatureOfAnotherKeyIsRefused(t *testing.T) {
	events := signed(t, keyOf("a"), 4)
	eachVerifier(t, publicOf(keyOf("a")), events, func(t *testing.T, v *signing.Verifier) {
		for i := range events {
			e := &events[i]
			if v.Verify(publicOf(keyOf("b")), lineage, formOf(t, e), e.Signature) || v.Verify(nil, lineage, formOf(t, e), e.Signature) {
				t.Errorf("event %d is accepted under another key", i)
			}
		}
	})
}

func TestAnEvictedTreeIsVerifiedAgain(t *testing.T) {
	private := keyOf("a")
	first := signed(t, private, 2)
	v := new(signing.Verifier)
	events := someEvents(t, 600)
	for i := range events {
		if err := signing.Sign(private, lineage, events[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		if !v.Verify(publicOf(private), lineage, formOf(t, &first[0]), first[0].Signature) ||
			!v.Verify(publicOf(private), lineage, formOf(t, &first[1]), first[1].Signature) ||
			v.Verify(publicOf(private), lineage, formOf(t, &first[1]), first[0].Signature) {
			t.Fatal("wrong result")
		}
	}
	check()
	for i := range events {
		if !v.Verify(publicOf(private), lineage, formOf(t, &events[i]), events[i].Signature) {
			t.Fatalf("event %d is refused", i)
		}
	}
	check()
}

// posted returns signed events as they are posted.
func posted(t testing.TB, events []score.Event) (all [][]byte) {
	t.Helper()
	for i := range events {
		all = append(all, signing.EventJSON(formOf(t, &events[i]), lineage, events[i].Signature))
	}
	return all
}

func TestASignedEventIsPostedAsItsFormWithTheSignature(t *testing.T) {
	private := keyOf("a")
	events := signed(t, private, 300)
	written := posted(t, events)
	v := new(signing.Verifier)
	for i := range written {
		e, p := score.Decode(written[i])
		if p != nil {
			t.Fatalf("%s: %v", written[i], p)
		}
		if !bytes.Equal(e.Signature, events[i].Signature) || e.Key != events[i].Key || e.ID != events[i].ID ||
			!e.IDGiven || !e.TimeGiven {
			t.Fatalf("%s was read as %+v", written[i], e)
		}
		if !v.Verify(publicOf(private), lineage, formOf(t, &e), e.Signature) {
			t.Fatalf("%s is refused", written[i])
		}
	}
}

func TestDecodeNamesWhatASignedEventLacks(t *testing.T) {
	private := keyOf("a")
	events := signed(t, private, 3)
	written := posted(t, events)
	good, id := string(written[1]), events[1].Key
	without := func(name string) string {
		var members map[string]jsontext.Value
		if err := json.Unmarshal(written[1], &members); err != nil {
			t.Fatal(err)
		}
		delete(members, name)
		b, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	signature := func(b []byte) string {
		var members map[string]any
		if err := json.Unmarshal(written[1], &members); err != nil {
			t.Fatal(err)
		}
		members["signature"] = b
		again, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(again)
	}
	other := slices.Clone(events[1].Signature)
	other[65] = 2 // a tree of two
	beyond := slices.Clone(events[1].Signature)
	beyond[67] = 3
	for _, c := range []struct{ name, event, field, detail string }{
		{"a signature without a key", without("key"), "key",
			"missing beside the signature; want the id of the key, 16 hexadecimal digits"},
		{"a key without a signature", without("signature"), "signature", "missing beside the key; want it in base64"},
		{"an invalid key", strings.Replace(good, id, strings.ToUpper(id), 1), "key",
			"want the id of a key, 16 hexadecimal digits in lower case"},
		{"a key that is too long", strings.Replace(good, id, strings.Repeat(id, 100), 1), "key",
			"want the id of a key"},
		{"a signed event without an id", without("id"), "id",
			"missing; a signed event needs an id, a source, a seq and a time of the bard's own"},
		{"a signed event without a source", without("source"), "source", "missing beside seq"},
		{"a signed event without a seq", without("seq"), "seq", "missing; a signed event needs"},
		{"a signed event without a time", without("time"), "time", "missing; a signed event needs"},
		{"a signature that is not base64", strings.Replace(good, `"signature":"`, `"signature":"!`, 1), "signature",
			"want a string in base64"},
		{"a signature that is too short", signature(events[1].Signature[:67]), "signature",
			"has 67 bytes; a signature has 68 to 324"},
		{"a signature that is too long", signature(make([]byte, 325)), "signature",
			"has 325 bytes; a signature has 68 to 324"},
		{"a signature of no tree", signature(make([]byte, 68)), "signature", "is for event 0 of 0"},
		{"a signature of an event beyond its tree", signature(beyond), "signature", "is for event 3 of 3"},
		{"a path of another length", signature(other), "signature", "has 64 bytes for the path; event 1 of 2 has 32"},
		{"a signature that is a number", strings.Replace(without("signature"), `{`, `{"signature":5,`, 1), "signature",
			"got a number; want a string in base64"},
	} {
		if _, p := score.Decode([]byte(c.event)); p == nil || p.Field != c.field ||
			!strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: got %v; want %s: %s", c.name, p, c.field, c.detail)
		}
	}
	if _, p := score.Decode([]byte(good)); p != nil {
		t.Error(p)
	}
}

func TestTheProblemOfAWrongSignatureQuotesTheForm(t *testing.T) {
	e := signed(t, keyOf("a"), 1)[0]
	form := formOf(t, &e)
	if p := signing.WrongSignature(&e, form); !strings.Contains(p.Detail, string(form[:200])) ||
		p.Field != "signature" {
		t.Errorf("got %+v", p)
	}
	e.Data = &score.Alert{Text: strings.Repeat("é", 2000)}
	form = formOf(t, &e)
	p := signing.WrongSignature(&e, form)
	if len(p.Detail) > 500 || strings.ContainsRune(p.Detail, '\ufffd') || !strings.HasSuffix(p.Detail, "...") {
		t.Errorf("of a long event: %d bytes: %s", len(p.Detail), p.Detail)
	}
}

func TestASignatureIsForOneStore(t *testing.T) {
	private := keyOf("a")
	events := signed(t, private, 5)
	var v signing.Verifier
	for _, warm := range []bool{false, true} { // with and without the tree in the cache
		for i := range events {
			form, signature := formOf(t, &events[i]), events[i].Signature
			for _, other := range []string{"rehearsal", "", lineage + "1", lineage[1:], strings.ToUpper(lineage), lineage + "\n"} {
				if v.Verify(publicOf(private), other, form, signature) {
					t.Errorf("warm %t: event %d is valid for the store %q, too", warm, i, other)
				}
			}
			if warm && !v.Verify(publicOf(private), lineage, form, signature) {
				t.Errorf("event %d is not valid", i)
			}
		}
		if !v.Verify(publicOf(private), lineage, formOf(t, &events[0]), events[0].Signature) {
			t.Error("the signature is not valid for its own store")
		}
	}
}

func TestAnEventSignedForAnotherStoreIsRefusedWithBothNames(t *testing.T) {
	private := keyOf("a")
	e := signed(t, private, 1)[0]
	var v signing.Verifier
	if p := v.VerifyEvent(publicOf(private), lineage, &e); p != nil {
		t.Fatal(p)
	}
	p := v.VerifyEvent(publicOf(private), "rehearsal", &e)
	if p == nil || p.Field != "lineage" || !strings.Contains(p.Detail, `"`+lineage+`"`) ||
		!strings.Contains(p.Detail, `"rehearsal"`) {
		t.Errorf("got %v", p)
	}
	// It does not help to name the other store.
	e.Lineage = "rehearsal"
	if p := v.VerifyEvent(publicOf(private), "rehearsal", &e); p == nil || p.Field != "signature" {
		t.Errorf("got %v", p)
	}
}

func TestNothingIsSignedForAStoreWithoutALineage(t *testing.T) {
	for _, bad := range []string{"", "Games", "games 50", "games\n50", strings.Repeat("a", 33)} {
		if err := signing.Sign(keyOf("a"), bad, someEvents(t, 1)); err == nil || !strings.Contains(err.Error(), "lineage") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
