package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// enqueueTimeout bounds the wait for Raft's main loop to take an entry.
	enqueueTimeout = time.Second
	// wedgeTimeout is how long, at a time scale of 1, Raft may refuse entries because of a
	// leadership transfer while there is none.
	wedgeTimeout = 2 * time.Second
)

// proposer appends entries to the log and detects a wedged Raft.
type proposer struct {
	*replica
	transfers    atomic.Int32 // leadership transfers in progress
	refusedSince atomic.Int64 // when Raft began to refuse entries without a transfer, in ns; 0 if it does not
}

// propose appends an entry and waits until it is committed and applied. It returns the response of
// the state machine.
func (p *proposer) propose(ctx context.Context, entry []byte) (response any, err error) {
	future := p.raft.Apply(entry, enqueueTimeout)
	err = p.await(ctx, future)
	p.checkWedged(err)
	if err != nil {
		return nil, err
	}
	return future.Response(), nil
}

// notAppended reports whether an error of propose means that the entry was not appended.
func notAppended(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) ||
		errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

var errWedged = errors.New("raft refuses all entries because of a leadership transfer that has ended " +
	"(hashicorp/raft#696); start this frontend again")

// checkWedged ends a member whose Raft has not noticed that a leadership transfer has ended. That
// can happen if it loses leadership meanwhile. If it became the master again, it would accept no
// posts. Without this member another one is elected.
func (p *proposer) checkWedged(err error) {
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) || p.transfers.Load() > 0 {
		p.refusedSince.Store(0)
		return
	}
	now := int64(p.clock())
	if !p.refusedSince.CompareAndSwap(0, now) && time.Duration(now-p.refusedSince.Load()) > p.scaled(wedgeTimeout) {
		p.end(errWedged)
	}
}
