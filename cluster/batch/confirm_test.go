package batch

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/signing"
)

// signedPost returns a post of one signed event.
func signedPost(t *testing.T) entry.EncodedPost {
	t.Helper()
	events := []score.Event{{
		ID: "a-1", IDGiven: true, Source: "bard/a", Seq: 1, Type: score.TypeAlert, Time: time.Now().UTC(),
		TimeGiven: true, ContestID: "OG50BC/final", Data: &score.Alert{Text: "rain"},
	}}
	if err := signing.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), "store", events); err != nil {
		t.Fatal(err)
	}
	p, err := entry.EncodePost(score.Post{Mode: score.UntilRefused, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnOutcomeCountsOnlyWithTheStateOfTheFrontendThatTookThePost(t *testing.T) {
	applied := []score.Result{{ID: "a-1", Seq: 1, Revision: 7, Status: score.Applied}}
	later := []score.Result{{ID: "a-1", Seq: 1, Revision: 8, Status: score.Applied}}
	duplicate := []score.Result{{ID: "a-1", Seq: 1, Revision: 7, Status: score.Duplicate}}
	gap := []score.Result{{ID: "a-1", Seq: 1, Problem: &score.Problem{Code: score.SeqGap, Detail: "one"}}}
	again := []score.Result{{ID: "a-1", Seq: 1, Problem: &score.Problem{Code: score.SeqGap, Detail: "two"}}}
	for what, c := range map[string]struct {
		said   []score.Result
		own    [][]score.Result // what the state comes to, one each second
		at     []uint64         // its revision then
		forget bool             // the last comes by a snapshot
		want   error
	}{
		"the same":                          {applied, [][]score.Result{applied}, []uint64{7}, false, nil},
		"the same, later":                   {applied, [][]score.Result{nil, nil, applied}, []uint64{5, 6, 9}, false, nil},
		"nothing there":                     {applied, [][]score.Result{nil, nil}, []uint64{6, 7}, false, ErrContradicted},
		"another revision":                  {applied, [][]score.Result{later}, []uint64{8}, false, ErrContradicted},
		"a refusal":                         {applied, [][]score.Result{gap, nil}, []uint64{6, 7}, false, ErrContradicted},
		"fewer events":                      {applied, [][]score.Result{{}}, []uint64{7}, false, ErrContradicted},
		"it does not get there":             {applied, [][]score.Result{nil}, []uint64{6}, false, ErrUnconfirmed},
		"a snapshot is there":               {applied, [][]score.Result{nil, nil}, []uint64{5, 7}, true, ErrUnconfirmed},
		"a duplicate, of another attempt":   {duplicate, [][]score.Result{applied, duplicate}, []uint64{7, 7}, false, nil},
		"a duplicate of what is not there":  {duplicate, [][]score.Result{nil}, []uint64{9}, false, ErrUnconfirmed},
		"the same refusal":                  {gap, [][]score.Result{again}, []uint64{7}, false, nil},
		"a refusal of what was applied":     {gap, [][]score.Result{applied}, []uint64{7}, false, ErrUnconfirmed},
		"applied once, and nothing to know": {applied, [][]score.Result{applied, nil}, []uint64{7, 9}, true, nil},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				posts := entry.NewExpected()
				own := posts.Add(signedPost(t))
				defer own.Forget()
				applied := make(chan uint64, len(c.own))
				go func() {
					for i, results := range c.own {
						time.Sleep(time.Second)
						if c.forget && i == len(c.own)-1 {
							posts.Lose()
						}
						if results != nil {
							own.Note(results)
						}
						applied <- c.at[i]
					}
				}()
				err := Confirm(ctx, c.said, own, func(ctx context.Context, least uint64) error {
					for revision := uint64(0); revision < least; {
						select {
						case revision = <-applied:
						case <-ctx.Done():
							return ctx.Err()
						}
					}
					return nil
				})
				if !errors.Is(err, c.want) {
					t.Errorf("got %v; want %v", err, c.want)
				}
				time.Sleep(time.Minute) // all was applied
			})
		})
	}
}
