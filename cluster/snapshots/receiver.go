package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"

	"laurel/fsm"
)

// Outcomes of receiving a snapshot.
const (
	Installed = "installed"
	Known     = "known" // the log had its last entry already
	Failed    = "failed"
)

// errSuperseded ends a reception when another one begins.
var errSuperseded = errors.New("another snapshot has replaced it")

// ReceiverOptions are what a Receiver needs of its member.
type ReceiverOptions struct {
	Store   *Store
	Machine *fsm.Machine
	Header  raft.RPCHeader // of the responses
	// Term returns the current term of Raft.
	Term func() uint64
	// Pass gives a request to Raft's main goroutine.
	Pass func(raft.RPC)
	// Stopped is closed when Raft has stopped.
	Stopped <-chan struct{}
	// Fail ends the member after an error of its disk.
	Fail func(error)
	// Count is called with the outcome of each reception.
	Count  func(outcome string)
	Logger *slog.Logger
}

// Receiver receives the snapshots that a master sends.
//
// hashicorp/raft receives a snapshot on its main goroutine: it reads the body from the
// network, writes it, and has the state machine read it again. Until that ends the member
// neither votes nor starts an election, and if the master hangs it never ends. Raft also
// checks nothing but the snapshot's term, so a snapshot that arrives late removes entries
// that were acked since.
//
// A Receiver receives a snapshot on another goroutine. If the log has the snapshot's last
// entry already, it acknowledges the snapshot and drops it. Otherwise Raft gets the
// request when the snapshot is on the disk and its state is built, and has only two files
// to rename.
type Receiver struct {
	opts ReceiverOptions

	mu      sync.Mutex
	current *reception
	// installing is held from the check of the log until Raft has installed a snapshot,
	// so that no other snapshot is installed in between.
	installing sync.Mutex
}

// NewReceiver returns a receiver.
func NewReceiver(o ReceiverOptions) *Receiver { return &Receiver{opts: o} }

// reception is a snapshot that is being received. Its context ends when another one
// replaces it.
type reception struct {
	ctx    context.Context
	cancel context.CancelFunc
	term   uint64
}

// Receive receives one snapshot and responds to the request. If the master goes silent,
// the connection's own deadline for progress ends the reception.
func (r *Receiver) Receive(call raft.RPC, request *raft.InstallSnapshotRequest) {
	outcome, err := r.receive(call, request)
	// The body must be read to its end before the response is sent.
	io.Copy(io.Discard, call.Reader)
	r.opts.Count(outcome)
	term := max(r.opts.Term(), request.Term)
	response := &raft.InstallSnapshotResponse{
		RPCHeader: r.opts.Header,
		Term:      term,
		Success:   err == nil && term == request.Term,
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) {
		r.opts.Fail(fmt.Errorf("receive a snapshot of the master: %w", err)) // the master would send it again and again
	}
	if err != nil {
		r.opts.Logger.Warn("a snapshot of the master was not installed", "index", request.LastLogIndex,
			"snapshot_term", request.LastLogTerm, "size", request.Size, "err", err)
	}
	call.Respond(response, err)
}

func (r *Receiver) receive(call raft.RPC, request *raft.InstallSnapshotRequest) (outcome string, err error) {
	if own := r.opts.Term(); request.Term < own {
		return Failed, fmt.Errorf("its term is %d, and this member is in term %d", request.Term, own)
	}
	if r.known(request) {
		return Known, nil
	}
	one, err := r.begin(request.Term)
	if err != nil {
		return Failed, err
	}
	defer r.end(one)
	got, err := r.spool(one, call.Reader, request)
	if err != nil {
		return Failed, err
	}
	defer got.discard()
	return r.install(got, request)
}

// known reports whether the log has the last entry of a snapshot, or begins after it. The
// term of the entry counts: a log that another master wrote may have another entry with
// that index.
func (r *Receiver) known(request *raft.InstallSnapshotRequest) bool {
	var e raft.Log
	err := r.opts.Store.log.GetLog(request.LastLogIndex, &e)
	if err == nil {
		return e.Term == request.LastLogTerm
	}
	return request.LastLogIndex < r.opts.Store.log.Start() && request.LastLogIndex <= r.opts.Machine.Applied()
}

// begin makes a reception the current one. A later reception of the same or a later term
// replaces the current one, which its sender has given up.
func (r *Receiver) begin(term uint64) (*reception, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.current; before != nil {
		if term < before.term {
			return nil, fmt.Errorf("a snapshot of term %d is being received", before.term)
		}
		before.cancel()
	}
	one := &reception{term: term}
	one.ctx, one.cancel = context.WithCancel(context.Background())
	r.current = one
	return one, nil
}

func (r *Receiver) end(one *reception) {
	one.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == one {
		r.current = nil
	}
}

// spool writes the body to the directory of the snapshots, waits for the disk, and builds
// its state beside the state machine.
func (r *Receiver) spool(
	one *reception, body io.Reader, request *raft.InstallSnapshotRequest,
) (got *received, err error) {
	// The peer port has checked that the configuration can be decoded.
	configuration := raft.DecodeConfiguration(request.Configuration)
	got = &received{meta: raft.SnapshotMeta{
		Version:            raft.SnapshotVersionMax,
		Index:              request.LastLogIndex,
		Term:               request.LastLogTerm,
		Configuration:      configuration,
		ConfigurationIndex: request.ConfigurationIndex,
		Size:               request.Size,
	}}
	defer func() {
		if err != nil {
			got.discard()
		}
	}()
	got.sink, err = r.opts.Store.files.Create(raft.SnapshotVersionMax, got.meta.Index, got.meta.Term,
		configuration, got.meta.ConfigurationIndex, noPeers{})
	if err != nil {
		return got, fmt.Errorf("create a file for it: %w", err)
	}
	got.meta.ID = got.sink.ID()
	r.opts.Logger.Info("receiving a snapshot of the master", "index", got.meta.Index, "size", request.Size)
	spooled := &countingWriter{w: got.sink}
	arriving := io.TeeReader(&contextReader{one.ctx, body}, spooled)
	if got.prepared, err = r.opts.Machine.Prepare(arriving); err == nil {
		_, err = io.Copy(io.Discard, arriving) // bytes after the state count, too
	}
	if err == nil && spooled.n != request.Size {
		err = io.ErrUnexpectedEOF
	}
	if one.ctx.Err() != nil {
		return got, errSuperseded
	}
	if err != nil {
		return got, fmt.Errorf("receive it, %d of %d bytes: %w", spooled.n, request.Size, err)
	}
	// The state may be of an earlier entry: not every entry changes the state machine.
	if got.prepared.Applied > request.LastLogIndex {
		return got, fmt.Errorf("its state is of entry %d, which is after its last entry %d",
			got.prepared.Applied, request.LastLogIndex)
	}
	if err := r.opts.Store.syncState(got.meta.ID); err != nil {
		return got, fmt.Errorf("write it to the disk: %w", err)
	}
	return got, nil
}

// install gives a snapshot to Raft and waits until it is installed. The same snapshot may
// have arrived another way meanwhile, and entries after it; they are kept.
func (r *Receiver) install(got *received, request *raft.InstallSnapshotRequest) (outcome string, err error) {
	r.installing.Lock()
	defer r.installing.Unlock()
	if r.known(request) {
		return Known, nil
	}
	// A later state contains everything that was applied here.
	if here := r.opts.Machine.Revision(); got.prepared.Revision < here {
		return Failed, fmt.Errorf("it would set revision %d back to %d", here, got.prepared.Revision)
	}
	if err := r.follow(request); err != nil {
		return Failed, err
	}
	r.opts.Store.log.NoteApplied()
	r.opts.Store.offer(got)
	defer r.opts.Store.offer(nil)
	answer, err := r.call(raft.RPC{Command: request, Reader: strings.NewReader("")})
	if err != nil {
		return Failed, err
	}
	if response, ok := answer.Response.(*raft.InstallSnapshotResponse); !ok || !response.Success {
		return Failed, errors.New("raft did not install it")
	}
	r.opts.Store.log.ContinueAfter(got.meta.Index, got.meta.Term)
	return Installed, nil
}

// follow first lets Raft process a heartbeat of the snapshot's sender. A candidate that
// installs a snapshot takes the sender for its leader, but stays a candidate
// (hashicorp/raft v1.8.0, installSnapshot), and a candidate never forgets its leader: if
// the sender is then lost, this member votes for nobody. A heartbeat makes it a follower,
// whose leader times out.
func (r *Receiver) follow(request *raft.InstallSnapshotRequest) error {
	heartbeat := &raft.AppendEntriesRequest{RPCHeader: request.RPCHeader, Term: request.Term}
	answer, err := r.call(raft.RPC{Command: heartbeat})
	if err != nil {
		return err
	}
	if response, ok := answer.Response.(*raft.AppendEntriesResponse); !ok || !response.Success {
		return errors.New("its sender is no longer the leader")
	}
	return nil
}

// call passes a request to Raft's main goroutine and returns the response.
func (r *Receiver) call(request raft.RPC) (raft.RPCResponse, error) {
	answered := make(chan raft.RPCResponse, 1)
	request.RespChan = answered
	r.opts.Pass(request)
	select {
	case answer := <-answered:
		return answer, answer.Error
	case <-r.opts.Stopped: // Raft may never answer, and does nothing more
		return raft.RPCResponse{}, raft.ErrRaftShutdown
	}
}

// received is a snapshot of the master that is complete on the disk, and the state built
// from it.
type received struct {
	meta     raft.SnapshotMeta
	sink     raft.SnapshotSink // nil before it is created
	stored   bool              // under its name: Raft has closed the sink
	prepared *fsm.Prepared     // nil before it is built
}

// discard removes the parts that were not installed.
func (r *received) discard() {
	if r.sink != nil && !r.stored {
		r.sink.Cancel()
	}
	if r.prepared != nil {
		r.prepared.Discard()
	}
}

// contextReader is a reader that ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads unless the context has ended.
func (c *contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, errSuperseded
	}
	return c.r.Read(b)
}

// countingWriter counts the bytes that it writes.
type countingWriter struct {
	w io.Writer
	n int64
}

// Write writes and counts.
func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// noPeers is the transport that encodes addresses for a snapshot. Raft stores them for
// old versions, whose snapshots had no configuration.
type noPeers struct{ raft.Transport }

// EncodePeer returns the address.
func (noPeers) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
