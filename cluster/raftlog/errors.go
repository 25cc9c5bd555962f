package raftlog

import (
	"errors"
	"fmt"
	"syscall"

	wal "github.com/hashicorp/raft-wal"
	bbolterrors "go.etcd.io/bbolt/errors"

	"laurel/cluster/disk"
	"laurel/fsm/database"
)

// ErrRemoved is the error of a member that was removed from its group.
var ErrRemoved = errors.New("this frontend was removed from its group")

// ErrRecovering is the error of a data directory whose recovery was begun and not finished.
var ErrRecovering = errors.New("the recovery of this frontend was begun and is not finished")

// EmptyError is the error of a data directory without a member, if the options name no
// way to make one.
type EmptyError struct{ Dir string }

func (e *EmptyError) Error() string {
	return fmt.Sprintf("the data directory %s is empty", e.Dir)
}

// StorageError is an error of the disk under the data directory: it failed, is full or
// hangs. Nothing acked is lost, and the frontend can be started again when the disk is
// well.
type StorageError struct {
	Dir string
	Err error
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("the storage under %s failed: %v; "+
		"nothing acked is lost, start this frontend again when the disk is well and has room", e.Dir, e.Err)
}

// Unwrap returns the error of the disk.
func (e *StorageError) Unwrap() error { return e.Err }

// ContradictionError is the error of a data directory that contradicts what the group has
// committed, or what this member has acknowledged: its term would go down, an entry that
// was applied would be removed, or a part of the log, the vote or the identity is damaged
// or missing. Starting again does not help, and a member that went on could elect a
// master that lacks acked events.
type ContradictionError struct {
	Dir string
	Err error
	// Undecided is set in a sworn group if the cause may be another member. Then this one may
	// be started again, once somebody has looked at the group.
	Undecided bool
}

func (e *ContradictionError) Error() string {
	advice := "do not start this frontend with it again: " + remedy
	if e.Undecided {
		advice = undecidedRemedy
	}
	return fmt.Sprintf("the data directory %s contradicts the group: %v; %s", e.Dir, e.Err, advice)
}

// Unwrap returns what the directory contradicts, and how.
func (e *ContradictionError) Unwrap() error { return e.Err }

// remedy is what to do about data that cannot be used.
const remedy = "leave the group, empty the directory and join again"

// undecidedRemedy is what to do about data that may be right.
const undecidedRemedy = "this frontend stays down until it is started again, and then tries once more. " +
	"First find the cause: a frontend that is corrupt, which must be shut out, or this machine. " +
	"Never empty the directories of two frontends: " +
	"what is certified may be on two honest ones only, and would be lost for good. " +
	"As the last resort let only this one " +
	remedy + ", and wait until it is certified before you touch another one"

// contradiction returns a *ContradictionError for a data directory.
func contradiction(dir, format string, args ...any) error {
	return &ContradictionError{Dir: dir, Err: fmt.Errorf(format, args...)}
}

// Failure returns the error with which a member ends after an error of its storage under
// dir: a *GoBackError or a *ContradictionError if err is one, a *ContradictionError if it
// reports a damaged log, else a *StorageError.
func Failure(dir string, err error) error {
	var c *ContradictionError
	var back *GoBackError
	switch {
	case errors.As(err, &back):
		return back
	case errors.As(err, &c):
		return c
	case errors.Is(err, wal.ErrCorrupt):
		return &ContradictionError{Dir: dir, Err: err}
	}
	return &StorageError{dir, err}
}

// openFailure returns the error for err, which was met while the directory dir was
// opened: a *StorageError if another or an emptier disk is all that it takes, a
// *ContradictionError if a database is damaged, else err.
func openFailure(dir string, err error) error {
	var failed *database.DiskError
	switch {
	case errors.As(err, &failed), disk.IsFull(err), errors.Is(err, syscall.EIO):
		return &StorageError{dir, err}
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum),
		errors.Is(err, bbolterrors.ErrVersionMismatch):
		return &ContradictionError{Dir: dir, Err: err} // the vote is damaged
	}
	return err
}
