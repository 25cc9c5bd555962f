package cluster

import (
	"io"

	"github.com/hashicorp/raft"
)

// transport adds to the address, which is all that hashicorp/raft's own transport knows a receiver by, the server id: address/id.
type transport struct{ *raft.NetworkTransport }

func receiver(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return addr + "/" + raft.ServerAddress(id)
}

// AppendEntriesPipeline opens a pipeline.
func (t transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	return t.NetworkTransport.AppendEntriesPipeline(id, receiver(id, to))
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
