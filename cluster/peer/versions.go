package peer

import "fmt"

// The versions of what members say to each other that this version of Laurel speaks: the
// hellos of connections, the messages of package push, and the routes under /peer/. Members
// report theirs in their status. Two of them speak the latest one that both know, so a version
// of Laurel that adds one must still speak the one before. Versions that report none speak
// version 3.
const (
	OldestProtocol = 3
	NewestProtocol = 3
)

// ProtocolError reports a member with which this one has no version in common.
type ProtocolError struct{ Oldest, Newest uint64 } // that the member speaks

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("it speaks the versions %d to %d of the protocol between members, and this frontend %d to %d; "+
		"run versions of laurel that are closer to each other", e.Oldest, e.Newest, OldestProtocol, NewestProtocol)
}

// CommonProtocol returns the version to speak with a member that speaks oldest to newest.
func CommonProtocol(oldest, newest uint64) (version uint64, err error) {
	version = min(newest, NewestProtocol)
	if version < max(oldest, OldestProtocol) {
		return 0, &ProtocolError{oldest, newest}
	}
	return version, nil
}
