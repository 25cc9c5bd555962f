package peer

import (
	"context"

	"github.com/hashicorp/raft"
)

// heartbeats answers the heartbeats of the master that Raft follows already.
//
// hashicorp/raft gives the transport a handler that processes each heartbeat on the
// connection's goroutine, concurrently with Raft's main goroutine. A candidate that
// learns of a newer term in this way still counts the votes of its own term, and becomes
// a second leader of the newer one (hashicorp/raft#695). So that handler is not used. A
// heartbeat that changes nothing is answered here, because a slow disk under the main
// goroutine must not cost the master its majority, and Raft gets a copy when it is free.
// Any other heartbeat waits for Raft.
type heartbeats struct {
	header  raft.RPCHeader // of the answers
	follow  func() (term uint64, leader raft.ServerID, last uint64)
	deliver func(raft.RPC) // gives a request to Raft's main goroutine
	latest  chan raft.RPC  // the copy that Raft has not taken yet
}

func newHeartbeats(header raft.RPCHeader, deliver func(raft.RPC)) *heartbeats {
	return &heartbeats{header: header, deliver: deliver, latest: make(chan raft.RPC, 1)}
}

// following returns the term in which r follows a leader, the leader, and the index of
// r's last entry. The term is 0 if r follows nobody.
func following(r *raft.Raft) (term uint64, leader raft.ServerID, last uint64) {
	if r == nil || r.State() != raft.Follower {
		return 0, "", 0
	}
	_, leader = r.LeaderWithID()
	return r.CurrentTerm(), leader, r.LastIndex()
}

// handle processes one heartbeat on the goroutine of its connection.
func (h *heartbeats) handle(call raft.RPC) {
	beat, ok := call.Command.(*raft.AppendEntriesRequest)
	if !ok {
		h.deliver(call)
		return
	}
	term, leader, last := h.follow()
	if term == 0 || term != beat.Term || leader == "" || leader != raft.ServerID(beat.ID) {
		h.deliver(call)
		return
	}
	call.Respond(&raft.AppendEntriesResponse{RPCHeader: h.header, Term: term, LastLog: last, Success: true}, nil)
	copied := *beat
	select {
	case <-h.latest: // the newer copy replaces it
	default:
	}
	select {
	case h.latest <- raft.RPC{Command: &copied, RespChan: make(chan raft.RPCResponse, 1)}:
	default:
	}
}

// run gives the copies to Raft until ctx ends.
func (h *heartbeats) run(ctx context.Context) {
	for {
		select {
		case beat := <-h.latest:
			h.deliver(beat)
		case <-ctx.Done():
			return
		}
	}
}
