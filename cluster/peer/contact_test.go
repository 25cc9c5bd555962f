package peer

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
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
		if !h.acks.await(t.Context(), "f2", 5) || time.Since(began) != 0 {
			t.Errorf("the ack before the heartbeat did not answer it, or only after %v", time.Since(began))
		}
		go func() {
			time.Sleep(20 * time.Millisecond) // virtual
			h.NoteAcked("f3", 5)
			time.Sleep(20 * time.Millisecond)
			h.NoteAcked("f2", 5)
		}()
		if !h.acks.await(t.Context(), "f2", 5) || time.Since(began) != 40*time.Millisecond {
			t.Errorf("the heartbeat was not answered by the next ack of its member, after %v", time.Since(began))
		}
		if h.acks.await(t.Context(), "f2", 6) {
			t.Error("an ack of another term answers a heartbeat")
		}
	})
}

// hashicorp/raft decodes the answers to all heartbeats to a member into one struct.
func TestAnswerByARoundSharesNoMemoryWithTheTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Transport{acks: acks{round: 75 * time.Millisecond, pause: time.Second}, ctx: t.Context()}
		h.Header = raft.RPCHeader{ID: []byte("f1"), Addr: []byte("f1:9000")}
		h.NoteAcked("f2", 5)
		var answer raft.AppendEntriesResponse
		if err := h.AppendEntries("f2", "f2:9000", &raft.AppendEntriesRequest{Term: 5}, &answer); err != nil {
			t.Fatal(err)
		}
		copy(answer.ID, "f2")
		copy(answer.Addr, "f2:9000")
		if id, addr := string(h.Header.ID), string(h.Header.Addr); id != "f1" || addr != "f1:9000" {
			t.Errorf("after the next answer this member says that it is %s at %s", id, addr)
		}
	})
}

func TestLateRoundBringsTheHeartbeatsBackForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Transport{acks: acks{round: 75 * time.Millisecond, pause: time.Second}}
		h.NoteAcked("f2", 5)
		acked := time.Now()
		if !h.acks.await(t.Context(), "f2", 5) {
			t.Error("a round in time does not answer the heartbeat")
		}
		time.Sleep(40 * time.Millisecond) // virtual
		for range 3 {
			if h.acks.await(t.Context(), "f2", 5) || time.Since(acked) != 75*time.Millisecond {
				t.Errorf("without an ack the heartbeat was answered, or not sent %v after the last one", time.Since(acked))
			}
			h.NoteAcked("f2", 5) // it comes too late to trust the next one
		}
		time.Sleep(time.Second)
		h.NoteAcked("f2", 5)
		if !h.acks.await(t.Context(), "f2", 5) {
			t.Error("after a while the ack does not answer a heartbeat")
		}
	})
}

// deadLayer reaches nobody.
type deadLayer struct{ net.Listener }

func (deadLayer) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return nil, syscall.ENETUNREACH
}

func (deadLayer) Close() error { return nil }

// A master that can send no entries must lose its office, although its rounds are acknowledged.
func TestRequestThatFailsBringsTheHeartbeatsBackForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &TransportConfig{Timeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
		h := &Transport{acks: acks{round: 75 * time.Millisecond, pause: time.Second}, ctx: t.Context()}
		h.NetworkTransport = newNetworkTransport(&dialingLayer{StreamLayer: deadLayer{}, closed: make(chan struct{})}, c)
		defer h.NetworkTransport.Close()
		var rounds sync.WaitGroup
		defer rounds.Wait()
		rounds.Go(func() {
			for range 60 {
				h.NoteAcked("f2", 5)
				time.Sleep(50 * time.Millisecond) // virtual
			}
		})
		synctest.Wait()
		var answer raft.AppendEntriesResponse
		beat := func() error {
			return h.AppendEntries("f2", "f2:9000", &raft.AppendEntriesRequest{Term: 5}, &answer)
		}
		if err := beat(); err != nil {
			t.Fatalf("a round is acknowledged, and the heartbeat fails: %v", err)
		}
		entry := &raft.AppendEntriesRequest{Term: 5, Entries: []*raft.Log{{}}}
		if err := h.AppendEntries("f2", "f2:9000", entry, &answer); err == nil {
			t.Fatal("an entry is sent to nobody")
		}
		snapshot := func() error {
			q, data := &raft.InstallSnapshotRequest{Term: 5}, strings.NewReader("")
			return h.InstallSnapshot("f2", "f2:9000", q, new(raft.InstallSnapshotResponse), data)
		}
		for range 2 {
			if beat() == nil {
				t.Error("a heartbeat is answered by a round after a request failed")
			}
			time.Sleep(c.Timeout)
			if err := beat(); err != nil {
				t.Errorf("after a while a round answers no heartbeat: %v", err)
			}
			if snapshot() == nil {
				t.Fatal("a snapshot is sent to nobody")
			}
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
