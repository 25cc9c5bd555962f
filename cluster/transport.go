package cluster

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// transport adds to the address, which is all that hashicorp/raft's own transport knows a receiver by, the server id: address/id. What comes in
// goes through inbound; what the master's stream says of commits comes beside (commits.go). An answer whose term cannot be believed is no answer.
type transport struct {
	*raft.NetworkTransport
	*inbound
}

// Consumer returns the calls that come in.
func (t transport) Consumer() <-chan raft.RPC { return t.calls }

// SetHeartbeatHandler lets heartbeats be taken by inbound, not by the handler that Raft gives: see heartbeats.
func (t transport) SetHeartbeatHandler(func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(t.heartbeat)
}

func receiver(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return addr + "/" + raft.ServerAddress(id)
}

// answered returns err, or an error if the term of the answer cannot be believed. The answer
// then has no term: Raft may look at it all the same.
func (t transport) answered(err error, term *uint64) error {
	if err == nil {
		err = t.believe(*term)
	}
	if err != nil {
		*term = 0
	}
	return err
}

// AppendEntriesPipeline opens a pipeline.
func (t transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, receiver(id, to))
	if err != nil {
		return nil, err
	}
	return newPipeline(p, t.believe), nil
}

// AppendEntries sends entries of the log.
func (t transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	return t.answered(t.NetworkTransport.AppendEntries(id, receiver(id, to), q, a), &a.Term)
}

// RequestVote asks for a vote.
func (t transport) RequestVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	return t.answered(t.NetworkTransport.RequestVote(id, receiver(id, to), q, a), &a.Term)
}

// RequestPreVote asks whether there would be a vote.
func (t transport) RequestPreVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	return t.answered(t.NetworkTransport.RequestPreVote(id, receiver(id, to), q, a), &a.Term)
}

// InstallSnapshot sends a snapshot.
func (t transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, q *raft.InstallSnapshotRequest, a *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.answered(t.NetworkTransport.InstallSnapshot(id, receiver(id, to), q, a, data), &a.Term)
}

// TimeoutNow makes another member stand for election at once.
func (t transport) TimeoutNow(id raft.ServerID, to raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, receiver(id, to), q, a)
}

// pipeline ends at the first answer that is not a success. hashicorp/raft takes no answers after that one, and its own pipeline does not take
// entries then: whoever was handing one over would hang, the follower would get no more entries from this master, and Close would never return.
type pipeline struct {
	raft.AppendPipeline
	believe func(term uint64) error
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
}

func newPipeline(inner raft.AppendPipeline, believe func(term uint64) error) *pipeline {
	p := &pipeline{AppendPipeline: inner, believe: believe, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	go p.pass()
	return p
}

func (p *pipeline) pass() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() != nil || !f.Response().Success || f.Response().Term > f.Request().Term {
				p.AppendPipeline.Close()
			}
			if f.Error() == nil && p.believe(f.Response().Term) != nil {
				continue // Raft would step down for it
			}
			select {
			case p.answers <- f:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

// Consumer gives the answers, in order.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close ends the pipeline. It may be called again.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}
