package snapshots

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/internal/durable"
	"laurel/cluster/peer"
	"laurel/fsm"
	"laurel/trust/access"
)

// Outcomes of receiving a snapshot.
const (
	Installed = "installed"
	Known     = "known" // the log had its last entry already
	Failed    = "failed"
)

// errSuperseded ends a reception when another one begins.
var errSuperseded = errors.New("another snapshot has replaced it")

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
	Store     *Store
	Machine   *fsm.Machine
	Transport *peer.Transport
	Fail      func(error)            // ends the member after an error of its disk
	Received  *prometheus.CounterVec // receptions, by outcome
	Logger    *slog.Logger
	// Check returns an error for the state of a snapshot that this member does not believe, or
	// for its configuration; nil believes each.
	Check func(*access.State, raft.Configuration) error

	mu      sync.Mutex
	current *reception // nil if there is none
	// installing has a value from the check of the log until Raft has installed a
	// snapshot, so that no other snapshot is installed in between. It is not a mutex,
	// because virtual time (testing/synctest) stops while a goroutine waits for one.
	installing     chan struct{}
	makeInstalling sync.Once
}

// reception is a snapshot that is being received, and the state built from it.
type reception struct {
	body       io.Reader
	term       uint64      // of the request
	superseded atomic.Bool // by another reception

	meta     raft.SnapshotMeta
	sink     raft.SnapshotSink // nil before it is created
	stored   atomic.Bool       // under its name: Raft has closed the sink
	prepared *fsm.Prepared     // nil before it is built
}

// Read reads the body until another reception begins.
func (r *reception) Read(b []byte) (int, error) {
	if r.superseded.Load() {
		return 0, errSuperseded
	}
	return r.body.Read(b)
}

// discard removes the parts that were not installed.
func (r *reception) discard() {
	if r.sink != nil && !r.stored.Load() {
		r.sink.Cancel()
	}
	if r.prepared != nil {
		r.prepared.Discard()
	}
}

// Receive receives one snapshot and responds to the request. If the master goes silent,
// the connection's own deadline for progress ends the reception.
func (r *Receiver) Receive(call raft.RPC, request *raft.InstallSnapshotRequest) {
	outcome, err := r.receive(call.Reader, request)
	// The body must be read to its end before the response is sent.
	io.Copy(io.Discard, call.Reader)
	r.Received.WithLabelValues(outcome).Inc()
	term := max(r.Transport.Term(), request.Term)
	response := &raft.InstallSnapshotResponse{
		RPCHeader: r.Transport.Header,
		Term:      term,
		Success:   err == nil && term == request.Term,
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) {
		r.Fail(fmt.Errorf("receive a snapshot of the master: %w", err)) // the master would send it again and again
	}
	if err != nil {
		r.Logger.Warn("a snapshot of the master was not installed", "index", request.LastLogIndex,
			"snapshot_term", request.LastLogTerm, "size", request.Size, "err", err)
	}
	call.Respond(response, err)
}

func (r *Receiver) receive(body io.Reader, request *raft.InstallSnapshotRequest) (outcome string, err error) {
	if own := r.Transport.Term(); request.Term < own {
		return Failed, fmt.Errorf("its term is %d, and this member is in term %d", request.Term, own)
	}
	if r.known(request) {
		return Known, nil
	}
	one := &reception{body: body, term: request.Term}
	if err := r.begin(one); err != nil {
		return Failed, err
	}
	defer r.end(one)
	if err := r.spool(one, request); err != nil {
		return Failed, err
	}
	return r.install(one, request)
}

// known reports whether the log has the last entry of a snapshot, or begins after it. The
// term of the entry counts: a log that another master wrote may have another entry with
// that index.
func (r *Receiver) known(request *raft.InstallSnapshotRequest) bool {
	var e raft.Log
	err := r.Store.log.GetLog(request.LastLogIndex, &e)
	if err == nil {
		return e.Term == request.LastLogTerm
	}
	return request.LastLogIndex < r.Store.log.Start() && request.LastLogIndex <= r.Machine.Applied()
}

// begin makes a reception the current one. A later reception of the same or a later term
// replaces the current one, which its sender has given up.
func (r *Receiver) begin(one *reception) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		if one.term < r.current.term {
			return fmt.Errorf("a snapshot of term %d is being received", r.current.term)
		}
		r.current.superseded.Store(true)
	}
	r.current = one
	return nil
}

func (r *Receiver) end(one *reception) {
	one.discard()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == one {
		r.current = nil
	}
}

// spool writes the body to the directory of the snapshots, waits for the disk, and builds
// its state beside the state machine.
func (r *Receiver) spool(one *reception, request *raft.InstallSnapshotRequest) (err error) {
	one.meta = raft.SnapshotMeta{
		Version:            raft.SnapshotVersionMax,
		Index:              request.LastLogIndex,
		Term:               request.LastLogTerm,
		Configuration:      raft.DecodeConfiguration(request.Configuration), // which the peer port has checked
		ConfigurationIndex: request.ConfigurationIndex,
		Size:               request.Size,
	}
	m := &one.meta
	one.sink, err = r.Store.create(m.Version, m.Index, m.Term, m.Configuration, m.ConfigurationIndex, r.Transport)
	if err != nil {
		return fmt.Errorf("create a file for it: %w", err)
	}
	m.ID = one.sink.ID()
	r.Logger.Info("receiving a snapshot of the master", "index", m.Index, "size", m.Size)
	left := &io.LimitedReader{R: one, N: m.Size}
	arriving := io.TeeReader(left, one.sink)
	if one.prepared, err = r.Machine.Prepare(arriving); err == nil {
		_, err = io.Copy(io.Discard, arriving) // bytes after the state count, too
	}
	if err == nil && left.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	if one.superseded.Load() {
		return errSuperseded
	}
	if err != nil {
		return fmt.Errorf("receive it, %d of %d bytes: %w", m.Size-left.N, m.Size, err)
	}
	// The state may be of an earlier entry: not every entry changes the state machine.
	if one.prepared.Applied > m.Index {
		return fmt.Errorf("its state is of entry %d, which is after its last entry %d", one.prepared.Applied, m.Index)
	}
	// Raft has little to wait for when it closes the snapshot.
	if err := durable.SyncFile(filepath.Join(r.Store.dir, m.ID+unfinishedSuffix, stateFile)); err != nil {
		return fmt.Errorf("write it to the disk: %w", err)
	}
	return nil
}

// install gives a snapshot to Raft and waits until it is installed. The same snapshot may
// have arrived another way meanwhile, and entries after it; they are kept.
func (r *Receiver) install(one *reception, request *raft.InstallSnapshotRequest) (outcome string, err error) {
	r.makeInstalling.Do(func() { r.installing = make(chan struct{}, 1) })
	r.installing <- struct{}{}
	defer func() { <-r.installing }()
	if r.known(request) {
		return Known, nil
	}
	// What was applied here was committed, and only another history has something else in its
	// place.
	if applied := r.Machine.Applied(); request.LastLogIndex <= applied {
		return Failed, fmt.Errorf("it ends at entry %d of another history, and entry %d was applied",
			request.LastLogIndex, applied)
	}
	// A later state contains everything that was applied here.
	if here := r.Machine.Revision(); one.prepared.Revision < here {
		return Failed, fmt.Errorf("it would set revision %d back to %d", here, one.prepared.Revision)
	}
	if r.Check != nil {
		if err := r.Check(one.prepared.Access(), one.meta.Configuration); err != nil {
			return Failed, fmt.Errorf("it is false: %w", err)
		}
	}
	if err := r.follow(request); err != nil {
		return Failed, err
	}
	r.Store.log.NoteApplied()
	r.Store.offered.Store(one)
	defer r.Store.offered.Store(nil)
	answer, err := r.Transport.Call(raft.RPC{Command: request, Reader: strings.NewReader("")})
	if err != nil {
		return Failed, err
	}
	if response, ok := answer.Response.(*raft.InstallSnapshotResponse); !ok || !response.Success {
		return Failed, errors.New("raft did not install it")
	}
	r.Store.log.ContinueAfter(one.meta.Index, one.meta.Term)
	return Installed, nil
}

// follow first lets Raft process a heartbeat of the snapshot's sender. A candidate that
// installs a snapshot takes the sender for its leader, but stays a candidate
// (hashicorp/raft v1.8.0, installSnapshot), and a candidate never forgets its leader: if
// the sender is then lost, this member votes for nobody. A heartbeat makes it a follower,
// whose leader times out.
func (r *Receiver) follow(request *raft.InstallSnapshotRequest) error {
	heartbeat := &raft.AppendEntriesRequest{RPCHeader: request.RPCHeader, Term: request.Term}
	answer, err := r.Transport.Call(raft.RPC{Command: heartbeat})
	if err != nil {
		return err
	}
	if response, ok := answer.Response.(*raft.AppendEntriesResponse); !ok || !response.Success {
		return errors.New("its sender is no longer the leader")
	}
	return nil
}
