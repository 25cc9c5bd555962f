package cache

import (
	"errors"
	"fmt"
	"time"
)

// ErrTwoMasters is the error of a Hello whose epoch another member has named as its own. Raft elects one
// master in a term, so one of the two must not be believed, and nobody can tell which.
var ErrTwoMasters = errors.New("two members say that they are the master of one epoch")

// ErrAhead is the error of a Hello whose epoch is a term that Raft has not reached at this frontend.
var ErrAhead = errors.New("the epoch is ahead of raft at this frontend")

// errGrant is the error of a lease that no master gives.
var errGrant = errors.New("the lease is not one that a master grants")

// hello begins a stream. It takes an epoch that is neither behind the latest here nor ahead of Raft's term,
// and in one epoch only one member. A Hello that is refused changes nothing; one that is taken drops all that
// this frontend holds before it is answered.
func (f *Frontend) hello(l *Link, m *Hello, term uint64, now time.Duration) (Message, error) {
	switch {
	case m.Epoch < f.epoch || m.Epoch == 0:
		return nil, fmt.Errorf("%w: this frontend is in epoch %d, the stream in %d", ErrStale, f.epoch, m.Epoch)
	case m.Epoch > term:
		return nil, fmt.Errorf("%w: raft is in term %d, the stream of %q in epoch %d", ErrAhead, term, m.Master, m.Epoch)
	case m.Epoch == f.epoch && m.Master != f.master:
		return nil, fmt.Errorf("%w: %q and %q of epoch %d", ErrTwoMasters, f.master, m.Master, m.Epoch)
	}
	f.drop()
	f.epoch, f.master, f.link = m.Epoch, m.Master, l
	l.epoch, l.lease = m.Epoch, m.Lease
	before := f.latest
	if before.epoch == m.Epoch {
		before = f.older
	}
	return &Welcome{Age: now - before.at, NoLease: before.none}, nil
}

// check reports whether a grant is one that an honest master sends: it lasts no longer than the lease that
// the stream's Hello named, from an ack that this frontend has sent.
func (l *Link) check(m *Grant, now time.Duration) error {
	if m.Remaining > l.lease || m.At > now {
		return fmt.Errorf("%w: it is for %v, where one lasts %v, and counts from %v ago", errGrant, m.Remaining, l.lease, now-m.At)
	}
	return nil
}
