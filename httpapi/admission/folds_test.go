package admission

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"laurel/score"
)

func voidBy(key string) []score.Event { return []score.Event{{Key: key, Data: &score.EventVoid{}}} }

func folded(n int) []score.Result { return []score.Result{{Status: score.Applied, Folded: n}} }

func TestACallerPaysForWhatItHadFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStreamPool(t, 1)
		p.grant("a")
		p.grant("b")
		want := func(what string, allowed bool, events []score.Event) (f Folding) {
			t.Helper()
			f, refused := p.BeginFolding(events)
			if (refused == nil) != allowed {
				t.Errorf("%s: %v", what, refused)
			}
			return f
		}
		want("the first void", true, voidBy("a")).End(folded(3*FoldsPerCaller), nil)
		want("the next one", false, voidBy("a"))
		want("a definition", false, []score.Event{{Key: "a", Data: &score.ContestDefine{}}})
		want("a play", true, []score.Event{{Key: "a", Data: &score.ScorePlay{}}}).End(nil, nil)
		want("a void of another caller", true, voidBy("b")).End(nil, nil)
		want("a void in an open store", true, voidBy("")).End(nil, nil)
		time.Sleep(2*time.Second + time.Millisecond) // virtual
		want("a void when two seconds are paid", true, voidBy("a")).End(nil, nil)

		for _, err := range []error{score.Problemf(score.OutcomeUnknown, "the master was lost"), errors.New("gone")} {
			time.Sleep(time.Minute)
			want("a void of another caller later", true, voidBy("b")).End(nil, err)
			want("a void after one of unknown outcome", false, voidBy("b"))
			time.Sleep(time.Second)
			want("a void a second later", true, voidBy("b")).End(nil, score.Problemf(score.NoMaster, "not posted"))
			want("a void after one that was not posted", true, voidBy("b")).End(nil, nil)
		}
	})
}

func TestFewPostsOfACallerFoldAtOnce(t *testing.T) {
	p := newStreamPool(t, 1)
	p.grant("a")
	p.grant("b")
	var all []Folding
	for i := range FoldingPosts {
		f, refused := p.BeginFolding(voidBy("a"))
		if refused != nil {
			t.Fatalf("post %d: %v", i, refused)
		}
		all = append(all, f)
	}
	both := append(voidBy("b"), voidBy("a")...)
	for range 2 * FoldingPosts { // a refused post gives back its place among those of b
		if _, refused := p.BeginFolding(both); refused == nil || refused.Code != score.RateLimited {
			t.Fatalf("one post more: %v", refused)
		}
	}
	if _, refused := p.BeginFolding(voidBy("b")); refused != nil {
		t.Errorf("a post of another caller: %v", refused)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.AwaitFolding(ctx, voidBy("a")); err == nil {
		t.Error("a stream does not wait for a place")
	}
	for _, f := range all {
		f.End(folded(0), nil)
	}
	if _, refused := p.BeginFolding(voidBy("a")); refused != nil {
		t.Errorf("after the others have ended: %v", refused)
	}
}

func TestAStreamWaitsUntilItHasPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStreamPool(t, 1)
		p.grant("a")
		start := time.Now()
		for i, want := range []time.Duration{0, 2 * time.Second, 4 * time.Second} {
			f, err := p.AwaitFolding(t.Context(), voidBy("a"))
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
			f.End(folded(n), nil)
		}
	})
}
