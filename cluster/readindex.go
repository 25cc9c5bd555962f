package cluster

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	"golang.org/x/sync/singleflight"

	"laurel/cluster/peer"
	"laurel/score"
)

const (
	termPath  = "/peer/v1/term"  // see readIndex.serveTerm
	readyPath = "/peer/v1/ready" // see readIndex.serveReady

	// roundTimeout bounds a round, at a time scale of 1.
	roundTimeout = 300 * time.Millisecond
)

// readIndex proves that this member is still the master, before it answers a read without
// a lease.
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
type readIndex struct {
	*replica
	round   func() error
	flights singleflight.Group
	turn    chanMutex // one round at a time
}

// confirm waits for a round that began after the call, and returns its error, a
// *score.Problem.
func (r *readIndex) confirm(ctx context.Context) error {
	select {
	case c := <-r.next():
		return c.Err
	case <-ctx.Done():
		return peer.NoMaster()
	}
}

// next returns a channel that gets the result of a round that begins after the call.
func (r *readIndex) next() <-chan singleflight.Result {
	return r.flights.DoChan("", func() (any, error) {
		r.turn.Lock()
		defer r.turn.Unlock()
		r.flights.Forget("") // reads that come from now on need a later round
		return nil, r.round()
	})
}

// askVoters is a round.
func (r *readIndex) askVoters() error {
	lead := r.leadership()
	if lead == nil {
		return peer.NotMaster()
	}
	voters := r.voters()
	r.metrics.Rounds.Inc()
	ctx, cancel := context.WithTimeout(r.ctx, cmp.Or(r.opts.hooks.roundTimeout, r.scaled(roundTimeout)))
	defer cancel()
	answers := make(chan bool, len(voters))
	for _, v := range voters {
		if v.ID == r.self {
			answers <- true
			continue
		}
		go func() {
			var a termAnswer
			err := r.port.Call(ctx, string(v.Address), http.MethodGet, termPath, nil, &a)
			answers <- err == nil && a.Member == v.ID && a.Term == lead.epoch
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
	if agree*2 <= len(voters) || r.leadership() != lead {
		return peer.NotMaster()
	}
	return nil
}

// termAnswer is the answer of a voter to a round.
type termAnswer struct {
	Member raft.ServerID `json:"member"`
	Term   uint64        `json:"term"`
}

func (r *readIndex) serveTerm(w http.ResponseWriter, _ *http.Request) error {
	return json.MarshalWrite(w, termAnswer{r.self, r.raft.CurrentTerm()})
}

// ReadyForReads returns nil if linearizable reads can be answered, here or by the master;
// else a *score.Problem.
func (r *readIndex) ReadyForReads(ctx context.Context) error {
	if r.frontend.Leased() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.scaled(forwardTimeout))
	defer cancel()
	if r.leadership() != nil {
		return r.checkMaster(ctx)
	}
	master, _ := r.leader.Current()
	if master == "" {
		return peer.NoMaster()
	}
	if err := r.port.Call(ctx, master, http.MethodGet, readyPath, nil, nil); err != nil {
		return peer.NoMaster()
	}
	return nil
}

// checkMaster returns nil if this member can answer as the master: by its lease, or in
// pull mode by a proof that it is the master.
func (r *readIndex) checkMaster(ctx context.Context) error {
	switch {
	case r.frontend.Leased():
		return nil
	case r.CacheMode() == score.Push:
		return peer.NoMaster() // without a lease
	}
	return r.confirm(ctx)
}

func (r *readIndex) serveReady(_ http.ResponseWriter, req *http.Request) error {
	if r.leadership() == nil {
		return peer.NotMaster()
	}
	return r.checkMaster(req.Context())
}
