package cluster

import "laurel/cluster/raftlog"

// The errors of Start and Ended about the data directory.
type (
	StorageError       = raftlog.StorageError
	ContradictionError = raftlog.ContradictionError
	EmptyError         = raftlog.EmptyError
)

// ErrRemoved is the error of a member that was removed from its group.
var ErrRemoved = raftlog.ErrRemoved
