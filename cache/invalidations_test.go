package cache

import (
	"slices"
	"testing"
)

// A frontend may begin a session with changes pushed that readers may not see yet. It knows no names of them; once they may be seen,
// anything may have changed.
func TestTheFeedTellsOfWhatWasPushedBeforeTheSessionWhenItMayBeSeen(t *testing.T) {
	for name, release := range map[string]Message{"by a release": &Release{12}, "by a beat": &Beat{Round: 1, Released: 12}, "with a push": &Push{From: 12, To: 13, Released: 12}} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t)
			h.say(&Hello{Epoch: 3}, &Start{At: 12, Released: 10})
			if c := h.f.Invalidations().Take(); !c.All || c.Revision != 10 {
				t.Fatalf("the session began, and the feed told %+v; want everything as of 10", c)
			}
			h.say(release)
			if c := h.f.Invalidations().Take(); !c.All || c.Revision != 12 {
				t.Errorf("what was pushed before may be seen now, and the feed told %+v; want everything as of 12", c)
			}
		})
	}
}

func TestTheFeedTellsNamesWhenTheyMayBeSeenAndOnce(t *testing.T) {
	h := newHand(t)
	h.say(&Hello{Epoch: 3}, &Start{At: 10, Released: 10})
	h.f.Invalidations().Take()
	h.say(&Push{From: 10, To: 11, Stale: []string{"a"}, Records: []Record{{Key: "b", Revision: 11}}}, &Push{From: 11, To: 12, Stale: []string{"c"}})
	if c := h.f.Invalidations().Take(); len(c.Names) > 0 || c.All || c.Revision != 10 {
		t.Errorf("nothing may be seen yet, and the feed told %+v", c)
	}
	h.say(&Release{11})
	c := h.f.Invalidations().Take()
	slices.Sort(c.Names)
	if !slices.Equal(c.Names, []string{"a", "b"}) || c.All || c.Revision != 11 {
		t.Errorf("11 may be seen, and the feed told %+v", c)
	}
	h.say(&Release{12})
	if c := h.f.Invalidations().Take(); !slices.Equal(c.Names, []string{"c"}) || c.All || c.Revision != 12 {
		t.Errorf("12 may be seen, and the feed told %+v", c)
	}
	if c := h.f.Invalidations().Take(); len(c.Names) > 0 || c.All {
		t.Errorf("the feed told %+v again", c)
	}
}
