package cluster

import (
	"errors"

	"laurel/fsm"
	"laurel/fsm/database"
)

// closeMachine closes the state machine. A disk that did not take the database is a *StorageError, as it
// is everywhere else: the database is rebuilt at the next start, but the disk should be looked at before.
func (m *Member) closeMachine() error {
	err := m.machine.Close()
	var disk *database.DiskError
	if errors.As(err, &disk) {
		return &StorageError{Dir: m.opts.Dir, Err: err}
	}
	return err
}

// failApply ends the member, because its state machine cannot go on. An entry that it cannot read is
// not the disk's fault, and looking at the disk would not help.
func (m *Member) failApply(err error) {
	var entry *fsm.EntryError
	if errors.As(err, &entry) {
		m.end(err)
		return
	}
	m.fail(err)
}
