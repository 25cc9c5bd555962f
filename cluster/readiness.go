package cluster

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/forward"
	"laurel/cluster/peer"
	"laurel/cluster/readindex"
	"laurel/cluster/status"
	"laurel/score"
)

const (
	readyPath = "/peer/v1/ready" // see readiness.serveReady

	// roundTimeout bounds one question to the voters, at a time scale of 1.
	roundTimeout = 300 * time.Millisecond
)

// readiness reports whether this member does its part for the group: it answers reads and,
// if it is to vote, has its vote. Whoever stops one frontend after the other waits for
// that: without the vote of a new frontend, the group may not survive the loss of an old
// one.
type readiness struct {
	*replica
	rounds *readindex.Rounds
	roster *status.Roster
	poller *status.Poller
	// known is true once all other voters that answered knew of this member's vote.
	known  atomic.Bool
	asking atomic.Bool // one caller asks them at a time: anybody may ask for the readiness
}

// Ready returns nil if linearizable reads can be answered, here or by the master, and this
// member has its vote or is to have none; else a *score.Problem.
func (r *readiness) Ready(ctx context.Context) error {
	if err := r.ReadyForReads(ctx); err != nil || r.opts.Nonvoter {
		return err
	}
	if !r.hasVote() {
		r.known.Store(false)
		return score.Problemf(score.NotReady, "this frontend answers reads, but it waits for its vote: "+
			"until it has one, the group may not survive the loss of another frontend")
	}
	if r.known.Load() {
		return nil
	}
	if !r.asking.CompareAndSwap(false, true) {
		return score.Problemf(score.NotReady, "this frontend is asking the other voters whether they know of its vote")
	}
	defer r.asking.Store(false)
	// A voter rejects the candidacy of a member that has no vote in its own configuration.
	late := r.votersUnaware(ctx)
	switch {
	case len(late) > 0:
		return score.Problemf(score.NotReady, "this frontend answers reads and has its vote, "+
			"but waits until other voters know of it: %s", strings.Join(late, ", "))
	case ctx.Err() != nil: // nobody may have had the time to answer
		return score.Problemf(score.NotReady, "this frontend was asking the other voters whether they know of its vote")
	}
	r.known.Store(true)
	return nil
}

// hasVote reports whether this member has its vote in the committed configuration: in that
// which it has applied itself or, as it may not know yet what is committed, in that of the
// master. The latest configuration, by which Raft acts here, must have it too.
func (r *readiness) hasVote() bool {
	if self, in := peer.Find(r.servers(), r.self); !in || self.Suffrage != raft.Voter {
		return false
	}
	place := r.poller.Reports.Place()
	return r.roster.Votes(r.self) || place != nil && place.Voter
}

// votersUnaware asks the other voters and returns those in whose configuration this member
// has no vote. Those that do not answer are left out: they may be down for long.
func (r *readiness) votersUnaware(ctx context.Context) (ids []string) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.opts.hooks.roundTimeout, r.scaled(roundTimeout)))
	defer cancel()
	r.poller.Each(ctx, r.voters(), func(s raft.Server, report status.Status, err error) {
		if err == nil && report.Member == s.ID && report.Roster != nil && !report.Roster.Voter {
			ids = append(ids, peer.MemberID(s.ID))
		}
	})
	slices.Sort(ids)
	return ids
}

// ReadyForReads returns nil if linearizable reads can be answered, here or by the master,
// and this frontend is not draining; else a *score.Problem.
func (r *readiness) ReadyForReads(ctx context.Context) error {
	if r.draining.Load() {
		return score.Problemf(score.NotReady, "this frontend is draining: it answers, but ask others")
	}
	if r.machine.Incarnation() == "" { // its state machine is being rebuilt, or the group has just begun
		return score.Problemf(score.NotReady, "this frontend does not know the settings of the group yet")
	}
	if r.frontend.Leased() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.scaled(forward.Timeout))
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
func (r *readiness) checkMaster(ctx context.Context) error {
	switch {
	case r.frontend.Leased():
		return nil
	case r.CacheMode() == score.Push:
		return peer.NoMaster() // without a lease
	}
	return r.rounds.Confirm(ctx)
}

func (r *readiness) serveReady(_ http.ResponseWriter, req *http.Request) error {
	if r.leadership() == nil {
		return peer.NotMaster()
	}
	return r.checkMaster(req.Context())
}
