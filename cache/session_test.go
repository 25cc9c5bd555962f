package cache

import (
	"fmt"
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

func TestWaitingReadersAreWokenOnceByTheirOwnRelease(t *testing.T) {
	h := newHarness(t).grantLease()
	var keys []string
	for revision := uint64(11); revision <= 13; revision++ {
		key := fmt.Sprint("scores/", revision)
		h.send(&Push{From: revision - 1, To: revision, Records: []Record{{key, revision, bodyOf(revision)}}})
		keys = append(keys, key)
	}
	const readers = 10 // of each record
	waiting := map[string][]*pendingRead{}
	for _, key := range []string{keys[2], keys[0], keys[1]} {
		for range readers {
			r := &pendingRead{frontend: h.f, key: key}
			if done, err := r.step(); done || err != nil || r.wake == nil {
				t.Fatalf("%s is not released, and its reader is done: %t, %v", key, done, err)
			}
			if first := waiting[key]; len(first) > 0 && first[0].wake != r.wake {
				t.Errorf("two readers of %s wait for different things", key)
			}
			waiting[key] = append(waiting[key], r)
		}
	}
	woken := func(r *pendingRead) bool {
		select {
		case <-r.wake:
			return true
		default:
			return false
		}
	}
	// A release may be of several pushes.
	for _, released := range []uint64{10, 11, 13} {
		h.send(&Release{released})
		for i, key := range keys {
			for _, r := range waiting[key] {
				visible := uint64(11+i) <= released
				if woken(r) != visible {
					t.Fatalf("%d is released, and a reader of %s is woken: %t", released, key, !visible)
				}
				if !visible {
					continue
				}
				if done, err := r.step(); !done || err != nil || r.how != Wait || string(r.entry.Body) != string(bodyOf(uint64(11+i))) {
					t.Errorf("a reader of %s is done: %t, %v, with %+v", key, done, err, r.entry)
				}
			}
			if uint64(11+i) <= released {
				waiting[key] = nil // each was woken once
			}
		}
	}
	if s := h.f.session.Load(); len(s.awaited) > 0 {
		t.Errorf("%d releases are still awaited", len(s.awaited))
	}
}

func TestReadersThatWaitAreWokenByTheEndOfTheirSession(t *testing.T) {
	h := newHarness(t).grantLease()
	h.send(&Push{From: 10, To: 11})
	l, _ := h.f.CheckLease()
	before := l.Released(11)
	h.send(&Hello{Epoch: 3})
	for name, c := range map[string]<-chan struct{}{"before": before, "after": l.Released(11)} {
		select {
		case <-c:
		default:
			t.Errorf("who began to wait %s the end of the session waits on", name)
		}
	}
	if l.Visible(11) {
		t.Error("11 is visible, and was not released")
	}
}
