package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
)

const (
	transferTimeout = 5 * time.Second
	transferTries   = 3 // for each other voter
)

// transfers transfers the leadership to other members.
type transfers struct {
	*replica
	poller   *status.Poller
	proposer *proposer
}

// Transfer makes another voter the master: to, or any if to is "". Only the master can;
// the error is a *score.Problem.
func (t *transfers) Transfer(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, t.scaled(transferTimeout))
	defer cancel()
	if t.leadership() == nil {
		return peer.NotMaster()
	}
	if to == t.opts.ID {
		return nil
	}
	others := slices.DeleteFunc(t.voters(), func(v raft.Server) bool {
		return v.ID == t.self || to != "" && peer.MemberID(v.ID) != to
	})
	switch {
	case len(others) == 0 && to != "":
		return score.Problemf(score.NotFound, "no voter of the group has the id %q", to)
	case len(others) == 0:
		return score.Problemf(score.StatusConflict, "there is no other voter that could be the master")
	}
	// A voter that does not answer is not tried: until Raft gives up, the group would
	// accept no posts.
	successors := t.reachable(ctx, others)
	if len(successors) == 0 {
		return score.Problemf(score.StatusConflict, "leadership was not transferred: the other voters do not answer")
	}
	err := t.tryAll(ctx, successors)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return score.Problemf(score.OutcomeUnknown,
			"the transfer of leadership has not ended in time; check the status of the group")
	}
	return score.Problemf(score.StatusConflict, "leadership was not transferred: %v", err)
}

// HandOver makes another voter the master, if this member is the master and another voter
// answers. ctx bounds the wait.
func (t *transfers) HandOver(ctx context.Context) {
	if t.raft.State() != raft.Leader || len(t.voters()) < 2 {
		return
	}
	if err := t.tryAll(ctx, t.reachable(ctx, t.voters())); err != nil {
		t.log.Info("could not transfer leadership; the others will elect a master after a timeout", "err", err)
	}
}

var errNoSuccessor = errors.New("no other voter answers")

// tryAll tries one successor after the other until one is the master, or this member is
// not.
func (t *transfers) tryAll(ctx context.Context, successors []raft.Server) error {
	err := errNoSuccessor
	if len(successors) == 0 {
		return err
	}
	if l := t.elected.Load(); l != nil {
		l.push.BeginHandOver(ctx)
		defer l.push.CancelHandOver() // without effect if another member is the master now
	}
	t.proposer.transfers.Add(1)
	defer t.proposer.transfers.Add(-1)
	// A second attempt at a successor that timed out wedges Raft; see checkWedged.
	timedOut := map[raft.ServerID]bool{}
	for range transferTries {
		for _, s := range successors {
			if timedOut[s.ID] {
				continue
			}
			// Revoking the leases may have used up the time. Raft never answers a request
			// that it gets while it shuts down.
			if ctx.Err() != nil {
				return ctx.Err()
			}
			start := time.Now()
			err = t.await(ctx, t.raft.LeadershipTransferToServer(s.ID, s.Address))
			timedOut[s.ID] = time.Since(start) >= t.scaled(electionTimeout)
			if err == nil || t.raft.State() != raft.Leader {
				return nil
			}
		}
	}
	return err
}

// reachable returns those servers, without this one, that answer, the one with the
// longest log first.
func (t *transfers) reachable(ctx context.Context, servers []raft.Server) []raft.Server {
	ctx, cancel := context.WithTimeout(ctx, t.scaled(roundTimeout))
	defer cancel()
	applied := map[raft.ServerID]uint64{}
	t.poller.Each(ctx, servers, func(s raft.Server, status status.Status, err error) {
		if err == nil && status.Member == s.ID {
			applied[s.ID] = status.Applied
		}
	})
	reachable := slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool {
		_, answered := applied[s.ID]
		return !answered
	})
	slices.SortFunc(reachable, func(a, b raft.Server) int { return cmp.Compare(applied[b.ID], applied[a.ID]) })
	return reachable
}
