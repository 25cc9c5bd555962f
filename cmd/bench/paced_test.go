package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func TestALoadKeepsToItsRateAndEveryEventOfItIsInTheStore(t *testing.T) {
	f := newFake(t)
	ctx, l := startLoad(t.Context(), posters(t, f, 8), 400)
	time.Sleep(500 * time.Millisecond)
	if err := l.stop(ctx, f.lastSeq); err != nil {
		t.Fatal(err)
	}
	if got := l.perSecond(); got < 300 || got > 440 {
		t.Errorf("%.0f events/s; want about 400", got)
	}
}

func TestALoadThatIsHeldUpMakesUpForIt(t *testing.T) {
	f := newFake(t)
	list := posters(t, f, 2)
	f.meddle = func(e score.Event) int {
		if e.Seq == 10 {
			time.Sleep(200 * time.Millisecond)
		}
		return 0
	}
	ctx, l := startLoad(t.Context(), list, 200)
	time.Sleep(800 * time.Millisecond)
	if err := l.stop(ctx, f.lastSeq); err != nil {
		t.Fatal(err)
	}
	if got := l.perSecond(); got < 170 {
		t.Errorf("%.0f events/s; want about 200", got)
	}
}

func TestALoadThatIsRefusedEndsWhatItLoadsAndSaysWhy(t *testing.T) {
	f := newFake(t)
	list := posters(t, f, 2)
	f.meddle = func(e score.Event) int {
		if e.Seq == 10 {
			return http.StatusConflict
		}
		return 0
	}
	ctx, l := startLoad(t.Context(), list, 500)
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the context goes on")
	}
	if err := l.stop(ctx, f.lastSeq); err == nil || !strings.Contains(err.Error(), "made_up") {
		t.Errorf("got %v", err)
	}
}
