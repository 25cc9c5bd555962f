package cluster

import (
	"errors"

	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/fsm/database"
)

// The errors of Start and Ended about the data directory.
type (
	StorageError       = raftlog.StorageError
	ContradictionError = raftlog.ContradictionError
	EmptyError         = raftlog.EmptyError
)

// ErrRemoved is the error of a member that was removed from its group.
var ErrRemoved = raftlog.ErrRemoved

// closeMachine closes the state machine. If the disk fails, it returns a *StorageError:
// the database is rebuilt at the next start, but the disk should be checked first.
func (r *replica) closeMachine() error {
	err := r.machine.Close()
	var disk *database.DiskError
	if errors.As(err, &disk) {
		return &StorageError{Dir: r.opts.Dir, Err: err}
	}
	return err
}

// failApply ends the member because its state machine cannot go on. An entry that cannot
// be read is not the disk's fault, and checking the disk would not help.
func (r *replica) failApply(err error) {
	var entry *fsm.EntryError
	if errors.As(err, &entry) {
		r.end(err)
		return
	}
	r.fail(err)
}
