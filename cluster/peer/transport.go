package peer

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// maxPooledConns is the number of idle Raft connections kept to each other member.
const maxPooledConns = 4

// TransportConfig configures a Transport.
type TransportConfig struct {
	Port          *Port
	ServerID      raft.ServerID // of this member
	Timeout       time.Duration // for one message, and for progress within a message
	ApproachPause time.Duration // see inbound.approach
	MaxEntry      int           // bounds the data of a log entry, in bytes
	// TermReported reports whether a majority of the voters last said that their term is
	// at least term.
	TermReported func(r *raft.Raft, term uint64) bool
	// Go runs a function on a goroutine that the member waits for when it closes.
	Go         func(func())
	Stopped    <-chan struct{}        // closed when Raft has stopped
	Refused    *prometheus.CounterVec // laurel_raft_refused_total
	Logger     *slog.Logger
	RaftLogger hclog.Logger
}

// Transport is Raft's transport between members. It passes on a request or an answer only
// if the checks of inbound allow it.
//
// Its methods with a receiver's address replace those of raft.NetworkTransport for two
// reasons: they add the receiver's server id to the address, and an answer whose term
// cannot be believed becomes an error. A raft.ServerAddressProvider could do the first,
// but not the second, and knows the receiver's id but not the address that Raft has for
// it.
type Transport struct {
	*raft.NetworkTransport
	serverID raft.ServerID
	stopped  <-chan struct{}
	in       *inbound
}

// NewTransport returns a transport whose requests and answers are checked until ctx ends.
func NewTransport(ctx context.Context, c TransportConfig) *Transport {
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: c.Port.RaftLayer(c.Timeout), MaxPool: maxPooledConns, Timeout: c.Timeout, Logger: c.RaftLogger,
	})
	t := &Transport{NetworkTransport: network, serverID: c.ServerID, stopped: c.Stopped}
	t.in = newInbound(ctx, c, t.Header())
	return t
}

// Header returns the header of this member's answers.
func (t *Transport) Header() raft.RPCHeader {
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.serverID),
		Addr: t.EncodePeer(t.serverID, t.LocalAddr()),
	}
}

// Serve checks the requests of other members until the context ends. It gives snapshots
// to install to snapshot, on a goroutine of their own, and all else to Raft. It waits for
// Open.
func (t *Transport) Serve(snapshot func(raft.RPC, *raft.InstallSnapshotRequest)) {
	t.in.serve(t.NetworkTransport.Consumer(), snapshot)
}

// Open admits requests: r is the Raft of this transport.
func (t *Transport) Open(r *raft.Raft) { t.in.open(r) }

// Deliver gives a request to Raft without any check.
func (t *Transport) Deliver(call raft.RPC) { t.in.deliver(call) }

// Call gives a request to Raft without any check, and returns the answer.
func (t *Transport) Call(call raft.RPC) (raft.RPCResponse, error) {
	answers := make(chan raft.RPCResponse, 1)
	call.RespChan = answers
	t.in.deliver(call)
	select {
	case answer := <-answers:
		return answer, answer.Error
	case <-t.stopped: // Raft may never answer, and does nothing more
		return raft.RPCResponse{}, raft.ErrRaftShutdown
	}
}

// Term returns Raft's term. It must not be called before Open.
func (t *Transport) Term() uint64 { return t.in.raft.CurrentTerm() }

// Consumer returns the requests that Raft is to handle.
func (t *Transport) Consumer() <-chan raft.RPC { return t.in.calls }

// SetHeartbeatHandler ignores Raft's handler of heartbeats in favor of the transport's
// own; see heartbeats.
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(t.in.heartbeat)
}

// checkAnswer returns err, or an error if the term of the answer cannot be believed. The
// answer then has no term, because Raft may look at it despite the error.
func (t *Transport) checkAnswer(err error, term *uint64) error {
	if err == nil {
		err = t.in.checkTerm(*term)
	}
	if err != nil {
		*term = 0
	}
	return err
}

// AppendEntriesPipeline opens a pipeline.
func (t *Transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, Address(id, to))
	if err != nil {
		return nil, err
	}
	return newPipeline(p, t.in.checkTerm), nil
}

// AppendEntries sends log entries.
func (t *Transport) AppendEntries(
	id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse,
) error {
	return t.checkAnswer(t.NetworkTransport.AppendEntries(id, Address(id, to), q, a), &a.Term)
}

// RequestVote asks for a vote.
func (t *Transport) RequestVote(
	id raft.ServerID, to raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse,
) error {
	return t.checkAnswer(t.NetworkTransport.RequestVote(id, Address(id, to), q, a), &a.Term)
}

// RequestPreVote asks whether a vote would be granted.
func (t *Transport) RequestPreVote(
	id raft.ServerID, to raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse,
) error {
	return t.checkAnswer(t.NetworkTransport.RequestPreVote(id, Address(id, to), q, a), &a.Term)
}

// InstallSnapshot sends a snapshot.
func (t *Transport) InstallSnapshot(
	id raft.ServerID, to raft.ServerAddress, q *raft.InstallSnapshotRequest, a *raft.InstallSnapshotResponse,
	data io.Reader,
) error {
	return t.checkAnswer(t.NetworkTransport.InstallSnapshot(id, Address(id, to), q, a, data), &a.Term)
}

// TimeoutNow makes another member stand for election at once.
func (t *Transport) TimeoutNow(
	id raft.ServerID, to raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse,
) error {
	return t.NetworkTransport.TimeoutNow(id, Address(id, to), q, a)
}
