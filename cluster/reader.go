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

// Find returns the answer to key if this member has it in memory, else nil. The answer is
// linearizable, and may be given when lease says that its revision is visible. Find takes
// no lock and allocates nothing.
func (r *reader) Find(key []byte) (e *cache.Entry, lease cache.LeaseCheck) {
	return r.frontend.Find(key)
}

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

// BoardNow is Board without waiting. The page may be given when lease says that revision
// is visible. If ok is false, call Board.
func (r *reader) BoardNow(
	contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, lease cache.LeaseCheck, ok bool) {
	if lease, ok = r.frontend.CheckLease(); !ok || r.machine.Revision() < lease.Floor() {
		return p, 0, lease, false
	}
	p, revision, ok = r.machine.BoardNow(contestID, q)
	return p, revision, lease, ok
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
