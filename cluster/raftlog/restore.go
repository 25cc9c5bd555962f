package raftlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"laurel/cluster/internal/durable"
	"laurel/trust/pki"
)

// restoreFile, in the data directory, says that a restore into it has begun and not ended.
const restoreFile = "restoring"

// ErrRestoring is the error of a data directory into which a restore was interrupted.
var ErrRestoring = errors.New("a restore into this data directory was interrupted")

// BeginRestore marks a data directory, so that its member does not start before EndRestore.
func BeginRestore(dir string) error {
	return pki.WritePrivateFile(filepath.Join(dir, restoreFile), nil)
}

// EndRestore removes the mark.
func EndRestore(dir string) error {
	if err := os.Remove(filepath.Join(dir, restoreFile)); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

func checkRestore(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, restoreFile)); err != nil {
		return nil
	}
	return fmt.Errorf("%w: empty %s and restore the snapshot again", ErrRestoring, dir)
}

// BeginTerm stores the term in which a group of this member alone begins. A vote that was
// given in it counts for nothing, because nobody else votes.
func (s *Store) BeginTerm(term uint64) error {
	if err := s.Stable.SetUint64([]byte(termKey), term); err != nil {
		return fmt.Errorf("store the term %d: %w", term, err)
	}
	return nil
}

// BeginWith stores the snapshot with which a group of one server begins. index and term are of
// the last log entry in it. write writes the state.
func (s *Store) BeginWith(only raft.Server, index, term uint64, write func(io.Writer) error) error {
	c := raft.Configuration{Servers: []raft.Server{only}}
	sink, err := s.Snapshots.Create(raft.SnapshotVersionMax, index, term, c, index, &raft.InmemTransport{})
	if err != nil {
		return fmt.Errorf("begin a snapshot: %w", err)
	}
	if err := write(sink); err != nil {
		return errors.Join(fmt.Errorf("write the snapshot of the new group: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("store the snapshot of the new group: %w", err)
	}
	return nil
}
