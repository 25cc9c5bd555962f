package snapshots

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"laurel/cluster/internal/durable"
	"laurel/fsm"
)

// Dir is the directory of the snapshots in the data directory; hashicorp/raft names it.
const Dir = "snapshots"

// retained is the number of the newest snapshots that are kept.
const retained = 2

// The names that hashicorp/raft gives the files of a snapshot.
const (
	unfinishedSuffix = ".tmp"
	stateFile        = "state.bin"
	metaFile         = "meta.json"
	damagedSuffix    = ".damaged" + unfinishedSuffix // Raft ignores it
)

// Log is Raft's log, which continues after the newest snapshot.
type Log interface {
	GetLog(index uint64, to *raft.Log) error
	// Start returns the index of the first entry that the log has, or will have next if
	// it is empty.
	Start() uint64
	// NoteApplied notes the last applied entry before the state machine is set back.
	NoteApplied()
	// SnapshotStored notes that a snapshot is on the disk.
	SnapshotStored(index, term uint64)
	// ContinueAfter lets the log continue after a snapshot.
	ContinueAfter(index, term uint64)
	// Compact removes entries that the newest snapshot contains.
	Compact() error
}

// Store is Raft's store of snapshots. It lets the log continue after each snapshot that
// is stored, and gives Raft the snapshots that a Receiver has received.
type Store struct {
	*raft.FileSnapshotStore
	// Needed returns the entry to which this member may have to go back; 0 if there is none.
	// The newest snapshot that ends there or before is kept. It may be nil.
	Needed func() uint64

	dir     string
	log     Log
	offered atomic.Pointer[reception] // with the request that Raft is handling; nil if there is none
}

// Open opens the store in a data directory, which must be locked. It removes snapshots
// whose writing a crash has interrupted.
func Open(dataDir string, log Log, logger hclog.Logger) (*Store, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dataDir, math.MaxInt, logger) // removal is reap's
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(dataDir, Dir)
	if err := durable.RemoveLeft(dir, "*[0-9]"+unfinishedSuffix); err != nil { // keeps those with damagedSuffix
		return nil, err
	}
	return &Store{FileSnapshotStore: files, dir: dir, log: log}, nil
}

// SetAside hides a damaged snapshot from Raft.
func (s *Store) SetAside(id string) error {
	path := filepath.Join(s.dir, id)
	return os.Rename(path, path+damagedSuffix)
}

// RemoveAfter removes the snapshots that end after the entry at index.
func (s *Store) RemoveAfter(index uint64) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, meta := range list {
		if meta.Index > index {
			if err := os.RemoveAll(filepath.Join(s.dir, meta.ID)); err != nil {
				return err
			}
		}
	}
	return durable.SyncDir(s.dir)
}

// Before returns the last entry of the newest snapshot that has none after index; 0 if there
// is no such snapshot.
func (s *Store) Before(index uint64) (last uint64, err error) {
	list, err := s.List()
	for _, meta := range list {
		if meta.Index <= index {
			last = max(last, meta.Index)
		}
	}
	return last, err
}

// reap removes the snapshots that are not needed.
func (s *Store) reap() error {
	list, err := s.List() // the newest first
	if err != nil || len(list) <= retained {
		return err
	}
	last := uint64(0) // of the snapshot to go back to
	if s.Needed != nil {
		if last, err = s.Before(s.Needed()); err != nil {
			return err
		}
	}
	for _, meta := range list[retained:] {
		if meta.Index == last && s.log.Start() <= last+1 {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, meta.ID)); err != nil {
			return err
		}
	}
	return nil
}

// Newest returns the size of the newest snapshot and when it was stored; 0 and the zero
// time if there is none.
func (s *Store) Newest() (size int64, stored time.Time) {
	list, err := s.List()
	if err != nil || len(list) == 0 {
		return 0, stored
	}
	info, err := os.Stat(filepath.Join(s.dir, list[0].ID, stateFile))
	if err != nil { // a newer one has just replaced it
		return list[0].Size, stored
	}
	return list[0].Size, info.ModTime()
}

// Installing reports whether Raft is installing a received snapshot.
func (s *Store) Installing() bool { return s.offered.Load() != nil }

// Create begins a snapshot. Raft calls it for a snapshot of its own state machine, and
// for one of the master, which has been received already.
func (s *Store) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	if r := s.offered.Load(); r != nil && r.meta.Index == index && r.meta.Term == term && !r.stored.Load() {
		stored := func() error {
			r.stored.Store(true)
			s.log.SnapshotStored(index, term)
			return nil
		}
		return &receivedSink{sink{r.sink, stored, s.reap}, r.meta.Size}, nil
	}
	own, err := s.create(version, index, term, configuration, configurationIndex, transport)
	if err != nil {
		return nil, err
	}
	stored := func() error {
		s.log.SnapshotStored(index, term)
		s.log.ContinueAfter(index, term)
		return s.log.Compact()
	}
	return &sink{own, stored, s.reap}, nil
}

// Open opens a snapshot. For one that was offered to Raft, the reader has no bytes but
// the state that was built from them, for fsm.Raft.Restore.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if r := s.offered.Load(); r != nil && r.meta.ID == id && r.stored.Load() {
		return &r.meta, preparedState{io.NopCloser(strings.NewReader("")), r.prepared}, nil
	}
	return s.FileSnapshotStore.Open(id)
}

// create begins a snapshot so that a loss of power leaves it whole or not at all.
// hashicorp/raft v1.8.0 syncs the two files of a snapshot and the directory that holds
// all snapshots, but not the directory of the snapshot itself. The log would be shortened
// because of a snapshot whose files have no names on the disk. The files get their names
// here; they are renamed with their directory when they are complete.
func (s *Store) create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, configuration, configurationIndex, transport)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, sink.ID()+unfinishedSuffix)
	if err := makePrivate(dir); err != nil {
		return nil, fmt.Errorf("protect a new snapshot: %w", errors.Join(err, sink.Cancel()))
	}
	if err := durable.SyncDir(dir); err != nil {
		return nil, fmt.Errorf("sync the directory of a new snapshot: %w", errors.Join(err, sink.Cancel()))
	}
	return sink, nil
}

// makePrivate takes the access to a snapshot from others than its owner. Raft makes it for
// all to read.
func makePrivate(dir string) error {
	return errors.Join(
		os.Chmod(dir, 0o700),
		os.Chmod(filepath.Join(dir, metaFile), 0o600),
		os.Chmod(filepath.Join(dir, stateFile), 0o600),
	)
}

// sink calls stored, and then reap, when its snapshot is stored under its name.
type sink struct {
	raft.SnapshotSink
	stored, reap func() error
}

// Close stores the snapshot.
func (s *sink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		err = s.stored()
	}
	if err == nil {
		err = s.reap()
	}
	return err
}

// receivedSink is the sink that Raft gets for a snapshot that has been received already.
type receivedSink struct {
	sink
	size int64
}

// ReadFrom reads nothing and returns the size of the snapshot. Raft calls it through
// io.Copy.
func (s *receivedSink) ReadFrom(io.Reader) (int64, error) { return s.size, nil }

// Write returns an error, because the snapshot is complete.
func (s *receivedSink) Write([]byte) (int, error) {
	return 0, fmt.Errorf("the snapshot %s is received and cannot be written to", s.ID())
}

// preparedState is the reader of a snapshot whose state is built already. It has no
// bytes, and the receiver discards the state.
type preparedState struct {
	io.ReadCloser
	prepared *fsm.Prepared
}

// Prepared returns the state.
func (p preparedState) Prepared() *fsm.Prepared { return p.prepared }
