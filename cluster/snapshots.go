package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/fsm"
)

// hashicorp/raft takes a snapshot of the master in on its main goroutine: it reads the body
// from the network, writes it, and has the state machine read it again. Until that ends the
// member neither votes nor stands, and where the master hangs it does not end. And it looks at
// nothing but the snapshot's term: one that comes late removes entries that were acked since.
// So a snapshot is received here, beside Raft. What the log has already is acknowledged and
// dropped. Else Raft gets the call when the snapshot lies whole on the disk and the state is
// made of it: what is left for Raft to do are two renames.

// Outcomes of laurel_snapshots_received_total.
const (
	snapshotInstalled = "installed"
	snapshotKnown     = "known" // the log had its last entry
	snapshotFailed    = "failed"
)

// errSuperseded ends the reception of a snapshot when another one begins.
var errSuperseded = errors.New("another snapshot is received in its place")

// snapshotReceiver receives the snapshots that a master sends.
type snapshotReceiver struct {
	store    *snapshotStore
	header   raft.RPCHeader // of the answers
	prepare  func(io.Reader) (*fsm.Prepared, error)
	applied  func() uint64
	revision func() uint64
	term     func() uint64
	pass     func(raft.RPC)  // gives a call to Raft's main goroutine
	stopped  <-chan struct{} // closed when Raft has stopped
	fail     func(error)     // ends the member
	metrics  *metrics
	log      *slog.Logger

	mu      sync.Mutex
	current *reception
	// installing is held from the look at the log until Raft has installed a snapshot, so that
	// no other snapshot is installed in between.
	installing sync.Mutex
}

// reception is a snapshot under way. Its context ends when another takes its place.
type reception struct {
	ctx    context.Context
	cancel context.CancelFunc
	term   uint64
}

// receive takes one snapshot and answers the call. The connection's own deadline for progress
// ends it if the master goes silent; see bodyConn.
func (r *snapshotReceiver) receive(call raft.RPC, request *raft.InstallSnapshotRequest) {
	outcome, err := r.take(call, request)
	// The body must be read to its end before an answer is sent.
	io.Copy(io.Discard, call.Reader)
	r.metrics.snapshotsReceived.WithLabelValues(outcome).Inc()
	term := max(r.term(), request.Term)
	answer := &raft.InstallSnapshotResponse{RPCHeader: r.header, Term: term, Success: err == nil && term == request.Term}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO) {
		r.fail(fmt.Errorf("receive a snapshot of the master: %w", err)) // the master would send it again and again
	}
	if err != nil {
		r.log.Warn("a snapshot of the master was not installed", "index", request.LastLogIndex, "snapshot_term", request.LastLogTerm,
			"size", request.Size, "error", err)
	}
	call.Respond(answer, err)
}

func (r *snapshotReceiver) take(call raft.RPC, request *raft.InstallSnapshotRequest) (outcome string, err error) {
	if own := r.term(); request.Term < own {
		return snapshotFailed, fmt.Errorf("it is of the term %d, and this member is in %d", request.Term, own)
	}
	if r.has(request) {
		return snapshotKnown, nil
	}
	one, err := r.begin(request.Term)
	if err != nil {
		return snapshotFailed, err
	}
	defer r.end(one)
	got, err := r.spool(one, call.Reader, request)
	if err != nil {
		return snapshotFailed, err
	}
	defer got.discard()
	return r.install(got, request)
}

// has reports whether the log has a snapshot's last entry, or goes on behind it. The entry's
// term counts: a log that another master wrote may have another entry there.
func (r *snapshotReceiver) has(request *raft.InstallSnapshotRequest) bool {
	var e raft.Log
	err := r.store.log.GetLog(request.LastLogIndex, &e)
	if err == nil {
		return e.Term == request.LastLogTerm
	}
	return request.LastLogIndex < r.store.log.begins() && request.LastLogIndex <= r.applied()
}

// begin makes a reception the current one. One of a later term, or a later one of the same
// term, takes the place of that before: its sender has given it up.
func (r *snapshotReceiver) begin(term uint64) (*reception, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.current; before != nil {
		if term < before.term {
			return nil, fmt.Errorf("one of the term %d is being received", before.term)
		}
		before.cancel()
	}
	one := &reception{term: term}
	one.ctx, one.cancel = context.WithCancel(context.Background())
	r.current = one
	return one, nil
}

func (r *snapshotReceiver) end(one *reception) {
	one.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == one {
		r.current = nil
	}
}

// spool writes the body to the snapshots' directory and waits for the disk, and makes the
// state of it beside the state machine.
func (r *snapshotReceiver) spool(one *reception, body io.Reader, request *raft.InstallSnapshotRequest) (got *received, err error) {
	config, err := peer.DecodeConfiguration(request.Configuration)
	if err != nil {
		return nil, err
	}
	got = &received{meta: raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, Index: request.LastLogIndex, Term: request.LastLogTerm,
		Configuration: config, ConfigurationIndex: request.ConfigurationIndex, Size: request.Size,
	}}
	defer func() {
		if err != nil {
			got.discard()
		}
	}()
	got.sink, err = r.store.files.Create(raft.SnapshotVersionMax, got.meta.Index, got.meta.Term, config, got.meta.ConfigurationIndex, noPeers{})
	if err != nil {
		return got, fmt.Errorf("create a file for it: %w", err)
	}
	got.meta.ID = got.sink.ID()
	r.log.Info("receiving a snapshot of the master", "index", got.meta.Index, "size", request.Size)
	spooled := &counting{w: got.sink}
	arriving := io.TeeReader(&superseding{one.ctx, body}, spooled)
	if got.prepared, err = r.prepare(arriving); err == nil {
		_, err = io.Copy(io.Discard, arriving) // what is behind the state counts too
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
	// It may be of an earlier one: the entries between say nothing to the state machine.
	if got.prepared.Applied > request.LastLogIndex {
		return got, fmt.Errorf("its state is of entry %d, and it says that it is of entry %d", got.prepared.Applied, request.LastLogIndex)
	}
	if err := r.store.sync(got.meta.ID); err != nil {
		return got, fmt.Errorf("write it to the disk: %w", err)
	}
	return got, nil
}

// install hands a snapshot to Raft and waits until it is installed. Meanwhile the same snapshot
// may have come another way, and entries behind it: they stay.
func (r *snapshotReceiver) install(got *received, request *raft.InstallSnapshotRequest) (string, error) {
	r.installing.Lock()
	defer r.installing.Unlock()
	if r.has(request) {
		return snapshotKnown, nil
	}
	// A later state has all that was applied here.
	if here := r.revision(); got.prepared.Revision < here {
		return snapshotFailed, fmt.Errorf("it goes back from revision %d to %d", here, got.prepared.Revision)
	}
	if err := r.follow(request); err != nil {
		return snapshotFailed, err
	}
	r.store.log.noteApplied()
	r.store.hand(got)
	defer r.store.hand(nil)
	answer, err := r.ask(raft.RPC{Command: request, Reader: strings.NewReader("")})
	if err != nil {
		return snapshotFailed, err
	}
	if response, ok := answer.Response.(*raft.InstallSnapshotResponse); !ok || !response.Success {
		return snapshotFailed, errors.New("raft did not take it")
	}
	r.store.log.goOn(got.meta.Index, got.meta.Term)
	return snapshotInstalled, nil
}

// follow has Raft take a heartbeat of the snapshot's sender first. A candidate that installs a
// snapshot takes the sender for its leader, but stays a candidate (hashicorp/raft v1.8.0,
// installSnapshot), and a candidate forgets no leader: if the sender is lost then, this member
// votes for nobody for as long. A heartbeat makes a follower of it, whose leader times out.
func (r *snapshotReceiver) follow(request *raft.InstallSnapshotRequest) error {
	answer, err := r.ask(raft.RPC{Command: &raft.AppendEntriesRequest{RPCHeader: request.RPCHeader, Term: request.Term}})
	if err != nil {
		return err
	}
	if response, ok := answer.Response.(*raft.AppendEntriesResponse); !ok || !response.Success {
		return errors.New("its sender is not the leader any more")
	}
	return nil
}

// ask gives a call to Raft's main goroutine and returns the answer.
func (r *snapshotReceiver) ask(call raft.RPC) (raft.RPCResponse, error) {
	answered := make(chan raft.RPCResponse, 1)
	call.RespChan = answered
	r.pass(call)
	select {
	case answer := <-answered:
		return answer, answer.Error
	case <-r.stopped: // Raft may answer nothing any more, and touches nothing any more
		return raft.RPCResponse{}, raft.ErrRaftShutdown
	}
}

// superseding is a reader that ends when another snapshot takes the place of the one it reads.
type superseding struct {
	ctx context.Context
	r   io.Reader
}

// Read reads unless the context has ended.
func (s *superseding) Read(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, errSuperseded
	}
	return s.r.Read(b)
}

// counting counts what is written.
type counting struct {
	w io.Writer
	n int64
}

// Write writes and counts.
func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// received is a snapshot of the master that is whole on the disk, and the state made of it.
type received struct {
	meta     raft.SnapshotMeta
	sink     raft.SnapshotSink // nil before it is created
	stored   bool              // under its name: Raft has closed the sink
	prepared *fsm.Prepared     // nil before it is made
}

// discard removes what was not installed.
func (got *received) discard() {
	if got.sink != nil && !got.stored {
		got.sink.Cancel()
	}
	if got.prepared != nil {
		got.prepared.Discard()
	}
}

// snapshotStore is where Raft keeps its snapshots. It lets the log go on behind each that is
// stored, and gives Raft what snapshotReceiver has received.
type snapshotStore struct {
	files syncedSnapshots
	dir   string // of the files
	log   *history

	mu     sync.Mutex
	handed *received // with the call that Raft has; nil if it has none
}

func (s *snapshotStore) hand(got *received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handed = got
}

// has returns the snapshot handed to Raft if it is the one asked for, else nil.
func (s *snapshotStore) has(is func(*received) bool) *received {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handed != nil && is(s.handed) {
		return s.handed
	}
	return nil
}

// Create begins a snapshot. Raft asks for it for a snapshot of its own state machine, and for
// one of the master, which has been received already.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, over raft.Transport) (raft.SnapshotSink, error) {
	got := s.has(func(g *received) bool { return g.meta.Index == index && g.meta.Term == term && !g.stored })
	if got != nil {
		return &receivedSink{got.sink, s, got}, nil
	}
	sink, err := s.files.Create(version, index, term, c, at, over)
	if err != nil {
		return nil, err
	}
	return &ownSink{sink, func() {
		s.log.stored(index, term)
		s.log.goOn(index, term)
	}}, nil
}

// List returns the snapshots, the newest first.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) { return s.files.List() }

// Open opens a snapshot. Of one that was handed to Raft the reader has the state that was made
// of it, for fsm.Raft.Restore, and no bytes.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if got := s.has(func(g *received) bool { return g.meta.ID == id && g.stored }); got != nil {
		return &got.meta, preparedState{got.prepared}, nil
	}
	return s.files.Open(id)
}

func (s *snapshotStore) statePath(id string) string {
	return filepath.Join(s.dir, id+unfinished, snapshotState)
}

// sync waits until the state of an unfinished snapshot is on the disk, so that there is little
// to wait for when Raft closes it.
func (s *snapshotStore) sync(id string) error {
	f, err := os.Open(s.statePath(id))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// The names that hashicorp/raft gives the files of a snapshot.
const (
	unfinished    = ".tmp"
	snapshotState = "state.bin"
	setAside      = ".damaged" + unfinished // Raft ignores it
)

// removeUnfinished removes what is left of snapshots whose writing a crash cut short.
func removeUnfinished(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+unfinished))
	for _, name := range names {
		if !strings.HasSuffix(name, setAside) {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}
	return err
}

// ownSink is the sink of a snapshot of this member's own state.
type ownSink struct {
	raft.SnapshotSink
	stored func()
}

// Close ends a snapshot that is whole.
func (s *ownSink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		s.stored()
	}
	return err
}

// receivedSink is what Raft writes a snapshot of the master to that is written already.
type receivedSink struct {
	raft.SnapshotSink
	store *snapshotStore
	got   *received
}

// ReadFrom reads nothing, and returns the size of the snapshot: io.Copy of Raft calls it.
func (s *receivedSink) ReadFrom(io.Reader) (int64, error) { return s.got.meta.Size, nil }

// Write fails: there is nothing to be written.
func (s *receivedSink) Write([]byte) (int, error) {
	return 0, fmt.Errorf("the snapshot %s is received and cannot be written to", s.ID())
}

// Close stores the snapshot under its name.
func (s *receivedSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	s.store.mu.Lock()
	s.got.stored = true
	s.store.mu.Unlock()
	s.store.log.stored(s.got.meta.Index, s.got.meta.Term)
	return nil
}

// preparedState is the reader of a snapshot whose state is made already.
type preparedState struct{ prepared *fsm.Prepared }

// Prepared returns the state.
func (p preparedState) Prepared() *fsm.Prepared { return p.prepared }

// Read returns no bytes.
func (p preparedState) Read([]byte) (int, error) { return 0, io.EOF }

// Close does nothing: who made the state discards it.
func (p preparedState) Close() error { return nil }

// noPeers encodes no addresses. Raft stores them beside the configuration for versions of it
// that did not have one.
type noPeers struct{ raft.Transport }

// EncodePeer returns the address.
func (noPeers) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
