package cluster

import (
	"context"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm"
	"laurel/score/ranking"
)

// reader answers reads from this member's own state. Its methods are documented at Member's.
type reader struct {
	*replica
	frontend *cache.Frontend
}

func (r *reader) answer(ctx context.Context, key, tag string, ask queries.Ask) (*cache.Entry, string, error) {
	load := func(ctx context.Context, floor uint64) (body []byte, revision, view uint64, err error) {
		if err = r.machine.Await(ctx, floor); err != nil {
			return nil, 0, 0, err
		}
		err = r.machine.View(func(v *fsm.View) error {
			view = v.Revision()
			body, revision, err = ask(v)
			if body == nil {
				revision = view // a missing record has no revision of its own
			}
			return err
		})
		return body, revision, view, err
	}
	return r.frontend.Answer(ctx, key, tag, load)
}

func (r *reader) board(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, how string, err error) {
	how, err = r.frontend.Direct(ctx, r.machine, func() (uint64, error) {
		var err error
		p, revision, err = r.machine.Board(ctx, contestID, q)
		return revision, err
	})
	return p, revision, how, err
}

func (r *reader) boardNow(
	contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, ok bool, soon func(context.Context) bool) {
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

func (r *reader) stale(f func(queries.View) error) (age time.Duration, known bool, err error) {
	revision := uint64(0)
	err = r.machine.View(func(v *fsm.View) error {
		revision = v.Revision()
		return f(v)
	})
	age, known = r.frontend.Age(revision)
	return age, known, err
}

func (r *reader) staleBoard(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Page, revision uint64, age time.Duration, known bool, err error) {
	before := r.machine.Revision() // the leaderboard has at least that
	p, revision, err = r.machine.Board(ctx, contestID, q)
	age, known = r.frontend.Age(before)
	return p, revision, age, known, err
}
