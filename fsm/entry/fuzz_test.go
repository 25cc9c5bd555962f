package entry

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// maxFuzzInput bounds the inputs: larger ones take time and find nothing else.
const maxFuzzInput = 1 << 14

// signedAlerts returns n alerts that are signed in one tree.
func signedAlerts(t testing.TB, n int) []score.Event {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	var events []score.Event
	for i := range n {
		e := alert(uint64(i) + 1)
		e.TimeGiven, e.Key = true, score.KeyID(key.Public().(ed25519.PublicKey))
		events = append(events, e)
	}
	if err := signing.Sign(key, "games", events); err != nil {
		t.Fatal(err)
	}
	return events
}

// FuzzDecode checks that an entry that can be decoded can be encoded, and decoded again
// to the same.
func FuzzDecode(f *testing.F) {
	f.Add(Encode([]EncodedPost{encodePost(f, alert(1), alert(2)), encodePost(f, alert(3))}))
	f.Add(Encode([]EncodedPost{encodePost(f, signedAlerts(f, 2)...)}))
	f.Add([]byte{firstVersion})
	f.Add([]byte{firstVersion, fieldChange << 3, 2})
	f.Add(EncodeSeal(1))
	f.Add(EncodeSeal(1 << 40))
	f.Add(InFormat(EncodeSeal(1<<40), access.NewestFormat))
	f.Add([]byte{firstVersion, fieldSeal<<3 | 2, 0})
	f.Add([]byte{firstVersion, fieldPost<<3 | 2, 4, fieldPostEvent<<3 | 2, 2, fieldVoids << 3, 1})
	at := time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)
	for _, c := range []access.Change{
		{At: at, By: "getafix", Guard: true},
		{At: at, By: "getafix", Revoke: "feed"},
		{At: at, By: "getafix", AddAuthority: []byte("der")},
		{At: at, By: "getafix", Setting: &access.Setting{Name: "private", Value: "true"}},
	} {
		encoded, err := EncodeChange(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, c := range []access.Change{
		{At: at, By: "getafix", Revoke: "feed"},
		{At: at, By: "getafix", Sworn: &access.SwornChange{Frontend: &access.RosterEntry{Name: "f2", Key: make([]byte, 32)}}},
	} {
		signed, err := access.Sign(key, "games", 1, c)
		if err != nil {
			f.Fatal(err)
		}
		encoded, err := EncodeSigned(signed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzzInput {
			return
		}
		command, err := Decode(b)
		if unparsable := Check(b); unparsable != err {
			t.Fatalf("Check says %v, and Decode %v", unparsable, err)
		}
		if err != nil {
			return
		}
		for _, p := range command.Posts {
			for i := range p.Events {
				checkRoundTrip(t, &p.Events[i])
			}
		}
		if command.Seal > 0 {
			if again, err := Decode(InFormat(EncodeSeal(command.Seal), command.Format)); err != nil || !reflect.DeepEqual(again, command) {
				t.Fatalf("%+v became %+v: %v", command, again, err)
			}
		}
		if command.Signed != nil {
			encoded, err := EncodeSigned(command.Signed)
			if err != nil {
				t.Fatalf("%+v was decoded and cannot be encoded: %v", command.Signed, err)
			}
			if again, err := Decode(encoded); err != nil || !reflect.DeepEqual(again.Signed, command.Signed) {
				t.Fatalf("%+v became %+v: %v", command.Signed, again.Signed, err)
			}
		}
		if command.Change == nil {
			return
		}
		encoded, err := EncodeChange(*command.Change)
		if err != nil {
			t.Fatalf("%+v was decoded and cannot be encoded: %v", command.Change, err)
		}
		if again, err := Decode(encoded); err != nil || !reflect.DeepEqual(again.Change, command.Change) {
			t.Fatalf("%+v became %+v: %v", command.Change, again.Change, err)
		}
	})
}

func checkRoundTrip(t *testing.T, e *Event) {
	encoded := appendUnsigned(nil, &e.Event, e.JSON)
	if len(e.Signature) > 0 {
		encoded = protowire.AppendTag(encoded, fieldSignature, protowire.BytesType)
		encoded = AppendSignature(encoded, nil, e.Signature)
	}
	var again Event
	if err := again.decode(encoded, new(Event), new(signatureRoom)); err != nil {
		t.Fatalf("%+v was decoded and encoded, and cannot be decoded again: %v", e, err)
	}
	if again.ID != e.ID || again.Seq != e.Seq || !again.Time.Equal(e.Time) || again.ContestID != e.ContestID ||
		again.Key != e.Key || again.Token != e.Token || !bytes.Equal(again.Signature, e.Signature) ||
		!bytes.Equal(again.JSON, e.JSON) {
		t.Fatalf("%+v became %+v", e, again)
	}
}

// FuzzDelta checks that a delta between any two signatures restores the second one, and
// that any bytes can be given as a delta.
func FuzzDelta(f *testing.F) {
	events := signedAlerts(f, 5)
	f.Add(events[0].Signature, events[1].Signature, []byte{66, 32, 1})
	f.Add([]byte(nil), events[4].Signature, []byte{0, 0})
	f.Add(events[4].Signature, events[4].Signature[:70], []byte{0xff})
	f.Fuzz(func(t *testing.T, previous, signature, delta []byte) {
		if s, ok := readDelta(new(signatureRoom), previous, delta); ok && len(s) > eventsig.MaxSize {
			t.Fatalf("the restored signature has %d bytes", len(s))
		}
		if len(previous) > eventsig.MaxSize || len(signature) > eventsig.MaxSize {
			return
		}
		list, ok := DecodeSignatures(AppendSignature(AppendSignature(nil, nil, previous), previous, signature))
		if !ok || len(list) != 2 || !bytes.Equal(list[0], previous) || !bytes.Equal(list[1], signature) {
			t.Fatalf("%x after %x was restored as %x", signature, previous, list)
		}
	})
}
