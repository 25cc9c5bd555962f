package main

import (
	"io"
	"testing"
	"time"
)

func TestThreeRealFrontendsHaveEveryEventThatPostersAndStreamsSayIsAcked(t *testing.T) {
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
	dir := t.TempDir()
	g, err := startFrontends(t.Context(), b.laurel, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
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
