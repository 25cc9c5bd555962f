package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
)

const (
	transferTimeout = 5 * time.Second
	transferTries   = 3 // for each other voter
	masterPause     = 50 * time.Millisecond
)

// transfers transfers the leadership to other members.
type transfers struct {
	*replica
	poller   *status.Poller
	proposer *proposer
	late     laggards
}

// laggards are the voters that did not become the master in time when they were to, in one
// epoch. Raft must not try one again before it has what the log had then. It may be
// receiving a snapshot, and Raft refuses all entries until the second attempt has ended, which
// waits for that; see checkWedged.
type laggards struct {
	mu    sync.Mutex
	epoch uint64
	ends  map[raft.ServerID]uint64 // the index of the last entry of the log after the attempt
}

// add adds a voter. end is the index of the last entry of the log.
func (l *laggards) add(epoch uint64, id raft.ServerID, end uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch != epoch {
		l.epoch, l.ends = epoch, map[raft.ServerID]uint64{}
	}
	l.ends[id] = end
}

// has reports whether a voter whose log ends at an index has not caught up since it was added.
func (l *laggards) has(epoch uint64, id raft.ServerID, index uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch == epoch && index < l.ends[id]
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
	successors, draining := t.successors(ctx, others)
	switch {
	case len(successors) == 0:
		return score.Problemf(score.StatusConflict,
			"leadership was not transferred: the other voters do not answer, or are still catching up")
	case draining && !t.draining.Load(): // it would come back at once
		return score.Problemf(score.StatusConflict, "leadership was not transferred: %q is draining; end that first, "+
			"or name another frontend", peer.MemberID(successors[0].ID))
	}
	err := t.tryAll(ctx, successors)
	if err == nil && to != "" {
		err = t.awaitMaster(ctx, to)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return score.Problemf(score.OutcomeUnknown,
			"the transfer of leadership has not ended in time; check the status of the group")
	}
	return score.Problemf(score.StatusConflict, "leadership was not transferred as asked: %v", err)
}

// HandOver makes another voter the master, if this member is the master and another voter
// answers. ctx bounds the wait.
func (t *transfers) HandOver(ctx context.Context) {
	if t.raft.State() != raft.Leader || len(t.voters()) < 2 {
		return
	}
	successors, _ := t.successors(ctx, t.voters())
	if err := t.tryAll(ctx, successors); err != nil {
		t.log.Info("could not transfer leadership; the others will elect a master after a timeout", "err", err)
	}
}

// awaitMaster waits until the group has a master again. It returns an error if that is another
// frontend than id: this one may have lost its office for another reason than the transfer.
func (t *transfers) awaitMaster(ctx context.Context, id string) error {
	var master raft.ServerID
	err := t.leader.Try(ctx, t.scaled(masterPause), func(string, <-chan struct{}) bool {
		_, master = t.raft.LeaderWithID()
		return master != "" && (master != t.self || t.raft.State() == raft.Leader)
	})
	if now := peer.MemberID(master); err == nil && now != id {
		return fmt.Errorf("%q is the master now, not %q", now, id)
	}
	return err
}

var errNoSuccessor = errors.New("no other voter answers, or all that do are still catching up")

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
			start, epoch := time.Now(), t.raft.CurrentTerm()
			err = t.await(ctx, t.raft.LeadershipTransferToServer(s.ID, s.Address))
			if timedOut[s.ID] = time.Since(start) >= t.scaled(electionTimeout); timedOut[s.ID] {
				t.late.add(epoch, s.ID, t.raft.LastIndex())
			}
			if err == nil || t.raft.State() != raft.Leader {
				return nil
			}
		}
	}
	return err
}

// successors returns those servers that may become the master: those that answer, have caught
// up since they were tried, and are not draining. If all of them are draining, it returns them,
// and draining is true.
func (t *transfers) successors(ctx context.Context, servers []raft.Server) (list []raft.Server, draining bool) {
	list, answers := t.reachable(ctx, servers)
	epoch := t.raft.CurrentTerm()
	list = slices.DeleteFunc(list, func(s raft.Server) bool { return t.late.has(epoch, s.ID, answers[s.ID].LogIndex) })
	others := slices.DeleteFunc(slices.Clone(list), func(s raft.Server) bool {
		return answers[s.ID].State == score.Draining
	})
	if len(others) > 0 {
		return others, false
	}
	return list, len(list) > 0
}

// reachable returns those servers, without this one, that answer, the one with the
// longest log first, and what they have answered.
func (t *transfers) reachable(
	ctx context.Context, servers []raft.Server,
) (list []raft.Server, answers map[raft.ServerID]status.Status) {
	ctx, cancel := context.WithTimeout(ctx, t.scaled(roundTimeout))
	defer cancel()
	answers = map[raft.ServerID]status.Status{}
	t.poller.Each(ctx, servers, func(s raft.Server, status status.Status, err error) {
		if err == nil && status.Member == s.ID {
			answers[s.ID] = status
		}
	})
	list = slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool {
		_, answered := answers[s.ID]
		return !answered
	})
	slices.SortFunc(list, func(a, b raft.Server) int {
		return cmp.Compare(answers[b.ID].Applied, answers[a.ID].Applied)
	})
	return list, answers
}
