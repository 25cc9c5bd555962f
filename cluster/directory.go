package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"laurel/fsm/database"
)

// A data directory is believed only as a whole. Its parts are synced in an order in which no crash
// and no power loss leaves one of them without those that it rests on, so a part that is missing
// was taken away. A voter that went on without it could vote for a master that lacks what this
// voter had acknowledged.

// checkIdentity returns a contradiction if the directory has a log or a vote and no identity, which
// is written before both. Another identity would be another member with the old one's promises.
func checkIdentity(dir string) error {
	for _, name := range []string{voteFile, logDir} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			return contradiction(dir, "there is %s, and %s is missing", name, identityFile)
		}
	}
	return nil
}

// checkPlace returns a contradiction if the directory is that of a member of a group and lacks the
// entry that took it in, or its term.
func (s *storage) checkPlace() error {
	if !s.Joined {
		return nil
	}
	last, err := s.store.LastIndex()
	if err != nil {
		return fmt.Errorf("read the log in %s: %w", s.dir, err)
	}
	list, err := s.snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
	if len(list) > 0 {
		last = max(last, list[0].Index)
	}
	if need := max(s.JoinedAt, 1); last < need {
		return contradiction(s.dir, "log and snapshots end at entry %d, and this frontend had entry %d", last, need)
	}
	switch term, err := s.stable.GetUint64([]byte(termKey)); {
	case err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error(): // hashicorp/raft compares the text, too
		return fmt.Errorf("read the term in %s: %w", s.dir, err)
	case term == 0:
		return contradiction(s.dir, "%s has no term", voteFile)
	}
	return nil
}

// checkLog returns a contradiction if entries are missing between the newest snapshot, which ends at
// newest, and the log, or if the ends of the log cannot be read.
func (s *storage) checkLog(newest uint64) error {
	first, err := s.store.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	if first > newest+1 {
		return contradiction(s.dir, "the log begins at entry %d, and no snapshot that can be read goes beyond entry %d", first, newest)
	}
	last, err := s.store.LastIndex()
	if err != nil {
		return err
	}
	for _, index := range []uint64{first, last} {
		if err := s.store.GetLog(index, new(raft.Log)); err != nil {
			return contradiction(s.dir, "entry %d of the log cannot be read: %w", index, err)
		}
	}
	return nil
}

// superseded reports whether a snapshot of the master has taken the log's place: the log ends
// before it, or has another entry in the place of the snapshot's last one. A crash came before Raft
// dropped the log, to which the next entry would not fit.
func (s *storage) superseded(list []*raft.SnapshotMeta) (bool, error) {
	if len(list) == 0 {
		return false, nil
	}
	first, err := s.store.FirstIndex()
	if err != nil {
		return false, err
	}
	last, err := s.store.LastIndex()
	switch newest := list[0]; {
	case err != nil || newest.Index < first:
		return false, err
	case last < newest.Index:
		return true, nil
	default:
		var e raft.Log
		err := s.store.GetLog(newest.Index, &e)
		return e.Term != newest.Term, err
	}
}

// removeNew removes the files that a crash left before they got their names. The directory must be
// locked.
func removeNew(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// ofTheState makes an error of opening the state machine one of the disk, if it is.
func (s *storage) ofTheState(err error) error {
	var disk *database.DiskError
	if errors.As(err, &disk) {
		return &StorageError{s.dir, err}
	}
	return s.ofTheDisk(err)
}
