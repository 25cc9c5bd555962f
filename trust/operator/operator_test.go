package operator

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

func TestWhatAnOperatorSignsIsOneTextOfOneChange(t *testing.T) {
	const want = "laurel change 1\ngames\n7\n" + `{"at":"2026-02-09T10:00:00Z","by":"getafix","revoke":"feed"}`
	for _, change := range []string{
		`{"at":"2026-02-09T10:00:00Z","by":"getafix","revoke":"feed"}`,
		`{"revoke":"feed","by":"getafix","at":"2026-02-09T10:00:00Z"}`,
	} {
		if form, err := Form("games", 7, []byte(change)); err != nil || string(form) != want {
			t.Errorf("%s is signed as %q, %v", change, form, err)
		}
	}
	for _, change := range []string{
		"", "{", `{"by":"\u0067etafix"}`, `{"number":1.0}`, `{"by":"a","by":"b"}`, `{"by":"a"} {}`,
	} {
		if form, err := Form("games", 7, []byte(change)); err == nil {
			t.Errorf("%q is signed as %q", change, form)
		}
	}
	for _, lineage := range []string{"", "games\n8", "GAMES"} {
		if _, err := Form(lineage, 7, []byte("{}")); !errors.Is(err, ErrLineage) {
			t.Errorf("for the store %q: %v", lineage, err)
		}
	}
}

func TestTheFingerprintOfAKeyIsItsSHA256(t *testing.T) {
	const want = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925" // of 32 zeros
	if got := Fingerprint(make(ed25519.PublicKey, 32)); got != want {
		t.Errorf("got %s", got)
	}
}

// FuzzForm checks that two changes, numbers and stores are never signed as one text.
func FuzzForm(f *testing.F) {
	f.Add("games", uint64(1), []byte(`{"a":1}`), "games", uint64(11), []byte(`{"a":1}`))
	f.Add("games1", uint64(1), []byte(`{"a":1}`), "games", uint64(11), []byte(`{"b":{"x":[1,2]}}`))
	f.Fuzz(func(t *testing.T, l1 string, n1 uint64, c1 []byte, l2 string, n2 uint64, c2 []byte) {
		one, err1 := Form(l1, n1, c1)
		two, err2 := Form(l2, n2, c2)
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			return
		}
		if l1 != l2 || n1 != n2 || len(c1) != len(c2) {
			t.Fatalf("%s %d %s and %s %d %s are both signed as %q", l1, n1, c1, l2, n2, c2, one)
		}
	})
}
