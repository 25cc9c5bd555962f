package push

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/peer"
)

// A frontend shows what its master's stream tells it, so it must know that the sender is
// the master. It admits a Hello only of the leader that its Raft follows in the present
// term and, in a secure group, only on a connection of that member. Raft learns of a new
// leader from its first message, which may come a moment after the Hello, so the Hello is
// held for helloHold.
const (
	helloHold = 50 * time.Millisecond // at a time scale of 1
	helloPoll = time.Millisecond
	// logPause is the shortest time between two log lines about refusals for the same
	// reason.
	logPause = 10 * time.Second
)

// Reasons of laurel_hello_refused_total.
const (
	helloOtherPeer  = "other_peer"  // the connection is of another member than the Hello names
	helloOtherScale = "other_scale" // its timings are not those of this frontend
	helloNotLeader  = "not_leader"  // Raft does not know the member as the leader of that term
	helloStale      = "stale"       // a newer master or stream was admitted
	helloTwoMasters = "two_masters" // another member was master of that epoch
)

var (
	errOtherPeer  = errors.New("the stream is not from the member that its hello names")
	errOtherScale = errors.New("the master has another time scale; " +
		"without the same one everywhere this frontend answers nothing from memory")
	errNotLeader = errors.New("raft does not know the member as the leader of that term")
)

// Admit returns nil if a Hello is the master's, as far as this member can know.
func (r *Receiver) Admit(c net.Conn, hello *cache.Hello) error {
	if id := peer.FromConn(c); id != "" && string(id) != hello.Master {
		return fmt.Errorf("%w: it names %q, and the certificate %q", errOtherPeer, hello.Master, id)
	}
	if lease := r.Timings.Lease; hello.Lease != lease {
		return fmt.Errorf("%w: its leases last %v, those here %v", errOtherScale, hello.Lease, lease)
	}
	hold := time.NewTimer(r.Scale(helloHold))
	defer hold.Stop()
	poll := time.NewTicker(helloPoll)
	defer poll.Stop()
	for {
		term, leader := r.leader()
		switch {
		case term == hello.Epoch && leader == raft.ServerID(hello.Master):
			return nil
		case term > hello.Epoch:
			return fmt.Errorf("%w: raft is in term %d, the stream in epoch %d", cache.ErrStale, term, hello.Epoch)
		}
		select {
		case <-poll.C:
		case <-hold.C:
			return fmt.Errorf("%w: the stream is of %q in epoch %d, but raft follows %q in term %d",
				errNotLeader, hello.Master, hello.Epoch, leader, term)
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// leader returns Raft's term and the leader that Raft follows in it; "" for none.
func (r *Receiver) leader() (term uint64, leader raft.ServerID) {
	for {
		// Raft forgets its leader before it enters a term. So the leader read between two
		// equal terms is of that term.
		term = r.Raft.CurrentTerm()
		if _, leader = r.Raft.LeaderWithID(); r.Raft.CurrentTerm() == term {
			return term, leader
		}
	}
}

// Refuse counts the refusal of a Hello. It logs at most one for each reason in logPause,
// because a master dials again and again.
func (r *Receiver) Refuse(err error) {
	reason, log := "", r.Logger.Warn
	switch {
	case errors.Is(err, cache.ErrTwoMasters):
		reason, log = helloTwoMasters, r.Logger.Error
	case errors.Is(err, errOtherPeer):
		reason = helloOtherPeer
	case errors.Is(err, errOtherScale):
		reason, log = helloOtherScale, r.Logger.Error
	case errors.Is(err, errNotLeader), errors.Is(err, cache.ErrAhead):
		reason = helloNotLeader
	case errors.Is(err, cache.ErrStale):
		reason, log = helloStale, r.Logger.Debug
	default:
		return // this member is closing
	}
	r.Metrics.hellosRefused.WithLabelValues(reason).Inc()
	r.mu.Lock()
	last, now := r.logged[reason], time.Now()
	quiet := !last.IsZero() && now.Sub(last) < logPause
	if !quiet {
		r.logged[reason] = now
	}
	r.mu.Unlock()
	if !quiet {
		log("refused a push stream", "reason", reason, "err", err)
	}
}
