package signing_test

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"laurel/score"
	"laurel/trust/signing"
)

func Example() {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // use ed25519.GenerateKey
	events := []score.Event{{
		ID:        "rain-1",
		Source:    "bard/cacofonix",
		Seq:       1,
		Type:      score.TypeAlert,
		Time:      time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC),
		ContestID: "OG50BC/FB-01",
		Data:      &score.Alert{Text: "rain"},
	}}
	if err := signing.Sign(private, "games50bc", events); err != nil {
		fmt.Println(err)
		return
	}
	form, err := signing.Form(&events[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", form)

	public := private.Public().(ed25519.PublicKey)
	var v signing.Verifier
	fmt.Println(v.Verify(public, "games50bc", form, events[0].Signature))

	events[0].Data = &score.Alert{Text: "sun"}
	altered, _ := signing.Form(&events[0])
	fmt.Println(v.Verify(public, "games50bc", altered, events[0].Signature))
	// Output:
	// {"contest_id":"OG50BC/FB-01","data":{"text":"rain"},"id":"rain-1","key":"139e3940e64b5491","seq":1,"source":"bard/cacofonix","time":"2026-02-09T10:16:40Z","type":"alert"}
	// true
	// false
}
