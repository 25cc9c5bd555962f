package peer

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/hashicorp/raft"
	"golang.org/x/time/rate"
)

// inbound checks the requests of other members' Rafts before this member's Raft sees
// them. hashicorp/raft processes whatever the network delivers, in any order. inbound
// passes on only what can be true and cannot undo what this member has promised to
// others. docs/decisions names each fault of hashicorp/raft that it guards against.
type inbound struct {
	ctx      context.Context
	calls    chan raft.RPC // read by Raft's main goroutine
	beats    *heartbeats
	reported func(r *raft.Raft, atLeast uint64) bool
	maxEntry int
	refusals *Refusals
	steps    rate.Sometimes // of approach
	run      func(func())

	opened chan struct{} // closed when raft is set
	raft   *raft.Raft
}

func newInbound(ctx context.Context, c TransportConfig, header raft.RPCHeader) *inbound {
	in := &inbound{
		ctx: ctx, calls: make(chan raft.RPC), reported: c.TermReported, maxEntry: c.MaxEntry,
		refusals: NewRefusals(c.Refused, c.Logger, reasonTerm, reasonEntries, reasonConfiguration, reasonTransfer),
		steps:    rate.Sometimes{Interval: c.ApproachPause}, run: c.Go, opened: make(chan struct{}),
	}
	in.beats = newHeartbeats(header, in.deliver)
	in.beats.follow = func() (uint64, raft.ServerID, uint64) { return following(in.raft) }
	return in
}

func (in *inbound) open(r *raft.Raft) {
	in.raft = r
	close(in.opened)
}

func (in *inbound) serve(from <-chan raft.RPC, snapshot func(raft.RPC, *raft.InstallSnapshotRequest)) {
	select {
	case <-in.opened:
	case <-in.ctx.Done():
		return
	}
	in.run(func() { in.beats.run(in.ctx) })
	for {
		select {
		case call := <-from:
			in.handle(call, snapshot)
		case <-in.ctx.Done():
			return
		}
	}
}

// handle passes on a request, or answers it with an error.
func (in *inbound) handle(call raft.RPC, snapshot func(raft.RPC, *raft.InstallSnapshotRequest)) {
	if err := in.check(call.Command); err != nil {
		in.run(func() { answerError(call, err) })
		return
	}
	switch request := call.Command.(type) {
	case *raft.InstallSnapshotRequest:
		in.run(func() { snapshot(call, request) })
		return
	case *raft.AppendEntriesRequest:
		boundCommit(request)
	}
	in.deliver(call)
}

// answerError answers a request with an error. It reads the body of a snapshot first, or the
// transport would take the rest of it for the next request.
func answerError(call raft.RPC, err error) {
	if call.Reader != nil {
		io.Copy(io.Discard, call.Reader)
	}
	call.Respond(nil, err)
}

// boundCommit makes a request commit no more than it proves. Raft commits up to the
// leader's commit index or the end of its own log, whichever comes first (v1.8.0,
// appendEntries). But a request proves that the two logs are the same only up to its own
// last entry. Behind it this member may have entries of an older term, which were never
// committed.
func boundCommit(request *raft.AppendEntriesRequest) {
	proven := request.PrevLogEntry + uint64(len(request.Entries))
	request.LeaderCommitIndex = min(request.LeaderCommitIndex, proven)
}

// deliver gives a request to Raft's main goroutine.
func (in *inbound) deliver(call raft.RPC) {
	select {
	case in.calls <- call:
	case <-in.ctx.Done():
		call.Respond(nil, raft.ErrRaftShutdown)
	}
}

// heartbeat handles a heartbeat on the goroutine of its connection.
func (in *inbound) heartbeat(call raft.RPC) {
	select {
	case <-in.opened:
	case <-in.ctx.Done():
		call.Respond(nil, raft.ErrRaftShutdown)
		return
	}
	if err := in.check(call.Command); err != nil {
		call.Respond(nil, err)
		return
	}
	in.beats.handle(call)
}

// check returns an error if Raft must not see a request.
func (in *inbound) check(request any) error {
	if err := in.checkTerm(termOf(request)); err != nil {
		in.approach(request)
		return err
	}
	if term := termOf(request); term > 0 && term < in.raft.CurrentTerm() {
		return nil // Raft answers with its own term and ignores the rest of the request
	}
	for _, check := range []struct {
		reason string
		check  func(request any) error
	}{
		{reasonTerm, checkEntryTerms},
		{reasonEntries, in.checkEntries},
		{reasonTransfer, in.checkTransfer},
		{reasonConfiguration, checkConfigurations},
	} {
		if err := check.check(request); err != nil {
			return in.refuse(check.reason, err)
		}
	}
	return nil
}

// refuse counts a refused message, and returns its error.
func (in *inbound) refuse(reason string, err error) error {
	in.refusals.Note(slog.LevelWarn, reason, "refused a raft message of another member", "err", err)
	return err
}

// checkTerm returns an error if a term, of a request or of an answer, cannot be believed.
func (in *inbound) checkTerm(term uint64) error {
	own := in.raft.CurrentTerm()
	err := checkTerm(term, own, func(atLeast uint64) bool { return in.reported(in.raft, atLeast) })
	if err != nil {
		return in.refuse(reasonTerm, err)
	}
	return nil
}

// approach raises this member's term by one step if a voter of its configuration asks for
// a vote in a term that cannot be believed. A member whose term really is that high
// refuses all lower ones, and would never be heard again. One step in each ApproachPause
// uses up no terms, and makes the two meet. Raft sees the step as a request for a vote
// with an empty log, which it refuses.
func (in *inbound) approach(request any) {
	var voter raft.ServerID
	switch r := request.(type) {
	case *raft.RequestVoteRequest:
		voter = raft.ServerID(r.ID)
	case *raft.RequestPreVoteRequest:
		voter = raft.ServerID(r.ID)
	}
	known := slices.ContainsFunc(Voters(in.raft), func(s raft.Server) bool { return s.ID == voter })
	if !known || in.raft.LastIndex() == 0 {
		return
	}
	step := &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(voter)},
		Term:      in.raft.CurrentTerm() + MaxTermStep,
		// Without it Raft ignores the request while it knows a leader.
		LeadershipTransfer: true,
	}
	in.steps.Do(func() {
		in.run(func() { in.deliver(raft.RPC{Command: step, RespChan: make(chan raft.RPCResponse, 1)}) })
	})
}
