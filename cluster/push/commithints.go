package push

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/fsm"
)

// A follower that cannot use a hint yet, because its log lacks the entry or its Raft does
// not know the master, tries again every commitPause, at a time scale of 1, and after
// commitTries times every commitRest.
const (
	commitPause = time.Millisecond
	commitTries = 40
	commitRest  = 20 * time.Millisecond
)

// Commit identifies a committed log entry. A deposed master may have applied an entry of
// the next term while its streams are still open. So the term is part of a hint, and a
// follower ignores the hint if its own entry at the index has another term.
type Commit struct{ Index, Term uint64 }

// AppliedCommit returns the last entry that the state machine has applied; the zero
// Commit if the log no longer has it.
func AppliedCommit(machine *fsm.Machine, log raft.LogStore) Commit {
	var e raft.Log
	index := machine.Applied()
	if index == 0 || log.GetLog(index, &e) != nil {
		return Commit{}
	}
	return Commit{index, e.Term}
}

// CommitHints passes the master's commit index to the local Raft before Raft's own
// message does.
//
// A follower learns that an entry is committed from the next message of its leader, 200 to
// 400 ms later if nothing else is written. A reader that was just told of a change would
// wait that long for this frontend's state machine. So the master's stream has, with each
// push, the last committed entry, and CommitHints gives it to the local Raft as an empty
// AppendEntries request, as the leader's next heartbeat would.
type CommitHints struct {
	Config
	wake chan struct{}

	mu     sync.Mutex
	epoch  uint64
	newest Commit
}

// NewCommitHints returns hints for the member of a configuration.
func NewCommitHints(c Config) *CommitHints {
	return &CommitHints{Config: c, wake: make(chan struct{}, 1)}
}

// Note stores the hint of the master of an epoch.
func (h *CommitHints) Note(epoch uint64, c Commit) {
	h.mu.Lock()
	if epoch > h.epoch || epoch == h.epoch && c.Index > h.newest.Index {
		h.epoch, h.newest = epoch, c
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Newest returns the newest hint and its epoch.
func (h *CommitHints) Newest() (epoch uint64, c Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch, h.newest
}

// Run passes hints to Raft until ctx ends.
func (h *CommitHints) Run(ctx context.Context) {
	for {
		select {
		case <-h.wake:
		case <-ctx.Done():
			return
		}
		for tries := 0; !h.Apply(); tries++ {
			pause := commitPause
			if tries >= commitTries {
				pause = commitRest
			}
			select {
			case <-time.After(h.Scale(pause)):
			case <-ctx.Done():
				return
			}
		}
	}
}

// Apply passes the newest hint to Raft. It returns false if that is too early: the entry
// is not in the log yet, or Raft does not follow the master of the hint yet.
func (h *CommitHints) Apply() bool {
	epoch, c := h.Newest()
	address, leader := h.Raft.LeaderWithID()
	switch term := h.Raft.CurrentTerm(); {
	case c.Index <= h.Raft.CommitIndex() || term > epoch || leader == h.Self:
		return true // nothing new, or not from the master of now
	case term < epoch || leader == "":
		return false
	}
	var entry raft.Log
	err := h.Log.GetLog(c.Index, &entry)
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return false
	case err != nil || entry.Term != c.Term:
		return true // another entry, which is not known to be committed
	}
	request := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader), Addr: h.Transport.EncodePeer(leader, address),
		},
		Term: epoch, PrevLogEntry: c.Index, PrevLogTerm: c.Term, LeaderCommitIndex: c.Index,
	}
	h.Transport.Call(raft.RPC{Command: request})
	return true
}
