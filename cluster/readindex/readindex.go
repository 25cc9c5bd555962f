// Package readindex proves that a member is still the master, before it answers a read
// without a lease.
//
// A master may have been deposed without knowing it, and its state may then be old.
// Raft's own checks do not exclude that, because they count answers to messages that were
// sent before the check. So the master starts a round: it asks all voters for their term.
// A voter stores a higher term before it votes for another member. So if a majority is
// still in the master's epoch after the round began, no other master had been elected by
// then, and what this member had applied when the round began is everything that anybody
// had been told.
//
// Reads that wait at the same time share a round. A read never joins a round that began
// before it.
package readindex

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"laurel/cluster/peer"
)

// TermPath is where a voter answers with its term.
const TermPath = "/peer/v1/term"

// Config configures Rounds.
type Config struct {
	Context context.Context // ends when the member is closed
	Self    raft.ServerID
	Raft    *raft.Raft
	Port    *peer.Port
	// Epoch returns the epoch in which this member serves as the master; 0 if it does not.
	Epoch   func() uint64
	Timeout time.Duration      // of a round
	Began   prometheus.Counter // laurel_confirm_rounds_total
}

// Rounds asks the voters, round by round, whether this member is still the master.
type Rounds struct {
	config  Config
	round   func() error
	flights singleflight.Group
	// turn is held during a round. It is a channel, because virtual time (testing/synctest)
	// stops while a goroutine waits for a sync.Mutex.
	turn chan struct{}
}

// New returns Rounds.
func New(c Config) *Rounds {
	r := &Rounds{config: c, turn: make(chan struct{}, 1)}
	r.round = r.askVoters
	return r
}

// Confirm waits for a round that began after the call, and returns its error, a
// *score.Problem.
func (r *Rounds) Confirm(ctx context.Context) error {
	confirmed := r.flights.DoChan("", func() (any, error) {
		r.turn <- struct{}{}
		defer func() { <-r.turn }()
		r.flights.Forget("") // reads that come from now on need a later round
		return nil, r.round()
	})
	select {
	case c := <-confirmed:
		return c.Err
	case <-ctx.Done():
		return peer.NoMaster()
	}
}

// askVoters is a round.
func (r *Rounds) askVoters() error {
	epoch := r.config.Epoch()
	if epoch == 0 {
		return peer.NotMaster()
	}
	voters := peer.Voters(r.config.Raft)
	r.config.Began.Inc()
	ctx, cancel := context.WithTimeout(r.config.Context, r.config.Timeout)
	defer cancel()
	answers := make(chan bool, len(voters))
	for _, v := range voters {
		if v.ID == r.config.Self {
			answers <- true
			continue
		}
		go func() {
			var a termAnswer
			err := r.config.Port.Call(ctx, string(v.Address), http.MethodGet, TermPath, nil, &a)
			answers <- err == nil && a.Member == v.ID && a.Term == epoch
		}()
	}
	agree := 0
	for range voters {
		if <-answers {
			agree++
		}
		if agree*2 > len(voters) {
			break
		}
	}
	if agree*2 <= len(voters) || r.config.Epoch() != epoch {
		return peer.NotMaster()
	}
	return nil
}

// termAnswer is the answer of a voter to a round.
type termAnswer struct {
	Member raft.ServerID `json:"member"`
	Term   uint64        `json:"term"`
}

// ServeTerm answers a round of another member.
func (r *Rounds) ServeTerm(w http.ResponseWriter, _ *http.Request) error {
	return json.MarshalWrite(w, termAnswer{r.config.Self, r.config.Raft.CurrentTerm()})
}
