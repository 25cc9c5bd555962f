package main

import (
	"io"
	"testing"
	"time"

	"laurel/score"
)

// realFrontends is three frontends that have just been built.
func realFrontends(t *testing.T) (*bench, *frontends) {
	if testing.Short() {
		t.Skip("builds laurel and starts three frontends")
	}
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: options{duration: 200 * time.Millisecond, window: 256}, root: root, work: t.TempDir(), out: io.Discard}
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, err := startFrontends(t.Context(), b.laurel, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.stop)
	return b, g
}

func TestThreeRealFrontendsHaveEveryEventThatPostersAndStreamsSayIsAcked(t *testing.T) {
	b, g := realFrontends(t)
	for _, to := range []string{toMaster, toAll} {
		if m, err := b.postsCell(t.Context(), g, postsRow{to, 6}); err != nil || m.perSecond == 0 {
			t.Errorf("posts to %s: %v, %v", to, m, err)
		}
		if m, err := b.streamCell(t.Context(), g, streamRow{to, 2}); err != nil || m.perSecond == 0 {
			t.Errorf("streams to %s: %v, %v", to, m, err)
		}
	}
	for _, p := range g.processes {
		if m, err := memoryOf(p); err != nil || m.anon == 0 || m.peak < m.rss || m.rss < m.anon {
			t.Errorf("the memory of %s: %+v, %v", p.name, m, err)
		}
	}
}

func TestThreeRealFrontendsShowEveryEventAtOnceAndThroughFaults(t *testing.T) {
	b, g := realFrontends(t)
	for _, load := range []float64{0, 200} {
		f := newFreshness()
		if err := b.freshCell(t.Context(), g, freshRow{laurelName, load}, 300, f); err != nil || f.reads != 300 || f.stale != 0 {
			t.Errorf("beside %.0f events/s: %s, %v", load, f, err)
		}
	}
	for _, f := range []fault{transferFault(), pauseFault(false, 300*time.Millisecond), pauseFault(true, 600*time.Millisecond), killFault()} {
		s, err := b.strike(t.Context(), g, f)
		if err != nil || s.stale != 0 || s.reads == 0 || s.next <= 0 {
			t.Errorf("%s: %s, %v", f.name, s, err)
		}
	}
	for _, mode := range []score.CacheMode{score.Pull, score.Push} {
		if err := g.setMode(t.Context(), mode); err != nil {
			t.Error(err)
		}
	}
}
