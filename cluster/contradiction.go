package cluster

import (
	"errors"
	"fmt"

	wal "github.com/hashicorp/raft-wal"
)

// ContradictionError is what Ended returns when the data directory contradicts what the group
// has committed, or what this member has told the others: its term would go down, an entry that
// was applied would be removed, or a part of the log, the vote or the identity is damaged or
// missing. Start returns it where that shows at the start. Another start does not help, and a
// member that went on could elect a master that lacks what was acked.
type ContradictionError struct {
	Dir string
	Err error
}

func (e *ContradictionError) Error() string {
	return fmt.Sprintf("the data directory %s contradicts the group: %v; do not start this frontend with it again: %s",
		e.Dir, e.Err, remedy)
}

// Unwrap returns what the directory contradicts, and how.
func (e *ContradictionError) Unwrap() error { return e.Err }

// contradiction returns a *ContradictionError of a data directory.
func contradiction(dir, format string, args ...any) error {
	return &ContradictionError{dir, fmt.Errorf(format, args...)}
}

// failure returns what Ended tells of an error of the storage under dir: the contradiction that
// it is or that a damaged log makes, and else an error of the disk.
func failure(dir string, err error) error {
	var c *ContradictionError
	switch {
	case errors.As(err, &c):
		return c
	case errors.Is(err, wal.ErrCorrupt):
		return &ContradictionError{dir, err}
	}
	return &StorageError{dir, err}
}
