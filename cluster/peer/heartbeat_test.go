package peer

import (
	"context"
	"testing"

	"github.com/hashicorp/raft"
)

func TestHeartbeatIsAnsweredWhileRaftIsBusyAndRaftGetsTheLatest(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := &Transport{
		Header: raft.RPCHeader{ID: []byte("f2")},
		ctx:    ctx,
		calls:  make(chan raft.RPC, 4), // as if Raft took them
		beat:   make(chan raft.RPC, 1),
		follow: func() (uint64, raft.ServerID, uint64) { return 5, "f1", 17 },
	}
	beat := func(term uint64, from string) *raft.RPCResponse {
		answers := make(chan raft.RPCResponse, 1)
		request := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ID: []byte(from)}, Term: term}
		h.answerHeartbeat(raft.RPC{Command: request, RespChan: answers})
		select {
		case a := <-answers:
			return &a
		default:
			return nil
		}
	}
	for range 3 {
		answer := beat(5, "f1")
		if answer == nil {
			t.Fatal("it waits for Raft")
		}
		got := answer.Response.(*raft.AppendEntriesResponse)
		if answer.Error != nil || !got.Success || got.Term != 5 || got.LastLog != 17 || string(got.ID) != "f2" {
			t.Errorf("it was answered %+v, %v", got, answer.Error)
		}
	}
	for _, c := range []struct {
		term uint64
		from string
	}{{6, "f1"}, {4, "f1"}, {5, "f3"}, {5, ""}} {
		if answer := beat(c.term, c.from); answer != nil {
			t.Errorf("the heartbeat of term %d from %q was answered without Raft: %+v", c.term, c.from, answer.Response)
		}
	}
	if len(h.calls) != 4 {
		t.Errorf("Raft got %d heartbeats; want 4", len(h.calls))
	}
	h.calls = make(chan raft.RPC)
	go h.deliverHeartbeats()
	if got := (<-h.calls).Command.(*raft.AppendEntriesRequest); got.Term != 5 {
		t.Errorf("Raft got a copy of term %d", got.Term)
	}
	select {
	case <-h.beat:
		t.Error("there is more than one copy")
	default:
	}
}
