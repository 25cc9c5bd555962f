package peer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestAcknowledgedRoundAnswersAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Transport{acks: acks{round: 75 * time.Millisecond, pause: time.Second}}
		began := time.Now()
		h.NoteAcked("f2", 5) // before the heartbeat was due
		go func() {
			time.Sleep(20 * time.Millisecond) // virtual
			h.NoteAcked("f3", 5)
			h.NoteAcked("f2", 4)
			time.Sleep(20 * time.Millisecond)
			h.NoteAcked("f2", 5)
		}()
		if !h.acks.await(t.Context(), "f2", 5) || time.Since(began) != 40*time.Millisecond {
			t.Errorf("the heartbeat was not answered by the ack of its member in its term, after %v", time.Since(began))
		}
	})
}

func TestLateRoundBringsTheHeartbeatsBackForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Transport{acks: acks{round: 75 * time.Millisecond, pause: time.Second}}
		began := time.Now()
		for range 3 {
			if h.acks.await(t.Context(), "f2", 5) || time.Since(began) != 75*time.Millisecond {
				t.Errorf("without an ack the heartbeat was answered, or waited %v", time.Since(began))
			}
			h.NoteAcked("f2", 5) // it comes too late to trust the next one
		}
		time.Sleep(time.Second) // virtual
		go func() { time.Sleep(time.Millisecond); h.NoteAcked("f2", 5) }()
		if !h.acks.await(t.Context(), "f2", 5) {
			t.Error("after a while the ack does not answer a heartbeat")
		}
	})
}

func TestOnlyHeartbeatsAreAnsweredByRounds(t *testing.T) {
	for _, q := range []raft.AppendEntriesRequest{
		{Term: 5, PrevLogEntry: 1, PrevLogTerm: 1}, {Term: 5, LeaderCommitIndex: 1}, {Term: 5, Entries: []*raft.Log{{}}},
	} {
		if isHeartbeat(&q) {
			t.Errorf("%+v is taken for a heartbeat", q)
		}
	}
	if !isHeartbeat(&raft.AppendEntriesRequest{Term: 5}) {
		t.Error("a heartbeat is not taken for one")
	}
}
