package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"laurel/fsm"
)

// The parts of a data directory are synced in an order in which no crash and no loss of
// power leaves one of them without the parts that it depends on. So a part that is
// missing was taken away. A voter that went on without it could vote for a master that
// lacks what this voter had acknowledged.

// checkJoined returns a contradiction if the directory is that of a member of a group and
// lacks the entry that added it, or its term.
func (s *Store) checkJoined() error {
	if !s.identity.Joined {
		return nil
	}
	last, err := s.backend.LastIndex()
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
	if want := max(s.identity.JoinedAt, 1); last < want {
		return contradiction(s.dir, "log and snapshots end at entry %d, and this frontend had entry %d", last, want)
	}
	switch term, err := s.watchdog.GetUint64([]byte(termKey)); {
	case err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error(): // hashicorp/raft compares the text, too
		return fmt.Errorf("read the term in %s: %w", s.dir, err)
	case term == 0:
		return contradiction(s.dir, "%s has no term", voteFile)
	}
	return nil
}

// OpenMachine opens the state machine and brings it at least to the newest snapshot,
// after which the log continues.
func (s *Store) OpenMachine() (*fsm.Machine, error) {
	m, err := fsm.Open(s.dir, s.logger)
	if err != nil {
		return nil, openFailure(s.dir, err)
	}
	if err := s.catchUp(m); err != nil {
		m.Close()
		return nil, err
	}
	s.log.appliedIndex = m.Applied
	return m, nil
}

func (s *Store) catchUp(m *fsm.Machine) error {
	list, err := s.snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
	newest := uint64(0)
	if len(list) > 0 {
		newest = list[0].Index
	}
	if err := s.checkLog(newest); err != nil {
		return err
	}
	last, err := s.backend.LastIndex()
	if err != nil {
		return err
	}
	if m.Applied() > max(newest, last) {
		if s.existing {
			return contradiction(s.dir, "the log ends at entry %d, but entry %d was applied: "+
				"the end of the log is damaged", last, m.Applied())
		}
		if err := m.Discard("it is ahead of the log"); err != nil {
			return err
		}
	}
	if m.Applied() < newest {
		if err := s.restoreNewest(m, list, newest); err != nil {
			return err
		}
	}
	drop, err := s.superseded(list)
	if err == nil && drop {
		err = clearLog(s.backend)
	}
	if err != nil {
		return err
	}
	return s.continueAfterNewest()
}

// checkLog returns a contradiction if entries are missing between the newest snapshot,
// which ends at newest, and the log, or if the first or the last entry cannot be read.
func (s *Store) checkLog(newest uint64) error {
	first, err := s.backend.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	if first > newest+1 {
		return contradiction(s.dir, "the log begins at entry %d, and no readable snapshot goes beyond entry %d",
			first, newest)
	}
	last, err := s.backend.LastIndex()
	if err != nil {
		return err
	}
	for _, index := range []uint64{first, last} {
		if err := s.backend.GetLog(index, new(raft.Log)); err != nil {
			return contradiction(s.dir, "entry %d of the log cannot be read: %w", index, err)
		}
	}
	return nil
}

// superseded reports whether a snapshot of the master has replaced the log: the log ends
// before it, or has another entry in the place of the snapshot's last one. A crash came
// before Raft dropped the log, to which the next entry would not fit.
func (s *Store) superseded(list []*raft.SnapshotMeta) (bool, error) {
	if len(list) == 0 {
		return false, nil
	}
	first, err := s.backend.FirstIndex()
	if err != nil {
		return false, err
	}
	last, err := s.backend.LastIndex()
	switch newest := list[0]; {
	case err != nil || newest.Index < first:
		return false, err
	case last < newest.Index:
		return true, nil
	default:
		var e raft.Log
		err := s.backend.GetLog(newest.Index, &e)
		return e.Term != newest.Term, err
	}
}

// continueAfterNewest lets the log continue after the newest snapshot that can be used.
func (s *Store) continueAfterNewest() error {
	list, err := s.snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
	if len(list) > 0 {
		s.log.SnapshotStored(list[0].Index, list[0].Term)
		s.log.ContinueAfter(list[0].Index, list[0].Term)
	}
	return nil
}

func (s *Store) restoreNewest(m *fsm.Machine, list []*raft.SnapshotMeta, newest uint64) error {
	var damaged []string
	for _, meta := range list {
		err := s.restore(m, meta)
		if err == nil {
			s.logger.Info("restored the state from a snapshot",
				"snapshot", meta.ID, "index", meta.Index, "revision", m.Revision())
			return s.setAside(damaged, meta.Index, newest)
		}
		if disk := (*StorageError)(nil); errors.As(openFailure(s.dir, err), &disk) {
			return disk // not the snapshot's fault
		}
		s.logger.Error("a snapshot cannot be used", "snapshot", meta.ID, "err", err)
		damaged = append(damaged, meta.ID)
	}
	return s.setAside(damaged, 0, newest)
}

func (s *Store) restore(m *fsm.Machine, meta *raft.SnapshotMeta) error {
	_, r, err := s.snapshots.Open(meta.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	return m.Restore(r)
}

// setAside hides damaged snapshots from Raft, which assumes that the newest one it finds
// is in the state machine. The log must have all entries after from up to newest: a voter
// that forgets what it has acknowledged could let a master be elected that never had it.
func (s *Store) setAside(damaged []string, from, newest uint64) error {
	for i := from + 1; i <= newest; i++ {
		if err := s.backend.GetLog(i, new(raft.Log)); err != nil {
			return contradiction(s.dir, "the snapshots %s are damaged, and the log lacks entry %d to replace them",
				strings.Join(damaged, ", "), i)
		}
	}
	for _, id := range damaged {
		if err := s.snapshots.SetAside(id); err != nil {
			return fmt.Errorf("set a damaged snapshot aside: %w", err)
		}
	}
	return nil
}

// removeTemporary removes the files that a crash left before they got their names. The
// directory must be locked.
func removeTemporary(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
