package admission

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"laurel/httpapi/handler"
	"laurel/score"
)

// peer posts from an address with limits.
var peer = &handler.Caller{Peer: peerAt(1)}

func voidBy(key string) []score.Event { return []score.Event{{Key: key, Data: &score.EventVoid{}}} }

func folded(n int) []score.Result { return []score.Result{{Status: score.Applied, Folded: n}} }

func TestACallerPaysForWhatItHadFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStreamPool(t, 1)
		p.grant("a")
		p.grant("b")
		want := func(what string, allowed bool, events []score.Event) (f Charge) {
			t.Helper()
			f, refused := p.Charge(peer, events)
			if (refused == nil) != allowed {
				t.Errorf("%s: %v", what, refused)
			}
			return f
		}
		want("the first void", true, voidBy("a")).Settle(folded(3*FoldsPerCaller), nil)
		want("the next one", false, voidBy("a"))
		want("a definition", false, []score.Event{{Key: "a", Data: &score.ContestDefine{}}})
		want("a play", true, []score.Event{{Key: "a", Data: &score.ScorePlay{}}}).Settle(nil, nil)
		want("a void of another caller", true, voidBy("b")).Settle(nil, nil)
		want("a void in an open store", true, voidBy("")).Settle(nil, nil)
		time.Sleep(2*time.Second + time.Millisecond) // virtual
		want("a void when two seconds are paid", true, voidBy("a")).Settle(nil, nil)

		for _, err := range []error{score.Problemf(score.OutcomeUnknown, "the master was lost"), errors.New("gone")} {
			time.Sleep(time.Minute)
			want("a void of another caller later", true, voidBy("b")).Settle(nil, err)
			want("a void after one of unknown outcome", false, voidBy("b"))
			time.Sleep(time.Second)
			want("a void a second later", true, voidBy("b")).Settle(nil, score.Problemf(score.NoMaster, "not posted"))
			want("a void after one that was not posted", true, voidBy("b")).Settle(nil, nil)
		}
	})
}

func TestFewPostsOfACallerFoldAtOnce(t *testing.T) {
	p := newStreamPool(t, 1)
	p.grant("a")
	p.grant("b")
	var all []Charge
	for i := range FoldingPosts {
		f, refused := p.Charge(peer, voidBy("a"))
		if refused != nil {
			t.Fatalf("post %d: %v", i, refused)
		}
		all = append(all, f)
	}
	both := append(voidBy("b"), voidBy("a")...)
	for range 2 * FoldingPosts { // a refused post gives back its place among those of b
		if _, refused := p.Charge(peer, both); refused == nil || refused.Code != score.RateLimited {
			t.Fatalf("one post more: %v", refused)
		}
	}
	if _, refused := p.Charge(peer, voidBy("b")); refused != nil {
		t.Errorf("a post of another caller: %v", refused)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := p.AwaitCharge(ctx, peer, voidBy("a")); err == nil {
		t.Error("a stream does not wait for a place")
	}
	for _, f := range all {
		f.Settle(folded(0), nil)
	}
	if _, refused := p.Charge(peer, voidBy("a")); refused != nil {
		t.Errorf("after the others have ended: %v", refused)
	}
}

func TestAStreamWaitsUntilItHasPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStreamPool(t, 1)
		p.grant("a")
		start := time.Now()
		for i, want := range []time.Duration{0, 2 * time.Second, 4 * time.Second} {
			f, _, err := p.AwaitCharge(t.Context(), peer, voidBy("a"))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < want || took > want+time.Millisecond {
				t.Errorf("post %d begins after %s; want %s", i, took, want)
			}
			n := 2 * FoldsPerCaller
			if i == 0 {
				n = 3 * FoldsPerCaller // the first second is paid for
			}
			f.Settle(folded(n), nil)
		}
	})
}

// signedBy returns n events by a key.
func signedBy(key string, n int) (list []score.Event) {
	for range n {
		list = append(list, score.Event{Key: key, Data: &score.Alert{}})
	}
	return list
}

func withStatus(status string, n int) (list []score.Result) {
	for range n {
		list = append(list, score.Result{Status: status})
	}
	return list
}

// Anybody can copy signed events from a timeline.
func TestCopiesOfSignedEventsTakeNothingFromTheirBard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 10
		p := newStreamPool(t, 1)
		p.grant("slow").Rate = rate
		p.grant("fast")
		charge := func(caller *handler.Caller, events []score.Event) Charge {
			t.Helper()
			c, refused := p.Charge(caller, events)
			if refused != nil {
				t.Fatal(refused)
			}
			return c
		}
		for address := 2; address < 5; address++ {
			stranger := &handler.Caller{Peer: peerAt(address)}
			charge(stranger, signedBy("slow", rate)).Settle(withStatus(score.Duplicate, rate), nil)
			if _, refused := p.Charge(stranger, signedBy("slow", 1)); refused == nil {
				t.Error("the copies that one address posts have no limit")
			}
			for range FoldingPosts { // which are under way
				charge(stranger, voidBy("fast"))
			}
			if _, refused := p.Charge(stranger, voidBy("fast")); refused == nil {
				t.Error("the copied voids that one address posts have no limit")
			}
		}
		charge(peer, voidBy("fast"))
		charge(peer, signedBy("slow", rate)).Settle(withStatus(score.Applied, rate), nil)
		time.Sleep(time.Second)
		if _, n, err := p.AwaitCharge(t.Context(), peer, signedBy("slow", rate)); n != rate || err != nil {
			t.Errorf("the bard's stream beside copies: %d events, %v", n, err)
		}
	})
}

func TestAKeyHasItsRateFromAllAddressesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, seconds = 10, 60
		p := newStreamPool(t, 1)
		p.grant("a").Rate = rate
		applied := 0
		for end := time.Now().Add(seconds * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			for address := range 5 {
				c, refused := p.Charge(&handler.Caller{Peer: peerAt(address)}, signedBy("a", rate))
				if refused == nil {
					c.Settle(withStatus(score.Applied, rate), nil)
					applied += rate
				}
			}
		}
		if most := rate * (seconds + 2); applied > most || applied < rate*seconds/2 {
			t.Errorf("%d events are applied within %d s; want at most %d", applied, seconds, most)
		}
	})
}

func TestAKeyHasFewPostsThatFoldFromAllAddressesTogether(t *testing.T) {
	p := newStreamPool(t, 1)
	p.grant("a")
	var all []Charge
	for i := range 10 * FoldingPosts {
		if c, refused := p.Charge(&handler.Caller{Peer: peerAt(i)}, voidBy("a")); refused == nil {
			all = append(all, c)
		}
	}
	if len(all) != FoldingPostsPerKey {
		t.Errorf("%d posts are under way; want %d", len(all), FoldingPostsPerKey)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * FoldingPosts { // what waits in vain keeps no place
		if _, _, err := p.AwaitCharge(ctx, peer, voidBy("a")); err == nil {
			t.Fatal("a stream does not wait for a place")
		}
	}
	for _, c := range all {
		c.Settle(nil, nil)
	}
	for range FoldingPosts {
		if _, refused := p.Charge(peer, voidBy("a")); refused != nil {
			t.Fatalf("after the others have ended: %v", refused)
		}
	}
}
