package cluster

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// syncedSnapshots stores snapshots so that a power loss leaves each of them whole or not at all.
// hashicorp/raft v1.8.0 syncs the two files of a snapshot and the directory that holds all
// snapshots, but not the directory of the snapshot itself. The log would be shortened behind a
// snapshot whose files have no names on the disk.
type syncedSnapshots struct {
	*raft.FileSnapshotStore
	dir string
}

// Create begins a snapshot. Its files have their names from here on; they are renamed with their
// directory when they are whole.
func (s syncedSnapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, over raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, c, at, over)
	if err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Join(s.dir, sink.ID()+unfinished)); err != nil {
		return nil, fmt.Errorf("sync the directory of a new snapshot: %w", errors.Join(err, sink.Cancel()))
	}
	return sink, nil
}
