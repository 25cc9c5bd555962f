package cache

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestSecondMasterOfAnEpochIsRefused(t *testing.T) {
	h := newHarness(t)
	h.send(
		&Hello{Epoch: 3, Master: "a@1", Lease: time.Minute},
		&Start{10, 10},
		&Grant{At: h.now, Remaining: time.Minute},
	)
	second := &Hello{Epoch: 3, Master: "b@1", Lease: time.Minute}
	if _, err := h.f.Open(false).Receive(second, 3); !errors.Is(err, ErrTwoMasters) {
		t.Errorf("another member's Hello of this epoch: %v, want %v", err, ErrTwoMasters)
	}
	h.wantLease(true) // a Hello that is refused changes nothing
	if _, err := h.f.Open(true).Receive(&Hello{Epoch: 3, Master: "c@1"}, 3); !errors.Is(err, ErrTwoMasters) {
		t.Errorf("this frontend's own Hello of this epoch: %v, want %v", err, ErrTwoMasters)
	}
	h.link = h.f.Open(false)
	h.send(&Hello{Epoch: 3, Master: "a@1"}) // the same master, on another stream
	h.link = h.f.Open(false)
	if _, err := h.link.Receive(&Hello{Epoch: 4, Master: "b@1"}, 4); err != nil {
		t.Errorf("another member's Hello of the next epoch: %v", err)
	}
}

func TestEpochAheadOfRaftIsRefusedAndForgotten(t *testing.T) {
	h := newHarness(t).grantLease()
	for _, epoch := range []uint64{4, math.MaxUint64} {
		if _, err := h.f.Open(false).Receive(&Hello{Epoch: epoch, Master: "b@1"}, 3); !errors.Is(err, ErrAhead) {
			t.Errorf("epoch %d: %v, want %v", epoch, err, ErrAhead)
		}
	}
	h.wantLease(true)
	h.link = h.f.Open(false)
	h.grantLease() // the present master continues
	h.link = h.f.Open(false)
	if _, err := h.link.Receive(&Hello{Epoch: 4, Master: "b@1"}, 4); err != nil {
		t.Errorf("the next epoch, when raft is there: %v", err)
	}
}

func TestGrantLongerThanTheLeaseOfTheHelloIsRefused(t *testing.T) {
	for name, grant := range map[string]Grant{ // At counts from the clock of the harness
		"longer than a lease":          {Remaining: 200*time.Millisecond + 1},
		"an hour":                      {Remaining: time.Hour},
		"from an ack that is not sent": {At: 1, Remaining: time.Millisecond},
	} {
		h := newHarness(t)
		h.send(&Hello{Epoch: 3, Lease: 200 * time.Millisecond}, &Start{10, 10})
		grant.At += h.now
		if _, err := h.link.Receive(&grant, 3); !errors.Is(err, errGrant) {
			t.Errorf("%s: %v, want %v", name, err, errGrant)
		}
		h.wantLease(false)
		h.send(&Grant{At: h.now, Remaining: 200 * time.Millisecond})
		h.wantLease(true)
	}
}
