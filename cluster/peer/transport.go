package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"laurel/cluster/internal/hclogger"
	"laurel/trust/pki"
)

const (
	// maxPooledConns is the number of idle Raft connections kept to each other member.
	maxPooledConns = 4
	// maxMessage bounds the entries of one message to a follower, in bytes. A message with
	// one entry may be larger.
	maxMessage = 8 << 20
)

// TransportConfig configures a Transport.
type TransportConfig struct {
	Port          *Port
	Timeout       time.Duration // for one message, and for progress within a message
	ApproachPause time.Duration // see approach
	// Round is the longest time between two acknowledged rounds while all is well, and
	// RoundPause for how long heartbeats are sent after one was late; see acks.
	Round, RoundPause time.Duration
	ElectionTimeout   time.Duration // Raft's
	MaxEntry          int           // bounds the data of a log entry, in bytes
	Full              func() bool   // reports whether the log has no room for entries now
	// CheckCommand returns why the state machine cannot parse the command of an entry, or
	// nil. Applying such a command ends a member for good, so none is appended.
	CheckCommand func(data []byte) error
	// Unreadable is called with the sender of a command that cannot be parsed; it may be nil.
	Unreadable func(name string)
	// TermReported reports whether a majority of the voters last said that their term is
	// at least term.
	TermReported func(term uint64) bool
	// MayVote returns why this member must not take part in elections now, or nil. It is
	// first called after Open.
	MayVote func() error
	// FirstTerm returns the first term in which this member may take part in an election: in
	// an earlier one it may have voted already, and have forgotten it.
	FirstTerm func() uint64
	// Signed reports whether an operator has signed in a frontend; nil in a group whose
	// members know nobody else.
	Signed func(name string) bool
	// Holds is called when a message shows that another member's log holds an entry, before
	// Raft learns of it.
	Holds func(id raft.ServerID, index, term uint64)
	// Go runs a function on a goroutine that the member waits for when it closes.
	Go func(func())
	// Stopping reports whether this member is stopping: lost connections, and requests to take
	// over, are then no news.
	Stopping func() bool
	Stopped  <-chan struct{}        // closed when Raft has stopped
	Refused  *prometheus.CounterVec // laurel_raft_refused_total
	Logger   *slog.Logger
}

// Transport is Raft's transport between members. hashicorp/raft processes whatever the
// network delivers, in any order. Transport passes on only the requests and answers that
// can be true and that cannot undo what this member has promised to others.
// docs/decisions names each fault of hashicorp/raft that it guards against.
//
// Its methods with a receiver's address replace those of raft.NetworkTransport for two
// reasons: they add the receiver's server id to the address, and an answer whose term
// cannot be believed becomes an error. A raft.ServerAddressProvider could do the first,
// but not the second, and knows the receiver's id but not the address that Raft has for
// it.
type Transport struct {
	*raft.NetworkTransport                // sends; each accepted connection has another one, see serve
	Header                 raft.RPCHeader // of this member's answers

	config    TransportConfig
	layer     raft.StreamLayer
	ctx       context.Context
	calls     chan raft.RPC // read by Raft's main goroutine
	beat      chan raft.RPC // a copy of the latest heartbeat that Raft has not taken yet
	acks      acks
	candidate atomic.Pointer[candidate] // the latest
	reloading sync.Mutex                // see checkTimer
	refusals  *Refusals
	steps     rate.Sometimes                                          // of approach
	follow    func() (term uint64, leader raft.ServerID, last uint64) // see following

	opened chan struct{} // closed when raft is set
	raft   *raft.Raft
}

// NewTransport returns a transport whose requests and answers are checked until ctx ends.
func NewTransport(ctx context.Context, c TransportConfig) *Transport {
	layer := c.Port.RaftLayer(c.Timeout)
	t := &Transport{
		NetworkTransport: newNetworkTransport(&dialingLayer{StreamLayer: layer, closed: make(chan struct{})}, &c),
		config:           c, layer: layer, ctx: ctx,
		calls: make(chan raft.RPC), beat: make(chan raft.RPC, 1), opened: make(chan struct{}),
		refusals: NewRefusals(c.Refused, c.Logger, reasonTerm, reasonEntries, reasonUnreadable, reasonConfiguration,
			reasonTransfer, reasonForgot, reasonSender),
		steps: rate.Sometimes{Interval: c.ApproachPause},
		acks:  acks{round: c.Round, pause: c.RoundPause},
	}
	self := c.Port.config.ServerID
	t.Header = raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(self), Addr: t.EncodePeer(self, t.LocalAddr()),
	}
	t.follow = t.following
	return t
}

func newNetworkTransport(layer raft.StreamLayer, c *TransportConfig) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: maxPooledConns, Timeout: c.Timeout, Logger: hclogger.New(c.Logger, c.Stopping),
	})
}

// Open admits requests: r is the Raft of this transport.
func (t *Transport) Open(r *raft.Raft) {
	t.raft = r
	close(t.opened)
}

// awaitOpen waits for Open. It returns false if the context ends before.
func (t *Transport) awaitOpen() bool {
	select {
	case <-t.opened:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// Deliver gives a request to Raft's main goroutine without any check.
func (t *Transport) Deliver(call raft.RPC) {
	select {
	case t.calls <- call:
	case <-t.ctx.Done():
		call.Respond(nil, raft.ErrRaftShutdown)
	}
}

// Call gives a request to Raft without any check, and returns the answer.
func (t *Transport) Call(call raft.RPC) (raft.RPCResponse, error) {
	answers := make(chan raft.RPCResponse, 1)
	call.RespChan = answers
	t.Deliver(call)
	select {
	case answer := <-answers:
		return answer, answer.Error
	case <-t.config.Stopped: // Raft may never answer, and does nothing more
		return raft.RPCResponse{}, raft.ErrRaftShutdown
	}
}

// Term returns Raft's term. It must not be called before Open.
func (t *Transport) Term() uint64 { return t.raft.CurrentTerm() }

// Consumer returns the requests that Raft is to handle.
func (t *Transport) Consumer() <-chan raft.RPC { return t.calls }

// SetHeartbeatHandler ignores Raft's handler of heartbeats in favor of the transport's
// own; see heartbeat.
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// checkAnswer returns err, or an error if the term of the answer cannot be believed. The
// answer then has no term, because Raft may look at it despite the error.
func (t *Transport) checkAnswer(err error, term *uint64) error {
	switch {
	case err != nil:
	case t.awaitOpen(): // Raft may send its first request before NewRaft has returned
		err = t.checkTerm(*term)
	default:
		err = raft.ErrTransportShutdown
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
	return newPipeline(p, func(q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
		err := t.checkTerm(a.Term)
		if err == nil && a.Success {
			t.noteHeld(id, q)
		}
		return err
	}), nil
}

// AppendEntries sends log entries.
func (t *Transport) AppendEntries(
	id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse,
) error {
	if isHeartbeat(q) && t.acks.await(t.ctx, id, q.Term) {
		// Raft decodes its next answer into this one, and so into the bytes of a header.
		*a = raft.AppendEntriesResponse{Term: q.Term, Success: true}
		return nil
	}
	shorten(q)
	err := t.checkAnswer(t.NetworkTransport.AppendEntries(id, Address(id, to), q, a), &a.Term)
	switch {
	case err != nil:
		t.acks.distrust(id)
	case a.Success:
		t.noteHeld(id, q)
	}
	return err
}

// noteHeld notes that a member's log holds the last entry of a request. A heartbeat has none.
func (t *Transport) noteHeld(id raft.ServerID, q *raft.AppendEntriesRequest) {
	index, term := q.PrevLogEntry, q.PrevLogTerm
	if n := len(q.Entries); n > 0 {
		index, term = q.Entries[n-1].Index, q.Entries[n-1].Term
	}
	if index > 0 {
		t.config.Holds(id, index, term)
	}
}

// shorten limits the entries of a request to maxMessage. hashicorp/raft counts entries only.
// It looks at the request to learn which entries were sent, and sends the next ones after
// them.
func shorten(q *raft.AppendEntriesRequest) {
	bytes := 0
	for i, e := range q.Entries {
		if bytes += len(e.Data); bytes > maxMessage && i > 0 {
			clear(q.Entries[i:])
			q.Entries = q.Entries[:i]
			return
		}
	}
}

// RequestVote asks for a vote. Raft hears no answer while this member must not take part
// in elections, so it never is more than a candidate.
func (t *Transport) RequestVote(
	id raft.ServerID, to raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse,
) error {
	if err := t.mayVote(q.Term); err != nil {
		return err
	}
	return t.checkAnswer(t.NetworkTransport.RequestVote(id, Address(id, to), q, a), &a.Term)
}

// RequestPreVote asks whether a vote would be granted.
func (t *Transport) RequestPreVote(
	id raft.ServerID, to raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse,
) error {
	if err := t.mayVote(q.Term); err != nil {
		return err
	}
	if err := t.respectCandidate(q.Term, func(raft.ServerID) bool { return true }); err != nil {
		return err
	}
	err := t.checkAnswer(t.NetworkTransport.RequestPreVote(id, Address(id, to), q, a), &a.Term)
	if err == nil && a.Granted {
		self := t.config.Port.config.ServerID
		err = t.respectCandidate(q.Term, func(other raft.ServerID) bool { return other < self })
	}
	return err
}

// mayVote returns why this member must not take part in an election of a term now, or
// nil. If the term is too early, this member's term is raised, so that it can stand in the
// next one.
func (t *Transport) mayVote(term uint64) error {
	if !t.awaitOpen() {
		return raft.ErrTransportShutdown
	}
	if err := t.config.MayVote(); err != nil {
		return err
	}
	if first := t.config.FirstTerm(); term < first {
		if t.raft.CurrentTerm() < first-1 {
			t.raiseTerm(t.config.Port.config.ServerID, first-1)
		}
		return fmt.Errorf("%w, and may have voted in term %d before", ErrStarting, term)
	}
	return nil
}

// InstallSnapshot sends a snapshot.
func (t *Transport) InstallSnapshot(
	id raft.ServerID, to raft.ServerAddress, q *raft.InstallSnapshotRequest, a *raft.InstallSnapshotResponse,
	data io.Reader,
) error {
	err := t.checkAnswer(t.NetworkTransport.InstallSnapshot(id, Address(id, to), q, a, data), &a.Term)
	if err != nil {
		t.acks.distrust(id)
	}
	return err
}

// TimeoutNow makes another member stand for election at once.
func (t *Transport) TimeoutNow(
	id raft.ServerID, to raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse,
) error {
	return t.NetworkTransport.TimeoutNow(id, Address(id, to), q, a)
}

// Address returns the form in which Raft's transport is given a receiver: the address,
// and the server id that the receiver must have. hashicorp/raft's own transport knows
// only the address.
func Address(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return addr + "/" + raft.ServerAddress(id)
}

// RaftLayer returns the stream layer of Raft's transport. A message that has begun must
// make progress within stallTimeout, or its connection is closed.
func (p *Port) RaftLayer(stallTimeout time.Duration) raft.StreamLayer {
	return &streamLayer{p.layer(p.raft), stallTimeout}
}

// streamLayer is the stream layer of Raft. On an accepted connection a request is read,
// its answer written, and so on. hashicorp/raft's transport sets no deadline there, so
// streamLayer does. The body of a snapshot is part of its request.
type streamLayer struct {
	*layer
	stallTimeout time.Duration
}

// Accept waits for a connection.
func (l *streamLayer) Accept() (net.Conn, error) {
	c, err := l.layer.Accept()
	if err != nil {
		return nil, err
	}
	return &acceptedConn{Conn: c, stallTimeout: l.stallTimeout}, nil
}

// Dial connects to Raft at the member that to names; see Address. The transport's own
// write deadline grows with the size of a snapshot, so the connection also has one for
// progress.
func (l *streamLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	addr, id, _ := strings.Cut(string(to), "/")
	c, err := l.Port.Dial(ctx, addr, raft.ServerID(id), ProtocolRaft)
	if err != nil {
		return nil, err
	}
	return &dialedConn{Conn: c, stallTimeout: l.stallTimeout}, nil
}

// dialedConn is a connection on which this member sends requests.
type dialedConn struct {
	net.Conn
	stallTimeout time.Duration
}

// Write waits at most stallTimeout for the peer to take what is written.
func (c *dialedConn) Write(b []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.stallTimeout))
	return c.Conn.Write(b)
}

// acceptedConn is a connection on which this member answers requests. One goroutine at a
// time reads and writes it.
type acceptedConn struct {
	net.Conn
	stallTimeout time.Duration
	ended        func() error // called by Close; set before the connection is used
	reading      bool         // a request has begun
	failed       error        // the error that ended reading; later bytes must not be taken for another request
}

// sender returns the holder of the sender's certificate.
func (c *acceptedConn) sender() pki.Holder {
	if c, ok := c.Conn.(*conn); ok {
		return c.peer
	}
	return pki.Holder{}
}

// Close closes the connection.
func (c *acceptedConn) Close() error {
	err := c.Conn.Close()
	if c.ended != nil {
		err = errors.Join(err, c.ended())
	}
	return err
}

// Read waits without limit for a request to begin, and at most stallTimeout for it to go
// on.
func (c *acceptedConn) Read(b []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	if c.reading {
		c.Conn.SetReadDeadline(time.Now().Add(c.stallTimeout))
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.failed = err
	}
	c.reading = c.reading || n > 0
	return n, err
}

// Write writes an answer. The wait for the next request to begin is unlimited again.
func (c *acceptedConn) Write(b []byte) (int, error) {
	if c.reading {
		c.reading = false
		c.Conn.SetReadDeadline(time.Time{})
	}
	return c.Conn.Write(b)
}
