package cache

import (
	"errors"
	"testing"
	"time"
)

// hand is a frontend, one stream to it, and a clock for it, that a test moves.
type hand struct {
	t    *testing.T
	now  time.Duration
	f    *Frontend
	link *Link
}

func newHand(t *testing.T) *hand {
	h := &hand{t: t, now: time.Hour}
	h.f = NewFrontend(1<<20, func() time.Duration { return h.now }, 0)
	h.link = h.f.Open(false)
	return h
}

// say gives the frontend messages of the epoch that is Raft's term, and gives the last answer.
func (h *hand) say(list ...Message) (last Message) {
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

// lease begins a session at revision 10 with a lease of a hundred seconds.
func (h *hand) lease() *hand {
	h.t.Helper()
	h.say(&Hello{Epoch: 3, Lease: 100 * time.Second}, &Start{10, 10}, &Grant{At: h.now, Remaining: 100 * time.Second})
	h.wantLease(true)
	return h
}

func (h *hand) wantLease(want bool) {
	h.t.Helper()
	if got := h.f.State().Lease > 0; got != want {
		h.t.Errorf("a lease: %v, want %v", got, want)
	}
}

func TestALeaseEnds(t *testing.T) {
	for name, end := range map[string]func(h *hand){
		"with a newer master":  func(h *hand) { h.f.Open(false).Receive(&Hello{Epoch: 4}, 4) },
		"with a newer stream":  func(h *hand) { h.f.Open(false).Receive(&Hello{Epoch: 3}, 3) },
		"with the stream":      func(h *hand) { h.link.Close() },
		"with a Recall":        func(h *hand) { h.say(&Recall{}) },
		"with its time":        func(h *hand) { h.now += shorter(100 * time.Second) },
		"with another session": func(h *hand) { h.say(&Start{11, 11}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t).lease()
			h.say(&Push{From: 10, To: 11, Records: []Record{{"k", 11, []byte("v")}}, Released: 11})
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

func TestALeaseCountsFromTheAckThatAskedForIt(t *testing.T) {
	h := newHand(t).lease()
	h.say(&Recall{})
	h.say(&Grant{At: h.now - 2*time.Second, Remaining: time.Second})
	h.wantLease(false)
}

func TestAnotherEndOfAStreamThanTheLatestChangesNothing(t *testing.T) {
	h := newHand(t).lease()
	old := h.link
	h.link = h.f.Open(false)
	h.lease()
	old.Close()
	h.wantLease(true)
	if _, err := old.Receive(&Beat{Round: 9}, 3); !errors.Is(err, ErrStale) {
		t.Errorf("the older stream's beat: %v, want %v", err, ErrStale)
	}
	h.wantLease(true)
}

func TestALowerEpochIsRefused(t *testing.T) {
	h := newHand(t).lease()
	for _, epoch := range []uint64{0, 2} {
		if _, err := h.f.Open(false).Receive(&Hello{Epoch: epoch}, 3); !errors.Is(err, ErrStale) {
			t.Errorf("epoch %d: %v, want %v", epoch, err, ErrStale)
		}
	}
	h.wantLease(true)
}

func TestAPushBehindAGapIsRefused(t *testing.T) {
	for name, p := range map[string]*Push{"a gap": {From: 11, To: 12}, "once more": {From: 9, To: 10}, "backwards": {From: 10, To: 9}} {
		h := newHand(t).lease()
		if _, err := h.link.Receive(p, 3); !errors.Is(err, errGap) {
			t.Errorf("%s: %v, want %v", name, err, errGap)
		}
	}
}

func TestARoundIsAckedOnlyInItsOwnTerm(t *testing.T) {
	h := newHand(t).lease()
	if a := h.say(&Beat{Round: 7, Released: 10}).(*Ack); a.Round != 7 || a.Pushed != 10 || a.At != h.now {
		t.Errorf("%+v", a)
	}
	m, err := h.link.Receive(&Beat{Round: 8}, 4) // Raft has gone on
	if a := m.(*Ack); err != nil || a.Round != 0 {
		t.Errorf("%+v, %v; want no ack of the round", a, err)
	}
}

func TestAWelcomeTellsOfTheLastAckOfAnOlderEpoch(t *testing.T) {
	h := newHand(t)
	welcome := func(epoch uint64, age time.Duration, none bool) {
		t.Helper()
		h.link = h.f.Open(false)
		m, err := h.link.Receive(&Hello{Epoch: epoch}, epoch)
		if w, ok := m.(*Welcome); err != nil || !ok || w.Age != age || w.NoLease != none {
			t.Errorf("epoch %d: %+v, %v; want age %v, none %v", epoch, m, err, age, none)
		}
	}
	h.now += 5 * time.Second
	welcome(3, 5*time.Second, false) // it never acked any: since it is running
	h.say(&Beat{Round: 1})
	h.now += time.Second
	welcome(3, 6*time.Second, false) // its own epoch does not count
	welcome(4, time.Second, false)
	h.link.Receive(&Beat{Round: 1}, 3) // not an ack: Raft is not there yet
	h.now += time.Second
	welcome(5, 2*time.Second, false)
	h.link.Receive(&Beat{Round: 1}, 5)
	h.link.Receive(&Retire{1}, 5)
	welcome(6, 0, true)
	h.link.Receive(&Beat{Round: 1}, 6) // a lease may stand again
	welcome(7, 0, false)
}

func TestOnlyAMastersMessagesAreTakenIn(t *testing.T) {
	h := newHand(t)
	if _, err := h.link.Receive(&Beat{}, 3); err == nil {
		t.Error("a beat before the Hello")
	}
	h.say(&Hello{Epoch: 3})
	for _, m := range []Message{&Push{}, &Grant{}, &Release{}} {
		if _, err := h.link.Receive(m, 3); err == nil {
			t.Errorf("%T before the Start", m)
		}
	}
	h.say(&Start{10, 10})
	if _, err := h.link.Receive(&Ack{}, 3); err == nil {
		t.Error("an ack from a master")
	}
}

func TestAnAnswerIsSeenOnlyWhenItIsReleased(t *testing.T) {
	h := newHand(t).lease()
	h.say(&Push{From: 10, To: 11, Records: []Record{{"k", 11, []byte("v")}}, Released: 10})
	if h.f.Hit([]byte("k")) != nil {
		t.Error("seen before it was released")
	}
	h.say(&Release{11})
	if e := h.f.Hit([]byte("k")); e == nil || string(e.Body) != "v" {
		t.Errorf("%v", e)
	}
}
