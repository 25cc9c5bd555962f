package peer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A round of the push protocol proves what a heartbeat of Raft proves: the master and a
// member hear each other in a term. So while rounds are acknowledged in time the master
// sends no heartbeats of its own, and each round counts as one at both ends:
//
//   - at the master, a round that the member has acknowledged since the last heartbeat
//     answers Raft's next one, or else the next ack does (NoteAcked);
//   - at the member, a round is given to Raft as a heartbeat (NoteRound).
//
// A round that is late brings the heartbeats back for a while, so a fault of the push
// protocol changes nothing in how Raft finds a dead master or member. So does a request of
// Raft that fails: a master whose rounds are acknowledged, but whose entries are not, must
// not stay the master for ever. The heartbeats of hashicorp/raft also answer VerifyLeader,
// which is not used; see package readindex.

// acks has, for each member, its newest acknowledged round.
type acks struct {
	round time.Duration // the longest time between two acks while all is well
	pause time.Duration // for how long heartbeats are sent after an ack was late, or a request failed

	mu   sync.Mutex
	from map[raft.ServerID]*ack
}

type ack struct {
	newest     atomic.Pointer[acked]
	wake       chan struct{}             // has a value after newest has changed
	used       atomic.Pointer[acked]     // the one that answered the last heartbeat
	distrusted atomic.Pointer[time.Time] // since when heartbeats are sent; nil if none were. Two epochs may overlap
}

// acked is an acknowledged round: of which term, and when its ack came.
type acked struct {
	term uint64
	at   time.Time // not affected by changes of the wall clock
}

func (a *acks) of(id raft.ServerID) *ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from == nil {
		a.from = map[raft.ServerID]*ack{}
	}
	if a.from[id] == nil {
		a.from[id] = &ack{wake: make(chan struct{}, 1)}
	}
	return a.from[id]
}

// await answers a heartbeat to a member in a term by an ack since the last heartbeat, or
// else by the next one. It returns false if a heartbeat must be sent: no ack came within
// the time of a round after the last one.
func (a *acks) await(ctx context.Context, id raft.ServerID, term uint64) bool {
	from := a.of(id)
	if since := from.distrusted.Load(); since != nil && time.Since(*since) < a.pause {
		return false
	}
	last := from.newest.Load()
	if last == nil || last.term != term {
		return false // no round of this term yet
	}
	late := time.NewTimer(a.round - time.Since(last.at))
	defer late.Stop()
	for {
		if last := from.newest.Load(); last.term == term && last != from.used.Load() && time.Since(last.at) < a.round {
			from.used.Store(last)
			return true
		}
		select {
		case <-from.wake:
		case <-late.C:
			a.distrust(id)
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// distrust makes heartbeats to a member be sent for a while.
func (a *acks) distrust(id raft.ServerID) {
	now := time.Now() // not affected by changes of the wall clock
	a.of(id).distrusted.Store(&now)
}

// NoteAcked notes that a member has acknowledged a round of this master in a term.
func (t *Transport) NoteAcked(id raft.ServerID, term uint64) {
	from := t.acks.of(id)
	from.newest.Store(&acked{term, time.Now()})
	select {
	case from.wake <- struct{}{}:
	default: // nobody has looked since
	}
}

// NoteRound notes that this member has acknowledged a round of the master of a term, which
// it followed when the rounds began. Raft gets a heartbeat of that master if it is in the
// term still, although its timer may have fired while it or its disk was slow: the master
// sees that rounds are acknowledged, and sends no other heartbeat.
func (t *Transport) NoteRound(master raft.ServerID, term uint64) {
	addr, leader := t.raft.LeaderWithID()
	if leader == "" {
		server, _ := Find(Servers(t.raft), master)
		leader, addr = server.ID, server.Address
	}
	if leader != master || t.raft.CurrentTerm() != term || t.raft.State() == raft.Leader {
		return
	}
	t.passHeartbeat(&raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(master), Addr: t.EncodePeer(master, addr),
		},
		Term: term,
	})
}

// isHeartbeat reports whether a request is a heartbeat, as hashicorp/raft's transport
// tells them from other requests.
func isHeartbeat(q *raft.AppendEntriesRequest) bool {
	return q.PrevLogEntry == 0 && q.PrevLogTerm == 0 && len(q.Entries) == 0 && q.LeaderCommitIndex == 0
}
