package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
)

const (
	transferLimit = 5 * time.Second
	transferTries = 3 // for each of the other voters
)

// Transfer makes another voter the master: to, or any if it is "". Only the master can; the error is a *score.Problem.
func (m *Member) Transfer(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, m.scaled(transferLimit))
	defer cancel()
	if m.leads() == nil {
		return peer.NotMaster()
	}
	if to == m.opts.ID {
		return nil
	}
	others := slices.DeleteFunc(m.voters(), func(v raft.Server) bool {
		return v.ID == m.self || to != "" && memberID(v.ID) != to
	})
	switch {
	case len(others) == 0 && to != "":
		return score.Problemf(score.NotFound, "no voter of the group has the id %q", to)
	case len(others) == 0:
		return score.Problemf(score.StatusConflict, "there is no other voter that could be the master")
	}
	// One that does not answer is not tried: until Raft has given it up, the group would take no posts.
	successors := m.answering(ctx, others)
	if len(successors) == 0 {
		return score.Problemf(score.StatusConflict, "leadership was not handed over, and stays here: the others do not answer")
	}
	err := m.handOver(ctx, successors)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return score.Problemf(score.OutcomeUnknown, "handing leadership over has not come to an end; see laurel cluster status")
	}
	return score.Problemf(score.StatusConflict, "leadership was not handed over, and stays here: %v", err)
}

// HandOver makes another voter the master, if this member is it and another answers. ctx bounds the wait.
func (m *Member) HandOver(ctx context.Context) {
	if m.raft.State() != raft.Leader || len(m.voters()) < 2 {
		return
	}
	if err := m.handOver(ctx, m.answering(ctx, m.voters())); err != nil {
		m.log.Warn("could not hand leadership over; the others will elect a master after a timeout", "error", err)
	}
}

var errNoSuccessor = errors.New("no other voter answers")

// handOver tries one after the other until one of them is the master, or at least this member is none.
func (m *Member) handOver(ctx context.Context, successors []raft.Server) error {
	err := errNoSuccessor
	if len(successors) == 0 {
		return err
	}
	if reign := m.reign.Load(); reign != nil {
		reign.push.BeginHandOver(ctx)
		defer reign.push.CancelHandOver() // without effect where another is the master now
	}
	m.handing.Add(1)
	defer m.handing.Add(-1)
	late := map[raft.ServerID]bool{} // a second attempt at one that did not answer in time is what wedges Raft; see wedged
	for range transferTries {
		for _, s := range successors {
			if late[s.ID] {
				continue
			}
			// Taking the leases back may have used up the time; and what Raft is asked while it is shut down it never answers.
			if ctx.Err() != nil {
				return ctx.Err()
			}
			began := time.Now()
			err = m.await(ctx, m.raft.LeadershipTransferToServer(s.ID, s.Address))
			late[s.ID] = time.Since(began) >= m.scaled(electionTimeout)
			if err == nil || m.raft.State() != raft.Leader {
				return nil
			}
		}
	}
	return err
}

// wedgedAfter is for how long, at a time scale of 1, Raft may refuse entries because leadership is being handed over while it is not.
const wedgedAfter = 2 * time.Second

// errWedged: see wedged.
var errWedged = errors.New("raft takes no entries, because it believes that leadership is being handed over, for ever (hashicorp/raft#696); start this frontend again")

// wedged ends a member whose Raft has forgotten that a handing over has ended. That can happen when it loses leadership meanwhile; should it
// become the master again, it would be one that takes no posts. Others can: one of them is elected when this one is gone.
func (m *Member) wedged(proposed error) {
	if !errors.Is(proposed, raft.ErrLeadershipTransferInProgress) || m.handing.Load() > 0 {
		m.refused.Store(0)
		return
	}
	now := int64(m.clock())
	if !m.refused.CompareAndSwap(0, now) && time.Duration(now-m.refused.Load()) > m.scaled(wedgedAfter) {
		m.end(errWedged)
	}
}

// answering asks servers, but this one, who they are, and returns those that answer, the furthest in the log first.
func (m *Member) answering(ctx context.Context, servers []raft.Server) []raft.Server {
	ctx, cancel := context.WithTimeout(ctx, m.scaled(roundLimit))
	defer cancel()
	type progress struct {
		raft.Server
		applied uint64
	}
	var mu sync.Mutex
	var all []progress
	var asked sync.WaitGroup
	for _, s := range servers {
		if s.ID == m.self {
			continue
		}
		asked.Go(func() {
			status, err := m.statusOf(ctx, string(s.Address))
			if err != nil || status.Member != s.ID {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, progress{s, status.Applied})
		})
	}
	asked.Wait()
	slices.SortFunc(all, func(a, b progress) int { return cmp.Compare(b.applied, a.applied) })
	answering := make([]raft.Server, len(all))
	for i, h := range all {
		answering[i] = h.Server
	}
	return answering
}
