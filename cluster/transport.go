package cluster

import (
	"context"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// transport adds to the address, which is all that hashicorp/raft's own transport knows a receiver by, the server id: address/id. What comes in
// has two sources: the others' Rafts, and what the master's stream says (commits.go).
type transport struct {
	*raft.NetworkTransport
	calls chan raft.RPC
}

// newTransport is over until ctx ends.
func newTransport(ctx context.Context, over *raft.NetworkTransport) transport {
	t := transport{over, make(chan raft.RPC)}
	go func() {
		for {
			select {
			case call := <-over.Consumer():
				select {
				case t.calls <- call:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return t
}

// Consumer gives the calls that come in.
func (t transport) Consumer() <-chan raft.RPC { return t.calls }

func receiver(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return addr + "/" + raft.ServerAddress(id)
}

// AppendEntriesPipeline opens a pipeline.
func (t transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, receiver(id, to))
	if err != nil {
		return nil, err
	}
	return newPipeline(p), nil
}

// AppendEntries sends entries of the log.
func (t transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	return t.NetworkTransport.AppendEntries(id, receiver(id, to), q, a)
}

// RequestVote asks for a vote.
func (t transport) RequestVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, receiver(id, to), q, a)
}

// RequestPreVote asks whether there would be a vote.
func (t transport) RequestPreVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	return t.NetworkTransport.RequestPreVote(id, receiver(id, to), q, a)
}

// InstallSnapshot sends a snapshot.
func (t transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, q *raft.InstallSnapshotRequest, a *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, receiver(id, to), q, a, data)
}

// TimeoutNow makes another member stand for election at once.
func (t transport) TimeoutNow(id raft.ServerID, to raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, receiver(id, to), q, a)
}

// pipeline ends at the first answer that is not a success. hashicorp/raft takes no answers after that one, and its own pipeline does not take
// entries then: whoever was handing one over would hang, the follower would get no more entries from this master, and Close would never return.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
}

func newPipeline(inner raft.AppendPipeline) *pipeline {
	p := &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
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
