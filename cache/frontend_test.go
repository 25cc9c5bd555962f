package cache

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// harness is a Frontend, one stream to it, and its clock, which the test moves.
type harness struct {
	t    *testing.T
	now  time.Duration
	f    *Frontend
	link *Link
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, now: time.Hour}
	h.f = NewFrontend(1<<20, func() time.Duration { return h.now }, 0)
	h.link = h.f.Open(false)
	return h
}

// send gives the frontend messages of epoch 3, which is Raft's term, and returns the last
// answer.
func (h *harness) send(list ...Message) (last Message) {
	h.t.Helper()
	for _, m := range list {
		answer, err := h.link.Receive(m, 3)
		if err != nil {
			h.t.Fatalf("%T: %v", m, err)
		}
		last = answer
	}
	return last
}

// grantLease begins a session at revision 10 with a lease of a hundred seconds.
func (h *harness) grantLease() *harness {
	h.t.Helper()
	h.send(&Hello{Epoch: 3, Lease: 100 * time.Second}, &Start{10, 10}, &Grant{At: h.now, Remaining: 100 * time.Second})
	h.wantLease(true)
	return h
}

func (h *harness) wantLease(want bool) {
	h.t.Helper()
	if got := h.f.State().Lease > 0; got != want {
		h.t.Errorf("a lease: %v, want %v", got, want)
	}
}

func TestLeaseEnds(t *testing.T) {
	for name, end := range map[string]func(h *harness){
		"with a newer master":  func(h *harness) { h.f.Open(false).Receive(&Hello{Epoch: 4}, 4) },
		"with a newer stream":  func(h *harness) { h.f.Open(false).Receive(&Hello{Epoch: 3}, 3) },
		"with the stream":      func(h *harness) { h.link.Close() },
		"with a Recall":        func(h *harness) { h.send(&Recall{}) },
		"with its time":        func(h *harness) { h.now += shorter(100 * time.Second) },
		"with another session": func(h *harness) { h.send(&Start{11, 11}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t).grantLease()
			h.send(&Push{From: 10, To: 11, Records: []Record{{"k", 11, []byte("v")}}, Released: 11})
			if h.f.Hit([]byte("k")) == nil {
				t.Fatal("no answer with a lease")
			}
			end(h)
			h.wantLease(false)
			if h.f.Hit([]byte("k")) != nil {
				t.Error("an answer without a lease")
			}
		})
	}
}

func TestLeaseCountsFromTheAckThatAskedForIt(t *testing.T) {
	h := newHarness(t).grantLease()
	h.send(&Recall{})
	h.send(&Grant{At: h.now - 2*time.Second, Remaining: time.Second})
	h.wantLease(false)
}

func TestEndOfAnOlderStreamChangesNothing(t *testing.T) {
	h := newHarness(t).grantLease()
	old := h.link
	h.link = h.f.Open(false)
	h.grantLease()
	old.Close()
	h.wantLease(true)
	if _, err := old.Receive(&Beat{Round: 9}, 3); !errors.Is(err, ErrStale) {
		t.Errorf("the older stream's beat: %v, want %v", err, ErrStale)
	}
	h.wantLease(true)
}

func TestLowerEpochIsRefused(t *testing.T) {
	h := newHarness(t).grantLease()
	for _, epoch := range []uint64{0, 2} {
		if _, err := h.f.Open(false).Receive(&Hello{Epoch: epoch}, 3); !errors.Is(err, ErrStale) {
			t.Errorf("epoch %d: %v, want %v", epoch, err, ErrStale)
		}
	}
	h.wantLease(true)
}

func TestPushAfterAGapIsRefused(t *testing.T) {
	for name, p := range map[string]*Push{
		"a gap":     {From: 11, To: 12},
		"once more": {From: 9, To: 10},
		"backwards": {From: 10, To: 9},
	} {
		h := newHarness(t).grantLease()
		if _, err := h.link.Receive(p, 3); !errors.Is(err, errGap) {
			t.Errorf("%s: %v, want %v", name, err, errGap)
		}
	}
}

func TestRoundIsAckedOnlyInItsOwnTerm(t *testing.T) {
	h := newHarness(t).grantLease()
	if a := h.send(&Beat{Round: 7, Released: 10}).(*Ack); a.Round != 7 || a.Pushed != 10 || a.At != h.now {
		t.Errorf("%+v", a)
	}
	m, err := h.link.Receive(&Beat{Round: 8}, 4) // Raft has gone on
	if a := m.(*Ack); err != nil || a.Round != 0 {
		t.Errorf("%+v, %v; want no ack of the round", a, err)
	}
}

func TestWelcomeReportsTheLastAckOfAnOlderEpoch(t *testing.T) {
	h := newHarness(t)
	welcome := func(epoch uint64, age time.Duration, none bool) {
		t.Helper()
		h.link = h.f.Open(false)
		m, err := h.link.Receive(&Hello{Epoch: epoch}, epoch)
		if w, ok := m.(*Welcome); err != nil || !ok || w.Age != age || w.NoLease != none {
			t.Errorf("epoch %d: %+v, %v; want age %v, none %v", epoch, m, err, age, none)
		}
	}
	h.now += 5 * time.Second
	welcome(3, 5*time.Second, false) // it never acked any round, so its age counts from its start
	h.send(&Beat{Round: 1})
	h.now += time.Second
	welcome(3, 6*time.Second, false) // its own epoch does not count
	welcome(4, time.Second, false)
	h.link.Receive(&Beat{Round: 1}, 3) // this acks no round, because Raft has not reached the epoch
	h.now += time.Second
	welcome(5, 2*time.Second, false)
	h.link.Receive(&Beat{Round: 1}, 5)
	h.link.Receive(&Retire{1}, 5)
	welcome(6, 0, true)
	h.link.Receive(&Beat{Round: 1}, 6) // a lease may depend on this ack
	welcome(7, 0, false)
}

func TestFrontendAcceptsOnlyMessagesOfAMaster(t *testing.T) {
	h := newHarness(t)
	if _, err := h.link.Receive(&Beat{}, 3); err == nil {
		t.Error("a beat before the Hello")
	}
	h.send(&Hello{Epoch: 3})
	for _, m := range []Message{&Push{}, &Grant{}, &Release{}} {
		if _, err := h.link.Receive(m, 3); err == nil {
			t.Errorf("%T before the Start", m)
		}
	}
	h.send(&Start{10, 10})
	if _, err := h.link.Receive(&Ack{}, 3); err == nil {
		t.Error("an ack from a master")
	}
}

func TestAnswerIsVisibleOnceItIsReleased(t *testing.T) {
	h := newHarness(t).grantLease()
	h.send(&Push{From: 10, To: 11, Records: []Record{{"k", 11, []byte("v")}}, Released: 10})
	if h.f.Hit([]byte("k")) != nil {
		t.Error("seen before it was released")
	}
	h.send(&Release{11})
	if e := h.f.Hit([]byte("k")); e == nil || string(e.Body) != "v" {
		t.Errorf("%v", e)
	}
}

// A master that withholds a push says that it has pushed all up to a revision.
func TestAnAnswerThatDiffersFromTheFrontendsOwnStateIsMadeAgain(t *testing.T) {
	h := newHarness(t).grantLease()
	h.send(&Push{From: 10, To: 20, Released: 20, Records: []Record{
		{"old", 11, []byte("v")}, {"gone", 12, []byte("v")}, {"back", 13, nil}, {"same", 14, []byte("v")}, {"none", 14, nil},
	}})
	h.f.Invalidations().Take()
	if h.f.Compare(20, map[string][]byte{"old": []byte("other")}); h.f.Hit([]byte("old")) == nil {
		t.Error("an answer that is as new was dropped")
	}
	h.f.Compare(21, map[string][]byte{
		"old": []byte("new"), "gone": nil, "back": []byte("v"), "same": []byte("v"), "none": nil, "unknown": []byte("v"),
	})
	for key, want := range map[string]bool{"old": false, "gone": false, "back": false, "same": true, "none": true} {
		if got := h.f.Hit([]byte(key)) != nil; got != want {
			t.Errorf("%s is answered from memory: %v, want %v", key, got, want)
		}
	}
	if names := h.f.Invalidations().Take().Names; len(names) > 0 {
		t.Errorf("watchers hear of %q before revision 21 is released", names)
	}
	h.send(&Push{From: 20, To: 22, Released: 22})
	names := h.f.Invalidations().Take().Names
	if slices.Sort(names); !slices.Equal(names, []string{"back", "gone", "old"}) {
		t.Errorf("watchers hear of %q", names)
	}
	load := func(_ context.Context, floor uint64) ([]byte, uint64, uint64, error) {
		return []byte("new"), 21, 22, nil
	}
	for _, want := range []string{Load, Hit} {
		e, how, err := h.f.Answer(t.Context(), "old", "", load)
		if err != nil || how != want || string(e.Body) != "new" {
			t.Errorf("a reader gets %v, %q, %v; want %q", e, how, err, want)
		}
	}
}
