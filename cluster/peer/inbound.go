package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/trust/pki"
)

// Serve checks the requests of other members until the context ends. It gives snapshots
// to install to snapshot, on a goroutine of their own, and all else to Raft. It waits for
// Open.
func (t *Transport) Serve(snapshot func(raft.RPC, *raft.InstallSnapshotRequest)) {
	if !t.awaitOpen() {
		return
	}
	defer context.AfterFunc(t.ctx, func() { t.layer.Close() })()
	t.config.Go(t.deliverHeartbeats)
	for {
		c, err := t.layer.Accept()
		if err != nil {
			return
		}
		t.config.Go(func() { t.serve(c.(*acceptedConn), snapshot) })
	}
}

// serve checks the requests of one connection. raft.NetworkTransport does not tell from
// which connection a request came, and the sender that a request names must be the one of
// the certificate. So each connection gets a transport of its own, on the fast path of
// heartbeats as well.
func (t *Transport) serve(c *acceptedConn, snapshot func(raft.RPC, *raft.InstallSnapshotRequest)) {
	only := &oneConn{StreamLayer: t.layer, conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	in := newNetworkTransport(only, &t.config)
	in.SetHeartbeatHandler(func(call raft.RPC) { t.heartbeat(c.sender(), call) })
	c.ended = in.Close
	only.conn <- c
	defer context.AfterFunc(t.ctx, func() { c.Close() })()
	for {
		select {
		case call := <-in.Consumer():
			t.handle(c.sender(), call, snapshot)
		case <-only.closed:
			return
		}
	}
}

// dialingLayer is a stream layer that accepts nothing.
type dialingLayer struct {
	raft.StreamLayer
	closed chan struct{}
}

// Accept waits for Close.
func (l *dialingLayer) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

// Close stops Accept.
func (l *dialingLayer) Close() error {
	close(l.closed)
	return l.StreamLayer.Close()
}

// oneConn is a stream layer that accepts one connection.
type oneConn struct {
	raft.StreamLayer
	conn   chan net.Conn
	closed chan struct{}
}

// Accept returns the connection, and then waits for Close.
func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close stops Accept. The transport calls it once.
func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

// handle passes on a request of a member, or answers it with an error.
func (t *Transport) handle(
	from pki.Holder, call raft.RPC, snapshot func(raft.RPC, *raft.InstallSnapshotRequest),
) {
	if err := t.check(from, call.Command); err != nil {
		t.config.Go(func() {
			if call.Reader != nil { // else the rest of a snapshot would be taken for the next request
				io.Copy(io.Discard, call.Reader)
			}
			call.Respond(nil, err)
		})
		return
	}
	switch request := call.Command.(type) {
	case *raft.InstallSnapshotRequest:
		t.config.Go(func() { snapshot(call, request) })
		return
	case *raft.RequestPreVoteRequest:
		t.config.Go(func() { t.deliverPreVote(call) })
		return
	case *raft.AppendEntriesRequest:
		if len(request.Entries) > 0 && t.config.Full() {
			t.config.Go(func() { t.handleLater(from, call, snapshot) })
			return
		}
		if n, err := t.unsigned(request.Entries); err != nil {
			t.config.Go(func() { t.deliverBefore(call, n, err) })
			return
		}
		// Raft commits up to the leader's commit index or the end of its own log,
		// whichever comes first (v1.8.0, appendEntries). But a request proves that the
		// two logs are the same only up to its own last entry. Behind it this member may
		// have entries of an older term, which were never committed.
		proven := request.PrevLogEntry + uint64(len(request.Entries))
		request.LeaderCommitIndex = min(request.LeaderCommitIndex, proven)
		// A leader stores an entry before it sends it. What is noted of others is bounded by
		// the members, because in an insecure group anybody may send.
		leader, known := Find(Servers(t.raft), raft.ServerID(request.ID))
		if known && request.Term >= t.raft.CurrentTerm() {
			t.noteHeld(leader.ID, request)
		}
	}
	t.Deliver(call)
}

// fullPause is the pause between two looks at a log that is full.
const fullPause = 10 * time.Millisecond

// errFull answers entries for which the log has no room.
var errFull = errors.New("the log of this member is full until its snapshot is written")

// handleLater handles entries when the log has room for them. Heartbeats and votes pass
// meanwhile.
func (t *Transport) handleLater(
	from pki.Holder, call raft.RPC, snapshot func(raft.RPC, *raft.InstallSnapshotRequest),
) {
	if err := t.awaitRoom(); err != nil {
		call.Respond(nil, err)
		return
	}
	t.handle(from, call, snapshot)
}

// awaitRoom waits until the log has room, but not until the sender of entries may give up.
func (t *Transport) awaitRoom() error {
	late := time.After(t.config.Timeout / 2)
	pause := time.NewTicker(fullPause)
	defer pause.Stop()
	for t.config.Full() {
		select {
		case <-pause.C:
		case <-late:
			return errFull
		case <-t.ctx.Done():
			return raft.ErrRaftShutdown
		}
	}
	return nil
}

// following returns the term in which Raft follows a leader, the leader, and the index of
// Raft's last entry. The term is 0 if Raft follows nobody.
func (t *Transport) following() (term uint64, leader raft.ServerID, last uint64) {
	if t.raft.State() != raft.Follower {
		return 0, "", 0
	}
	_, leader = t.raft.LeaderWithID()
	return t.raft.CurrentTerm(), leader, t.raft.LastIndex()
}

// heartbeat handles a heartbeat on the goroutine of its connection.
//
// hashicorp/raft gives the transport a handler that processes each heartbeat there,
// concurrently with Raft's main goroutine. A candidate that learns of a newer term in
// this way still counts the votes of its own term, and becomes a second leader of the
// newer one (hashicorp/raft#695). So that handler is not used. A heartbeat of the master
// that Raft follows already changes nothing and is answered here, because a slow disk
// under the main goroutine must not cost the master its majority, and Raft gets a copy
// when it is free. Any other heartbeat waits for Raft.
func (t *Transport) heartbeat(from pki.Holder, call raft.RPC) {
	if !t.awaitOpen() {
		call.Respond(nil, raft.ErrRaftShutdown)
		return
	}
	if err := t.check(from, call.Command); err != nil {
		call.Respond(nil, err)
		return
	}
	t.answerHeartbeat(call)
}

func (t *Transport) answerHeartbeat(call raft.RPC) {
	beat := call.Command.(*raft.AppendEntriesRequest)
	term, leader, last := t.follow()
	if term == 0 || term != beat.Term || leader == "" || leader != raft.ServerID(beat.ID) {
		t.Deliver(call)
		return
	}
	call.Respond(&raft.AppendEntriesResponse{RPCHeader: t.Header, Term: term, LastLog: last, Success: true}, nil)
	copied := *beat
	t.passHeartbeat(&copied)
}

// passHeartbeat gives Raft a heartbeat of the master that it follows when it is free.
func (t *Transport) passHeartbeat(beat *raft.AppendEntriesRequest) {
	select {
	case <-t.beat: // the newer one replaces it
	default:
	}
	select {
	case t.beat <- raft.RPC{Command: beat, RespChan: make(chan raft.RPCResponse, 1)}:
	default:
	}
}

// deliverHeartbeats gives the copies of heartbeats to Raft until the context ends.
func (t *Transport) deliverHeartbeats() {
	for {
		select {
		case beat := <-t.beat:
			t.Deliver(beat)
		case <-t.ctx.Done():
			return
		}
	}
}

// check returns an error if Raft must not see a request of a member.
func (t *Transport) check(from pki.Holder, request any) error {
	if err := t.checkSender(from, request); err != nil {
		return t.refuse(reasonSender, err)
	}
	if err := t.checkTerm(termOf(request)); err != nil {
		t.approach(request)
		return err
	}
	if term := termOf(request); term > 0 && term < t.raft.CurrentTerm() {
		return nil // Raft answers with its own term and ignores the rest of the request
	}
	if reason, err := t.checkRequest(request); err != nil {
		if reason == reasonUnreadable && t.config.Unreadable != nil {
			t.config.Unreadable(MemberID(raft.ServerID(from.Member)))
		}
		return t.refuse(reason, err)
	}
	term := termOf(request)
	switch request.(type) {
	case *raft.TimeoutNowRequest:
		term = t.raft.CurrentTerm() + 1
	case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest:
	default:
		return nil
	}
	err := t.mayVote(term)
	if err == nil || errors.Is(err, ErrStarting) {
		return err // which ends soon
	}
	return t.refuse(reasonForgot, err)
}

// refuse counts a refused message, and returns its error.
func (t *Transport) refuse(reason string, err error) error {
	level := slog.LevelWarn
	if reason == reasonTransfer && t.config.Stopping() {
		level = slog.LevelDebug // Raft follows nobody any more, and the master may not know yet
	}
	t.refusals.Note(level, reason, "refused a raft message of another member", "err", err)
	return err
}

// checkTerm returns an error if a term, of a request or of an answer, cannot be believed.
func (t *Transport) checkTerm(term uint64) error {
	if err := checkTerm(term, t.raft.CurrentTerm(), t.config.TermReported); err != nil {
		return t.refuse(reasonTerm, err)
	}
	return nil
}

// approach raises this member's term by one step if a voter of its configuration asks for
// a vote in a term that cannot be believed. A member whose term really is that high
// refuses all lower ones, and would never be heard again. One step in each ApproachPause
// uses up no terms, and makes the two meet.
func (t *Transport) approach(request any) {
	var voter raft.ServerID
	switch r := request.(type) {
	case *raft.RequestVoteRequest:
		voter = raft.ServerID(r.ID)
	case *raft.RequestPreVoteRequest:
		voter = raft.ServerID(r.ID)
	}
	known := slices.ContainsFunc(Voters(t.raft), func(s raft.Server) bool { return s.ID == voter })
	if !known || t.raft.LastIndex() == 0 {
		return
	}
	t.raiseTerm(voter, t.raft.CurrentTerm()+MaxTermStep)
}

// raiseTerm raises Raft's term, by a request for a vote in the name of a voter. It has an
// empty log, so Raft refuses the vote.
func (t *Transport) raiseTerm(voter raft.ServerID, term uint64) {
	step := &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(voter)},
		Term:      term,
		// Without it Raft ignores the request while it knows a leader.
		LeadershipTransfer: true,
	}
	t.steps.Do(func() {
		t.config.Go(func() { t.Deliver(raft.RPC{Command: step, RespChan: make(chan raft.RPCResponse, 1)}) })
	})
}
