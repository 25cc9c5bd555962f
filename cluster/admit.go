package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cluster/peer"
)

// A frontend shows what the master's stream tells it, so it must know that the other end is the master. Raft
// here says who that is: a Hello is taken only from the leader of the present term, and where the members
// have certificates, only on a connection of that member. Raft hears of a new leader from its first message,
// which may be a moment behind the Hello; the Hello is held so long.
const (
	// helloLogPause is the shortest time between two lines of the log about refusals for the same reason.
	helloLogPause = 10 * time.Second
	helloHold     = 50 * time.Millisecond // at a time scale of 1
	helloPoll     = time.Millisecond
)

// Reasons of laurel_hello_refused_total.
const (
	helloOtherPeer  = "other_peer"  // the connection is another member's than the Hello names
	helloOtherScale = "other_scale" // its timings are not those of this frontend
	helloNotLeader  = "not_leader"  // Raft here does not know it as the leader of that term
	helloStale      = "stale"       // a newer master or stream has spoken
	helloTwoMasters = "two_masters" // another member was master of that epoch
)

var (
	errOtherPeer  = errors.New("the stream is not from the member that its hello names")
	errOtherScale = errors.New("the master's --time-scale is not the one here; without the same everywhere this frontend answers nothing by itself")
	errNotLeader  = errors.New("raft at this frontend does not know the member as the leader of that term")
)

// admitHello returns nil if a Hello is the master's, as far as this member can know.
func (m *Member) admitHello(c net.Conn, hello *cache.Hello) error {
	if peer := peer.FromConn(c); peer != "" && string(peer) != hello.Master {
		return fmt.Errorf("%w: it names %q, and the certificate %q", errOtherPeer, hello.Master, peer)
	}
	if lease := m.timings().Lease; hello.Lease != lease {
		return fmt.Errorf("%w: its leases are for %v, those here for %v", errOtherScale, hello.Lease, lease)
	}
	hold := time.NewTimer(m.scaled(helloHold))
	defer hold.Stop()
	poll := time.NewTicker(helloPoll)
	defer poll.Stop()
	for {
		term, leader := m.leaderHere()
		switch {
		case term == hello.Epoch && leader == raft.ServerID(hello.Master):
			return nil
		case term > hello.Epoch:
			return fmt.Errorf("%w: raft is in term %d, the stream in epoch %d", cache.ErrStale, term, hello.Epoch)
		}
		select {
		case <-poll.C:
		case <-hold.C:
			return fmt.Errorf("%w: the stream is of %q in epoch %d, and raft follows %q in term %d", errNotLeader, hello.Master, hello.Epoch, leader, term)
		case <-m.ctx.Done():
			return m.ctx.Err()
		}
	}
}

// leaderHere returns Raft's term and the leader that Raft follows in it; "" for none.
func (m *Member) leaderHere() (term uint64, leader raft.ServerID) {
	for {
		// Raft forgets its leader before it enters a term. So the leader read between two equal terms is of that term.
		term = m.raft.CurrentTerm()
		if _, leader = m.raft.LeaderWithID(); m.raft.CurrentTerm() == term {
			return term, leader
		}
	}
}

// helloRefusals counts and logs the Hellos that are refused.
type helloRefusals struct {
	count *prometheus.CounterVec

	mu   sync.Mutex
	said map[string]time.Time
}

func newHelloRefusals() *helloRefusals {
	r := &helloRefusals{said: map[string]time.Time{}, count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_hello_refused_total",
		Help: "Streams that began as a master's and were refused, by reason. Two masters of one epoch are a fault of the group; the others may happen while the master changes."}, []string{"reason"})}
	for _, reason := range []string{helloOtherPeer, helloOtherScale, helloNotLeader, helloStale, helloTwoMasters} {
		r.count.WithLabelValues(reason)
	}
	return r
}

// refuseHello counts a refusal, and logs it if none was logged for the same reason a moment ago: a master dials
// again and again.
func (m *Member) refuseHello(err error) {
	reason, level := "", m.log.Warn
	switch {
	case errors.Is(err, cache.ErrTwoMasters):
		reason, level = helloTwoMasters, m.log.Error
	case errors.Is(err, errOtherPeer):
		reason = helloOtherPeer
	case errors.Is(err, errOtherScale):
		reason, level = helloOtherScale, m.log.Error
	case errors.Is(err, errNotLeader), errors.Is(err, cache.ErrAhead):
		reason = helloNotLeader
	case errors.Is(err, cache.ErrStale):
		reason, level = helloStale, m.log.Debug
	default:
		return // this member is closing
	}
	r := m.metrics.hello
	r.count.WithLabelValues(reason).Inc()
	r.mu.Lock()
	last, now := r.said[reason], time.Now()
	quiet := !last.IsZero() && now.Sub(last) < helloLogPause
	if !quiet {
		r.said[reason] = now
	}
	r.mu.Unlock()
	if !quiet {
		level("a stream was refused that began as a master's", "reason", reason, "error", err)
	}
}
