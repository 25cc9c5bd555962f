package cluster

import (
	"context"
	"time"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/fsm/entry"
	"laurel/score"
)

// cacheMode is the mode of the group's caches: push or pull.
type cacheMode struct {
	*replica
	elections *elections
	frontend  *cache.Frontend
}

// get returns the mode, as far as this member knows.
func (c *cacheMode) get() score.CacheMode {
	if c.frontend.Leased() {
		return score.Push // the master knows the mode, and grants leases in no other
	}
	return c.machine.CacheMode()
}

// set sets the mode, and returns when the old one has ended: in pull mode no frontend has a lease.
func (c *cacheMode) set(ctx context.Context, mode score.CacheMode) error {
	encoded, err := entry.EncodeCacheMode(mode)
	if err != nil {
		p := score.Problemf(score.InvalidEvent, "got %q; want %q or %q", mode, score.Push, score.Pull)
		p.Field = "mode"
		return p
	}
	lead := c.elections.current()
	if lead == nil {
		return peer.NotMaster()
	}
	if err := c.await(ctx, c.raft.Apply(encoded, enqueueTimeout)); err != nil {
		return changeProblem("mode", err)
	}
	lead.push.Update(func(m *cache.Master, now time.Duration) {
		m.SetGranting(c.machine.CacheMode() == score.Push, now)
	})
	if mode == score.Pull && !lead.push.Await(ctx, 2*c.timings().Lease, (*cache.Master).NoLeases) {
		return score.Problemf(score.OutcomeUnknown,
			"the mode is set, but not all leases have ended yet; check the status of the frontends")
	}
	c.log.Info("set the cache mode", "mode", mode)
	return nil
}
