package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/snapshots"

	"laurel/fsm"
)

// Reasons of laurel_raft_refused_total.
const (
	reasonTerm          = "term"          // see maxTermStep
	reasonEntries       = "entries"       // they do not follow on each other, or are of no known type
	reasonConfiguration = "configuration" // it cannot be decoded
	reasonTransfer      = "transfer"      // it is told to stand for election by another than its leader
)

// maxLogEntry bounds an entry of the log, in bytes. raft-wal v0.4.1 writes an entry of more than
// 64 MiB and then cannot read its file any more. An entry is one post of at most fsm.MaxPost, or
// several that are small.
const maxLogEntry = 2 * fsm.MaxPost

// inbound takes what other members' Rafts send before this member's Raft does. hashicorp/raft
// takes in whatever the network brings, in whatever order; inbound passes on only what can be
// true and cannot undo what this member has told others. docs/decisions names each fault of
// hashicorp/raft that it guards against.
type inbound struct {
	ctx       context.Context
	calls     chan raft.RPC // what Raft's main goroutine reads
	beats     *heartbeats
	snapshots *snapshots.Receiver
	reported  func(r *raft.Raft, atLeast uint64) bool
	refusals  *refusals
	steps     pauses
	run       func(func()) // runs a function on a goroutine that the member waits for

	opened chan struct{} // closed when raft is set
	raft   *raft.Raft
}

// open lets calls in: r exists.
func (in *inbound) open(r *raft.Raft) {
	in.raft = r
	close(in.opened)
}

// serve takes the calls of from until the context ends.
func (in *inbound) serve(from <-chan raft.RPC) {
	select {
	case <-in.opened:
	case <-in.ctx.Done():
		return
	}
	in.run(func() { in.beats.run(in.ctx) })
	for {
		select {
		case call := <-from:
			in.take(call)
		case <-in.ctx.Done():
			return
		}
	}
}

// take passes on a call, or answers it.
func (in *inbound) take(call raft.RPC) {
	if err := in.check(call.Command); err != nil {
		in.run(func() { refuse(call, err) })
		return
	}
	switch request := call.Command.(type) {
	case *raft.InstallSnapshotRequest:
		in.run(func() { in.snapshots.Receive(call, request) })
		return
	case *raft.AppendEntriesRequest:
		boundCommit(request)
	}
	in.pass(call)
}

// refuse answers a call with an error. The body of a snapshot is read first, or what is left of it
// would be taken for the next call.
func refuse(call raft.RPC, err error) {
	if call.Reader != nil {
		io.Copy(io.Discard, call.Reader)
	}
	call.Respond(nil, err)
}

// boundCommit lets a request commit no more than it proves. Raft commits up to the leader's
// commit index or the end of its own log, whichever comes first (v1.8.0, appendEntries). But
// only up to its own last entry does a request prove that the two logs are the same; behind it
// this member may have entries of an older term, which were never committed.
func boundCommit(request *raft.AppendEntriesRequest) {
	proven := request.PrevLogEntry + uint64(len(request.Entries))
	request.LeaderCommitIndex = min(request.LeaderCommitIndex, proven)
}

// pass gives a call to Raft's main goroutine.
func (in *inbound) pass(call raft.RPC) {
	select {
	case in.calls <- call:
	case <-in.ctx.Done():
		call.Respond(nil, raft.ErrRaftShutdown)
	}
}

// heartbeat takes a heartbeat on the goroutine of its connection.
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
func (in *inbound) check(command any) error {
	if err := in.believe(termOf(command)); err != nil {
		in.approach(command)
		return err
	}
	if term := termOf(command); term > 0 && term < in.raft.CurrentTerm() {
		return nil // Raft answers it with its own term, and takes nothing of it in
	}
	if err := checkTerms(command); err != nil {
		return in.refusals.note(reasonTerm, err)
	}
	if err := checkEntries(command); err != nil {
		return in.refusals.note(reasonEntries, err)
	}
	if request, ok := command.(*raft.TimeoutNowRequest); ok {
		if err := in.checkTransfer(request); err != nil {
			return in.refusals.note(reasonTransfer, err)
		}
	}
	if err := checkConfigurations(command); err != nil {
		return in.refusals.note(reasonConfiguration, err)
	}
	return nil
}

// believe returns an error if a term, of a request or of an answer, cannot be believed.
func (in *inbound) believe(term uint64) error {
	own := in.raft.CurrentTerm()
	err := checkTerm(term, own, func(atLeast uint64) bool { return in.reported(in.raft, atLeast) })
	if err != nil {
		return in.refusals.note(reasonTerm, err)
	}
	return nil
}

// approach raises this member's term by one step if a voter of its configuration asks for a vote in
// a term that cannot be believed. A member whose term is really that high refuses all lower ones,
// and would never be heard again. One step in each approachPause uses up no terms, and makes the
// two meet. Raft takes the step as a request for a vote with an empty log, which it refuses.
func (in *inbound) approach(command any) {
	var voter raft.ServerID
	switch c := command.(type) {
	case *raft.RequestVoteRequest:
		voter = raft.ServerID(c.ID)
	case *raft.RequestPreVoteRequest:
		voter = raft.ServerID(c.ID)
	}
	own, last := in.raft.CurrentTerm(), in.raft.LastIndex()
	known := slices.ContainsFunc(votersOf(in.raft), func(s raft.Server) bool { return s.ID == voter })
	if !known || last == 0 || !in.steps.begin(time.Now()) {
		return
	}
	step := &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(voter)},
		Term:      own + maxTermStep, LeadershipTransfer: true, // so that it is heard while there is a leader
	}
	in.run(func() { in.pass(raft.RPC{Command: step, RespChan: make(chan raft.RPCResponse, 1)}) })
}

// approachPause is the shortest time between two steps towards a term that is far ahead, at a time
// scale of 1: each costs an election.
const approachPause = 10 * electionTimeout

// pauses lets something begin once in a while.
type pauses struct {
	every time.Duration
	mu    sync.Mutex
	last  time.Time
}

// begin reports whether it is time, and counts the next pause from now if it is.
func (p *pauses) begin(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && now.Sub(p.last) < p.every {
		return false
	}
	p.last = now
	return true
}

// checkTransfer returns an error unless the leader that this member follows asks it to take
// over. Raft looks neither at the sender nor at a term: any sender could depose the master,
// and the election that begins skips the pre-vote.
func (in *inbound) checkTransfer(request *raft.TimeoutNowRequest) error {
	_, leader, _ := following(in.raft)
	if leader == "" || leader != raft.ServerID(request.ID) {
		return fmt.Errorf("%q asks this member to stand for election, and is not the leader that it follows, %q", request.ID, leader)
	}
	return nil
}

// checkTerms returns an error if an entry that a request has or names is of a later term than the
// request. A voter compares logs by their last terms: a candidate with such an entry would win every
// election.
func checkTerms(command any) error {
	term := termOf(command)
	var last uint64 // the latest term of an entry that may be
	var of uint64   // that of the last entry
	switch c := command.(type) {
	case *raft.AppendEntriesRequest:
		last, of = term, c.PrevLogTerm
		for _, e := range c.Entries {
			if e == nil || e.Term < of {
				return fmt.Errorf("the terms of the entries behind entry %d go down", c.PrevLogEntry)
			}
			of = e.Term
		}
	case *raft.RequestVoteRequest:
		last, of = term-1, c.LastLogTerm
	case *raft.RequestPreVoteRequest:
		last, of = term-1, c.LastLogTerm
	case *raft.InstallSnapshotRequest:
		last, of = term, c.LastLogTerm
	}
	if of > last {
		return fmt.Errorf("a request of the term %d names an entry of the term %d", term, of)
	}
	return nil
}

// checkEntries returns an error if the entries of a request do not follow on the one that it
// names as the one before them, as all that a leader sends do, or are of a type that Raft does
// not know: it would panic when they are committed.
func checkEntries(command any) error {
	request, ok := command.(*raft.AppendEntriesRequest)
	if !ok {
		return nil
	}
	for i, e := range request.Entries {
		if e == nil || e.Index != request.PrevLogEntry+1+uint64(i) {
			return fmt.Errorf("the entry %d places behind entry %d is another one", i+1, request.PrevLogEntry)
		}
		if len(e.Data)+len(e.Extensions) > maxLogEntry {
			return fmt.Errorf("entry %d has %d bytes; the most is %d", e.Index, len(e.Data)+len(e.Extensions), maxLogEntry)
		}
		if _, err := e.AppendedAt.MarshalBinary(); err != nil {
			return fmt.Errorf("entry %d has a time that the log cannot keep: %w", e.Index, err)
		}
		switch e.Type {
		case raft.LogCommand, raft.LogNoop, raft.LogBarrier, raft.LogConfiguration:
		default:
			return fmt.Errorf("entry %d is of the type %d, which is unknown or of an old version of Raft", e.Index, e.Type)
		}
	}
	return nil
}

// checkConfigurations returns an error if a request has a configuration that cannot be
// decoded: Raft would panic.
func checkConfigurations(command any) error {
	switch c := command.(type) {
	case *raft.AppendEntriesRequest:
		for _, e := range c.Entries {
			if e.Type != raft.LogConfiguration {
				continue
			}
			if _, err := snapshots.DecodeConfiguration(e.Data); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
		}
	case *raft.InstallSnapshotRequest:
		if c.SnapshotVersion != raft.SnapshotVersionMax {
			return fmt.Errorf("a snapshot of version %d; want %d", c.SnapshotVersion, raft.SnapshotVersionMax)
		}
		if _, err := snapshots.DecodeConfiguration(c.Configuration); err != nil {
			return fmt.Errorf("the snapshot at entry %d: %w", c.LastLogIndex, err)
		}
	}
	return nil
}

// refusals counts what inbound refuses, and logs each reason at most once in refusalPause.
type refusals struct {
	metrics *metrics
	log     *slog.Logger
	mu      sync.Mutex
	logged  map[string]time.Time
}

func newRefusals(m *metrics, log *slog.Logger) *refusals {
	for _, reason := range []string{reasonTerm, reasonEntries, reasonConfiguration, reasonTransfer} {
		m.raftRefused.WithLabelValues(reason) // shown from the beginning
	}
	return &refusals{metrics: m, log: log, logged: map[string]time.Time{}}
}

// note counts a refusal and returns its error.
func (r *refusals) note(reason string, err error) error {
	r.metrics.raftRefused.WithLabelValues(reason).Inc()
	now := time.Now()
	r.mu.Lock()
	last, before := r.logged[reason]
	quiet := before && now.Sub(last) < refusalPause
	if !quiet {
		r.logged[reason] = now
	}
	r.mu.Unlock()
	if !quiet {
		r.log.Warn("refused a message of another member's Raft", "reason", reason, "error", err)
	}
	return err
}
