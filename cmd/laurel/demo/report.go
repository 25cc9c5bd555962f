package demo

import (
	"context"
	"time"

	"laurel/internal/localgroup"
)

// reportFrontends prints what happens to the frontends, and the master afterwards, until
// ctx ends.
func (d *demo) reportFrontends(ctx context.Context, notices <-chan localgroup.Notice) {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	down := map[string]bool{}
	var since time.Time // when the master became unknown; zero: it is known
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-notices:
			d.out.notice(n)
			if down[n.Frontend.ID] = n.Kind != localgroup.Restarted; !down[n.Frontend.ID] {
				d.audience.frontendUp(n.Frontend.ID, time.Now())
				continue
			}
			d.audience.frontendDown(n.Frontend.ID, time.Now())
			if since.IsZero() {
				since = time.Now()
			}
		case <-poll.C:
			if !since.IsZero() && d.reportMaster(ctx, down, since) {
				since = time.Time{}
			}
		}
	}
}

// reportMaster prints the master. It reports false if there is none, or it is known to be
// down.
func (d *demo) reportMaster(ctx context.Context, down map[string]bool, since time.Time) bool {
	// The timeout is short, as notices wait meanwhile.
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	now, err := d.client.Frontends(ctx)
	if err != nil || now.Master == "" || down[now.Master] {
		return false
	}
	d.out.newMaster(now.Master, now.Master == d.master, time.Since(since))
	d.master = now.Master
	return true
}

// reportAudience prints, until ctx ends, when clients have moved, and their distribution
// when all are at home or a frontend has lost all of them.
func (d *demo) reportAudience(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for printed := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-d.audience.changed:
		case <-tick.C:
		}
		finished, now := d.audience.finishedMoves(time.Now()), d.audience.distribution()
		for _, m := range finished {
			d.out.move(m)
		}
		// A frontend may lose its clients without having died: it hangs, or is cut off.
		if summary := now.summary(printed); len(finished) > 0 || summary != printed {
			d.out.distribution(now)
			printed = summary
		}
	}
}
