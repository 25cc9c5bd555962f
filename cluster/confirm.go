package cluster

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
)

// A master may have been deposed without knowing it, and its state may then be old. Raft's own checks do not exclude that, because they
// count answers to messages that were sent before the check. So the master asks: a round sends a question to all voters, and each
// answers with its term. A voter stores a higher term before it votes for another; so a majority that still is in the master's epoch after
// the round began proves that no other master had been elected by then. What the master had applied when the round began is therefore all
// that anybody had been told.

// roundLimit is how long a round may take at a time scale of 1.
const roundLimit = 300 * time.Millisecond

// confirmer lets the reads that wait at the same time share a round. A read never joins a round that has begun before it.
type confirmer struct {
	round func() error
	mu    sync.Mutex
	next  *round
	busy  bool
}

type round struct {
	done chan struct{}
	err  error
}

// wait returns when a round that began after the call has ended, with its error.
func (c *confirmer) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.next == nil {
		c.next = &round{done: make(chan struct{})}
	}
	mine := c.next
	if !c.busy {
		c.busy = true
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return peer.NoMaster()
	}
}

func (c *confirmer) run() {
	for {
		c.mu.Lock()
		r := c.next
		c.next = nil
		c.busy = r != nil
		c.mu.Unlock()
		if r == nil {
			return
		}
		r.err = c.round()
		close(r.done)
	}
}

// confirmRound proves that this member is still the master; the error is a *score.Problem.
func (m *Member) confirmRound() error {
	lead := m.leads()
	if lead == nil {
		return peer.NotMaster()
	}
	voters := m.voters()
	m.metrics.rounds.Inc()
	ctx, cancel := context.WithTimeout(m.ctx, cmp.Or(m.opts.round, m.scaled(roundLimit)))
	defer cancel()
	answers := make(chan bool, len(voters))
	for _, v := range voters {
		if v.ID == m.self {
			answers <- true
			continue
		}
		go func() {
			var a termAnswer
			err := m.port.Call(ctx, string(v.Address), http.MethodGet, "/peer/v1/term", nil, &a)
			answers <- err == nil && a.Member == v.ID && a.Term == lead.epoch
		}()
	}
	agree, asked := 0, len(voters)
	for range asked {
		if <-answers {
			agree++
		}
		if agree*2 > asked {
			break
		}
	}
	if agree*2 <= asked || m.leads() != lead {
		return peer.NotMaster()
	}
	return nil
}

type termAnswer struct {
	Member raft.ServerID `json:"member"`
	Term   uint64        `json:"term"`
}

func (m *Member) voters() []raft.Server { return peer.Voters(m.raft) }

// masterReady tells whether this member as master can answer: by its lease, or in pull mode by proving that it is the master.
func (m *Member) masterReady(ctx context.Context) error {
	switch {
	case m.Leased():
		return nil
	case m.CacheMode() == score.Push:
		return peer.NoMaster() // it has no lease yet, or no more
	}
	return m.confirm.wait(ctx)
}

// Ready tells whether this member can answer linearizable reads, itself or through the master; nil if it can. It takes no longer than a
// forwarded read may take.
func (m *Member) Ready(ctx context.Context) error {
	if m.Leased() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.scaled(forwardLimit))
	defer cancel()
	if m.leads() != nil {
		return m.masterReady(ctx)
	}
	master, _ := m.masters.now()
	if master == "" {
		return peer.NoMaster()
	}
	if err := m.port.Call(ctx, master, http.MethodGet, "/peer/v1/ready", nil, nil); err != nil {
		return peer.NoMaster()
	}
	return nil
}
