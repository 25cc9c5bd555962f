package raftlog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/raft"

	"laurel/cluster/disk"
	"laurel/fsm"
	"laurel/trust/access"
)

// newestSnapshot returns what the newest snapshot is of; the zero value if there is none.
func (s *Store) newestSnapshot() (newest raft.SnapshotMeta, err error) {
	list, err := s.Snapshots.List()
	if err != nil {
		return newest, fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
	if len(list) > 0 {
		newest = *list[0]
	}
	return newest, nil
}

// OpenMachine opens the state machine and brings it at least to the newest snapshot,
// after which the log continues.
func (s *Store) OpenMachine() (*fsm.Machine, error) {
	var m *fsm.Machine
	err := s.reserve.Retry(func() (err error) {
		m, err = fsm.Open(s.dir, s.logger)
		return err
	})
	if err != nil {
		return nil, openFailure(s.dir, err)
	}
	m.KeepRoom(disk.Allocate, s.reserve.Retry)
	if err = s.discardState(m); err == nil {
		err = s.reserve.Retry(func() error { return s.catchUp(m) })
	}
	if err == nil {
		s.Log.opened, err = s.backend.LastIndex()
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	s.Log.appliedIndex = m.Applied
	return m, nil
}

func (s *Store) catchUp(m *fsm.Machine) error {
	newest, err := s.newestSnapshot()
	if err != nil {
		return err
	}
	first, last, err := bounds(s.backend)
	if err != nil {
		return err
	}
	if err := s.checkLog(first, last, newest.Index); err != nil {
		return err
	}
	if m.Applied() > max(newest.Index, last) {
		if s.Existing {
			return contradiction(s.dir, "the log ends at entry %d, but entry %d was applied: "+
				"the end of the log is damaged", last, m.Applied())
		}
		if err := m.Discard("it is ahead of the log"); err != nil {
			return err
		}
	}
	if m.Applied() < newest.Index {
		if err := s.restoreNewest(m, newest.Index); err != nil {
			return err
		}
	}
	drop, err := s.superseded(newest)
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
func (s *Store) checkLog(first, last, newest uint64) error {
	if first == 0 {
		return nil
	}
	if first > newest+1 {
		return contradiction(s.dir, "the log begins at entry %d, and no readable snapshot goes beyond entry %d",
			first, newest)
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
func (s *Store) superseded(newest raft.SnapshotMeta) (bool, error) {
	first, last, err := bounds(s.backend)
	if err != nil || newest.Index == 0 || newest.Index < first {
		return false, err
	}
	if last < newest.Index {
		return true, nil
	}
	var e raft.Log
	err = s.backend.GetLog(newest.Index, &e)
	return e.Term != newest.Term, err
}

// continueAfterNewest lets the log continue after the newest snapshot that can be used.
func (s *Store) continueAfterNewest() error {
	newest, err := s.newestSnapshot()
	s.Log.SnapshotStored(newest.Index, newest.Term)
	s.Log.ContinueAfter(newest.Index, newest.Term)
	return err
}

// restoreNewest restores the state of the newest snapshot that can be used, and hides
// those that cannot.
func (s *Store) restoreNewest(m *fsm.Machine, newest uint64) error {
	list, err := s.Snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
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
		if later := (*access.FormatError)(nil); errors.As(err, &later) {
			return fmt.Errorf("snapshot %s: %w", meta.ID, err)
		}
		s.logger.Error("a snapshot cannot be used", "snapshot", meta.ID, "err", err)
		damaged = append(damaged, meta.ID)
	}
	return s.setAside(damaged, 0, newest)
}

func (s *Store) restore(m *fsm.Machine, meta *raft.SnapshotMeta) error {
	_, r, err := s.Snapshots.Open(meta.ID)
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
		if err := s.Snapshots.SetAside(id); err != nil {
			return fmt.Errorf("set a damaged snapshot aside: %w", err)
		}
	}
	return nil
}
