package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/batch"
	"laurel/cluster/metrics"
	"laurel/cluster/peer"
	"laurel/fsm/entry"
	"laurel/score"
)

// confirmTimeout is how long, at a time scale of 1, the master's outcome of a post waits for this
// frontend's own state, which is some milliseconds behind. It is less than clients wait for
// one frontend.
const confirmTimeout = 2 * time.Second

// confirm returns the results that the master says a post had. In a sworn group it is not
// believed: this frontend must have come to the same results by itself. If it has not, the
// outcome is unknown, and the bard can post again elsewhere.
func (p *poster) confirm(ctx context.Context, own *entry.Own, o batch.Outcome) ([]score.Result, error) {
	if own == nil || !p.machine.Access().Settings.Sworn {
		return o.Results, nil
	}
	if so, _ := own.Came(o.Results); so && p.machine.Revision() >= batch.AppliedAt(o.Results) {
		return o.Results, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.scaled(confirmTimeout))
	defer cancel()
	err := batch.Confirm(ctx, o.Results, own, p.machine.Await)
	reason := metrics.Late
	switch {
	case err == nil:
		return o.Results, nil
	case errors.Is(err, batch.ErrContradicted):
		reason = metrics.Contradicted
		p.contradict(o)
	}
	p.metrics.OutcomesRefused.WithLabelValues(reason).Inc()
	return nil, score.Problemf(score.OutcomeUnknown,
		"the master answered, but %v; post the same again at another frontend: "+
			"with the same source and seq, or the same id, it will not count twice", err)
}

// contradict holds it against the master that this frontend's state has something else than
// it said.
func (p *poster) contradict(o batch.Outcome) {
	i := slices.IndexFunc(p.servers(), func(s raft.Server) bool { return string(s.Address) == o.By })
	if i < 0 {
		return
	}
	master, revision := peer.MemberID(p.servers()[i].ID), batch.AppliedAt(o.Results)
	p.log.Warn("the master said that a post was applied, and the state of this frontend has something else there",
		"member", master, "revision", revision)
	p.enforcer.Contradicted(master, revision)
}
