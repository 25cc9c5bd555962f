package demo

import (
	"context"
	"time"

	"laurel/internal/localgroup"
)

// tellFrontends tells what happens to the frontends, and who is the master then, until ctx ends.
func (d *demo) tellFrontends(ctx context.Context, notices <-chan localgroup.Notice) {
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	down := map[string]bool{}
	var since time.Time // when it became unknown who is the master; zero: it is known
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-notices:
			d.out.notice(n)
			if down[n.Frontend.ID] = n.Kind != localgroup.Restarted; !down[n.Frontend.ID] {
				d.audience.back(n.Frontend.ID, time.Now())
				continue
			}
			d.audience.gone(n.Frontend.ID, time.Now())
			if since.IsZero() {
				since = time.Now()
			}
		case <-ask.C:
			if !since.IsZero() && d.tellMaster(ctx, down, since) {
				since = time.Time{}
			}
		}
	}
}

// tellMaster says who is the master, if there is one that is not known to be down.
func (d *demo) tellMaster(ctx context.Context, down map[string]bool, since time.Time) bool {
	// What happens to the frontends meanwhile waits to be told.
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

// tellAudience tells when clients have moved, and by whom they are served whenever all are at home, or a frontend has been left by all, until ctx ends.
func (d *demo) tellAudience(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for told := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-d.audience.changed:
		case <-tick.C:
		}
		outcomes, now := d.audience.outcomes(time.Now()), d.audience.seats()
		for _, o := range outcomes {
			d.out.journey(o)
		}
		// A frontend may lose its clients without having died: it hangs, or is cut off.
		if what := now.gist(told); len(outcomes) > 0 || what != told {
			d.out.seats(now)
			told = what
		}
	}
}
