package cache

import (
	"errors"
	"fmt"
	"time"
)

// ErrTwoMasters is the error of a Hello whose epoch another member has named as its own.
// Raft elects one master per term, so one of the two lies or is damaged, and nobody can
// tell which.
var ErrTwoMasters = errors.New("two members claim to be the master of one epoch")

// ErrAhead is the error of a Hello whose epoch is a term that Raft has not reached at
// this frontend.
var ErrAhead = errors.New("the epoch is ahead of raft at this frontend")

// errGrant is the error of a grant that no honest master sends.
var errGrant = errors.New("invalid grant of a lease")

// hello begins a stream. It accepts an epoch that is neither behind the latest one here
// nor ahead of Raft's term, and only one member per epoch. A Hello that is refused
// changes nothing. One that is accepted ends the session of this frontend before it is
// answered.
func (f *Frontend) hello(l *Link, m *Hello, term uint64, now time.Duration) (Message, error) {
	switch {
	case m.Epoch < f.epoch || m.Epoch == 0:
		return nil, fmt.Errorf("%w: this frontend is in epoch %d, the stream in %d", ErrStale, f.epoch, m.Epoch)
	case m.Epoch > term:
		return nil, fmt.Errorf("%w: raft is in term %d, the stream of %q in epoch %d",
			ErrAhead, term, m.Master, m.Epoch)
	case m.Epoch == f.epoch && m.Master != f.master:
		return nil, fmt.Errorf("%w: %q and %q, epoch %d", ErrTwoMasters, f.master, m.Master, m.Epoch)
	}
	f.endSession()
	f.epoch, f.master, f.link = m.Epoch, m.Master, l
	l.epoch, l.maxLease = m.Epoch, m.Lease
	before := f.latest
	if before.epoch == m.Epoch {
		before = f.older
	}
	return &Welcome{Age: now - before.last, NoLease: before.retired}, nil
}

// checkGrant returns an error unless a grant is one that an honest master sends: it lasts
// no longer than the lease that the stream's Hello named, and counts from an ack that
// this frontend has sent.
func (l *Link) checkGrant(m *Grant, now time.Duration) error {
	if m.Remaining > l.maxLease || m.At > now {
		return fmt.Errorf("%w: it lasts %v, where %v is the longest, and counts from %v ago",
			errGrant, m.Remaining, l.maxLease, now-m.At)
	}
	return nil
}
