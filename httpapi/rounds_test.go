package httpapi

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// postSigned posts an event of bard/cacofonix that is signed for the store.
func postSigned(t *testing.T, s *testStore, key ed25519.PrivateKey, seq uint64, text string) {
	t.Helper()
	e, problem := score.Decode([]byte(text))
	if problem != nil {
		t.Fatalf("%s: %v", text, problem)
	}
	e.Source, e.Seq, e.Key, e.IDGiven, e.TimeGiven = "bard/cacofonix", seq, score.KeyID(publicOf(key)), true, true
	e.Time = time.Date(2026, 2, 9, 10, 0, int(seq), 0, time.UTC)
	if e.ID == "" {
		e.ID = "event-" + revisionText(seq)
	}
	list := []score.Event{e}
	if err := signing.Sign(key, testLineage, list); err != nil {
		t.Fatal(err)
	}
	encoded, err := entry.EncodePost(score.Post{Events: list})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.apply(entry.Encode([]entry.EncodedPost{encoded}))[0]; r.Problem != nil {
		t.Fatalf("%s: %v", text, r.Problem)
	}
}

// What readers verify is what GET gives them, so a round has just these bytes.
func TestRoundsHaveTheBodiesOfGET(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	g, a := newSwornAPI(t, key)
	s := serve(t, a, a.Handler())
	err := g.ChangeSigned(t.Context(), signedChange(t, key, 1, access.Change{Grant: &access.Grant{
		ID: score.KeyID(publicOf(key)), Name: "bard/cacofonix", Role: access.RoleBard, Public: publicOf(key),
	}}))
	if err != nil {
		t.Fatal(err)
	}
	events := append(gamesEvents[:len(gamesEvents):len(gamesEvents)],
		`{"id":"last","type":"contest.define","contest_id":"OG50BC/CUR-M-GPA-03","data":{"kind":"head_to_head","sport":"stone-curling","title":"<&> \u2028 Gaüls","competitors":[{"code":"A"},{"code":"B"}]}}`,
		`{"type":"event.void","contest_id":"OG50BC/CUR-M-GPA-03","data":{"voids":"last","reason":"it is not"}}`)
	compared := 0
	for i, text := range events {
		postSigned(t, g.store, key, uint64(i)+1, text)
		if i%5 != 4 && i < len(events)-2 {
			continue
		}
		_, next := g.store.Rounds().Unsealed()
		if p := g.store.apply(entry.EncodeSeal(next))[0].Problem; p != nil {
			t.Fatal(p)
		}
		sealed := g.store.Rounds().Sealed(next)[0]
		for _, path := range []string{"scores/OG50BC/MAR", "scores/OG50BC/CUR-M-GPA-01", "scores/OG50BC/CUR-M-GPA-02",
			"scores/OG50BC/CUR-M-GPA-03", "medals/OG50BC", "bards/bard/cacofonix", "keys", "roster"} {
			got := ask(t, s, "GET", "/v1/"+path, "")
			body, known := sealed.Body(path)
			leaves := sealed.Answers.Prove(path)
			found := len(leaves) == 1 && leaves[0].Key == path
			switch {
			case got.StatusCode == 404 && body == nil && !found:
			case got.StatusCode == 200 && known && string(body) == got.body && found && leaves[0].Body == sha256.Sum256(body):
				compared++
			default:
				t.Errorf("GET of %s is %d %s, and the round has %s", path, got.StatusCode, got.body, body)
			}
		}
	}
	if compared < 20 {
		t.Errorf("%d answers were compared", compared)
	}
}
