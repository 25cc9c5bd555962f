package cache

import (
	"slices"
	"testing"
)

// A session may start at a revision that is not released yet. The frontend does not know
// what was pushed before, so at its release anything may have changed.
func TestEverythingIsInvalidatedWhenTheStartOfASessionIsReleased(t *testing.T) {
	for name, release := range map[string]Message{
		"by a release": &Release{12},
		"by a beat":    &Beat{Round: 1, Released: 12},
		"with a push":  &Push{From: 12, To: 13, Released: 12},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.send(&Hello{Epoch: 3}, &Start{At: 12, Released: 10})
			if c := h.f.Invalidations().Take(); !c.All || c.Revision != 10 {
				t.Fatalf("the session began with %+v; want everything as of 10", c)
			}
			h.send(release)
			if c := h.f.Invalidations().Take(); !c.All || c.Revision != 12 {
				t.Errorf("12 is released, and %+v is invalidated; want everything as of 12", c)
			}
		})
	}
}

func TestNamesAreInvalidatedOnceWhenTheyAreReleased(t *testing.T) {
	h := newHarness(t)
	h.send(&Hello{Epoch: 3}, &Start{At: 10, Released: 10})
	h.f.Invalidations().Take()
	h.send(
		&Push{From: 10, To: 11, Stale: []string{"a"}, Records: []Record{{Key: "b", Revision: 11}}},
		&Push{From: 11, To: 12, Stale: []string{"c"}},
	)
	if c := h.f.Invalidations().Take(); len(c.Names) > 0 || c.All || c.Revision != 10 {
		t.Errorf("nothing is released yet, and %+v is invalidated", c)
	}
	h.send(&Release{11})
	c := h.f.Invalidations().Take()
	slices.Sort(c.Names)
	if !slices.Equal(c.Names, []string{"a", "b"}) || c.All || c.Revision != 11 {
		t.Errorf("11 is released, and %+v is invalidated", c)
	}
	h.send(&Release{12})
	if c := h.f.Invalidations().Take(); !slices.Equal(c.Names, []string{"c"}) || c.All || c.Revision != 12 {
		t.Errorf("12 is released, and %+v is invalidated", c)
	}
	if c := h.f.Invalidations().Take(); len(c.Names) > 0 || c.All {
		t.Errorf("%+v is invalidated again", c)
	}
}
