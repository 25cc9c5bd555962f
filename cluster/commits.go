package cluster

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A follower of Raft learns that an entry is committed from the next message of its leader, 20 to 40 ms later if nothing else is written. A reader
// who was just told of a change would wait so long for this frontend's own state. So the master's stream says, with each push, up to where
// the log is committed, and the follower's transport hands that to its own Raft in the form in which the leader will say it: entries to
// append, of which there are none.

// commitPause is how often is looked, at a time scale of 1, whether the entry that is committed has come here, and commitTries how many times. After
// that Raft's own message will do.
const (
	commitPause = time.Millisecond
	commitTries = 40
)

// commits is the newest entry that the master of an epoch said to be committed. A master that is deposed may have applied an entry of the next
// term while its streams still live. So it names the entry by its term as well, and a follower takes it for its own entry of that index only if that is
// of the same term.
type commits struct {
	wake chan struct{}

	mu    sync.Mutex
	epoch uint64
	last  committed
}

// committed names a committed entry of the log.
type committed struct{ index, term uint64 }

func newCommits() *commits { return &commits{wake: make(chan struct{}, 1)} }

// hear notes that the log is committed up to an entry, as the master of an epoch says.
func (c *commits) hear(epoch uint64, last committed) {
	c.mu.Lock()
	if epoch > c.epoch || epoch == c.epoch && last.index > c.last.index {
		c.epoch, c.last = epoch, last
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *commits) newest() (epoch uint64, last committed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch, c.last
}

// tellCommits hands what is heard to Raft for as long as the member is open.
func (m *Member) tellCommits() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-m.commits.wake:
		case <-m.ctx.Done():
			return
		}
		for range commitTries {
			if m.tellCommitted() {
				break
			}
			pause.Reset(m.scaled(commitPause))
			select {
			case <-pause.C:
			case <-m.ctx.Done():
				return
			}
		}
	}
}

// tellCommitted tells Raft the newest that was heard. False: the entry is not here yet.
func (m *Member) tellCommitted() bool {
	epoch, last := m.commits.newest()
	address, leader := m.raft.LeaderWithID()
	if last.index <= m.raft.CommitIndex() || m.raft.CurrentTerm() != epoch || leader == "" || leader == m.self {
		return true // nothing new, or not from the master that Raft follows now
	}
	var entry raft.Log
	err := m.storage.Log().GetLog(last.index, &entry)
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return false
	case err != nil || entry.Term != last.term:
		return true // another entry, which this member must not take for committed
	}
	answer := make(chan raft.RPCResponse, 1)
	said := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader), Addr: m.transport.EncodePeer(leader, address)},
		Term:      epoch, PrevLogEntry: last.index, PrevLogTerm: last.term, LeaderCommitIndex: last.index,
	}
	m.transport.Deliver(raft.RPC{Command: said, RespChan: answer})
	select {
	case <-answer:
	case <-m.stopped:
	}
	return true
}
