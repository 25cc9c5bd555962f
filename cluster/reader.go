package cluster

import (
	"context"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm/view"
	"laurel/score/ranking"
)

// reader answers reads from this member's own state.
type reader struct {
	*replica
}

// Leased reports whether this member may answer from memory now.
func (r *reader) Leased() bool { return r.frontend.Leased() }

// Hit returns the answer to key if this member has it in memory and may give it now; else
// nil. The answer is linearizable. Hit takes no lock and allocates nothing.
func (r *reader) Hit(key []byte) *cache.Entry { return r.frontend.Hit(key) }

// Invalidations returns what readers here may see anew. It has one consumer.
func (r *reader) Invalidations() *cache.Invalidations { return r.frontend.Invalidations() }

// ChangedSince returns the keys of the records that have changed since a revision, once
// this member's own state has the revision upTo: removed records too, and perhaps others.
// known is false if the revision is too long ago.
func (r *reader) ChangedSince(ctx context.Context, revision, upTo uint64) (keys []string, known bool, err error) {
	if err := r.machine.Await(ctx, upTo); err != nil {
		return nil, false, err
	}
	contests, tables, known := r.machine.ChangedSince(revision)
	for _, id := range contests {
		keys = append(keys, cache.ScoreKey(id))
	}
	for _, competition := range tables {
		keys = append(keys, cache.MedalsKey(competition))
	}
	return keys, known, nil
}

// Answer returns the answer to key, from memory or made by ask from this member's own
// state, and how it came about. The answer is linearizable. The error cache.ErrNotLeased
// means that this member may not answer now, but the master may. The tag names what makes
// the answer stale.
func (r *reader) Answer(ctx context.Context, key, tag string, ask queries.Ask) (*cache.Entry, string, error) {
	load := func(ctx context.Context, floor uint64) (body []byte, revision, at uint64, err error) {
		if err = r.machine.Await(ctx, floor); err != nil {
			return nil, 0, 0, err
		}
		err = r.machine.View(func(v *view.View) error {
			at = v.Revision()
			body, revision, err = ask(v)
			if body == nil {
				revision = at // a missing record has no revision of its own
			}
			return err
		})
		return body, revision, at, err
	}
	return r.frontend.Answer(ctx, key, tag, load)
}

// Board returns a page of a leaderboard, made from this member's own state, the revision
// of the last change of what the page shows, and how it came about. It is linearizable,
// also if the error is a *score.Problem. The error cache.ErrNotLeased means that this
// member may not answer now, but the master may.
func (r *reader) Board(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, how string, err error) {
	how, err = r.frontend.Direct(ctx, r.machine, func() (uint64, error) {
		var err error
		p, revision, err = r.machine.Board(ctx, contestID, q)
		return revision, err
	})
	return p, revision, how, err
}

// BoardNow is Board without waiting. If only the page's release is missing, ok is false
// and soon waits for the release; it reports whether the page may be given then. If ok is
// false and soon is nil, call Board.
func (r *reader) BoardNow(
	contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, ok bool, soon func(context.Context) bool) {
	lease, ok := r.frontend.CheckLease()
	if !ok || r.machine.Revision() < lease.Floor() {
		return p, 0, false, nil
	}
	if p, revision, ok = r.machine.BoardNow(contestID, q); !ok {
		return p, 0, false, nil
	}
	if !lease.Visible(revision) {
		return p, revision, false, func(ctx context.Context) bool { return lease.Await(ctx, revision) }
	}
	return p, revision, true, nil
}

// Stale calls f with this member's own state, whatever happened to the others. It returns
// for how long that state may have been behind; known is false if it was never known to
// be complete since the start.
func (r *reader) Stale(f func(queries.View) error) (age time.Duration, known bool, err error) {
	revision := uint64(0)
	err = r.machine.View(func(v *view.View) error {
		revision = v.Revision()
		return f(v)
	})
	age, known = r.frontend.Age(revision)
	return age, known, err
}

// StaleBoard is Stale for a leaderboard.
func (r *reader) StaleBoard(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, age time.Duration, known bool, err error) {
	before := r.machine.Revision() // the leaderboard has at least that
	p, revision, err = r.machine.Board(ctx, contestID, q)
	age, known = r.frontend.Age(before)
	return p, revision, age, known, err
}
