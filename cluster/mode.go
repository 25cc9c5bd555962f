package cluster

import (
	"context"
	"time"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/fsm/entry"
	"laurel/score"
)

// CacheMode is the mode that the group is set to, as far as this member knows.
func (m *Member) CacheMode() score.CacheMode {
	if m.Leased() {
		return score.Push // the master knows, and grants in no other mode
	}
	return m.machine.CacheMode()
}

// SetCacheMode switches the group between push and pull, and returns when the old mode is over: in pull no frontend has a lease.
// Only the master can; the error is a *score.Problem.
func (m *Member) SetCacheMode(ctx context.Context, mode score.CacheMode) error {
	entry, err := entry.EncodeCacheMode(mode)
	if err != nil {
		p := score.Problemf(score.InvalidEvent, "got %q; want %q or %q", mode, score.Push, score.Pull)
		p.Field = "mode"
		return p
	}
	lead := m.leads()
	if lead == nil {
		return peer.NotMaster()
	}
	if err := m.await(ctx, m.raft.Apply(entry, enqueue)); err != nil {
		return changeProblem("mode", err)
	}
	lead.push.Update(func(master *cache.Master, now time.Duration) {
		master.SetGranting(m.machine.CacheMode() == score.Push, now)
	})
	if mode == score.Pull && !lead.push.Await(ctx, 2*m.timings().Lease, (*cache.Master).NoLeases) {
		return score.Problemf(score.OutcomeUnknown, "the mode is set, but not all leases are back yet; see laurel cluster status")
	}
	m.log.Info("the cache mode is set", "mode", mode)
	return nil
}
