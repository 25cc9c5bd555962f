package cluster

import (
	"context"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm"
	"laurel/score"
	"laurel/score/ranking"
)

// Store is the name of the store; "" until this member has heard of it.
func (m *Member) Store() string { return m.machine.Store() }

// Feed tells what readers here may see anew. There is one taker.
func (m *Member) Invalidations() *cache.Invalidations { return m.frontend.Invalidations() }

// Epoch is the Raft term.
func (m *Member) Epoch() uint64 { return m.raft.CurrentTerm() }

// Carry gives what tells the other members what this one carries.
func (m *Member) Carry(load func() score.Load) { m.load.Store(&load) }

// Leased tells whether this member may answer from memory now.
func (m *Member) Leased() bool { return m.frontend.Leased() }

// Hit is the answer to key if this member has it in memory and may give it now; else nil. It is linearizable, takes no lock and allocates
// nothing.
func (m *Member) Hit(key []byte) *cache.Entry { return m.frontend.Hit(key) }

// Answer is the answer to key, from memory, or else made by ask from this member's own state, and how it came about. It is linearizable.
// cache.ErrNotLeased says that this member may not answer now; the master may.
func (m *Member) Answer(ctx context.Context, key, tag string, ask queries.Ask) (*cache.Entry, string, error) {
	return m.frontend.Answer(ctx, key, tag, func(ctx context.Context, floor uint64) (body []byte, revision, view uint64, err error) {
		if err = m.machine.Await(ctx, floor); err != nil {
			return nil, 0, 0, err
		}
		err = m.machine.View(func(v *fsm.View) error {
			view = v.Revision()
			body, revision, err = ask(v)
			if body == nil {
				revision = view // when a record went it does not say
			}
			return err
		})
		return body, revision, view, err
	})
}

// Board answers q from a leaderboard, made from this member's own state, and how that came about. Revision is that of the last change of what it says.
// It is linearizable, also where the error is a *score.Problem. cache.ErrNotLeased says that this member may not answer now; the master may.
func (m *Member) Board(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, how string, err error) {
	how, err = m.frontend.Direct(ctx, m.machine, func() (uint64, error) {
		var err error
		p, revision, err = m.machine.Board(ctx, contestID, q)
		return revision, err
	})
	return p, revision, how, err
}

// BoardNow is Board if there is nothing to wait for. Where all that has to come is its release, soon waits for that, and tells whether the page may be
// given then. Else, and where soon is nil, ask Board.
func (m *Member) BoardNow(contestID string, q *ranking.Query) (p ranking.Page, revision uint64, ok bool, soon func(context.Context) bool) {
	look, ok := m.frontend.CheckLease()
	if !ok || m.machine.Revision() < look.Floor() {
		return p, 0, false, nil
	}
	if p, revision, ok = m.machine.BoardNow(contestID, q); !ok {
		return p, 0, false, nil
	}
	if !look.Visible(revision) {
		return p, revision, false, func(ctx context.Context) bool { return look.Await(ctx, revision) }
	}
	return p, revision, true, nil
}

// StaleBoard is Stale for a leaderboard.
func (m *Member) StaleBoard(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, age time.Duration, known bool, err error) {
	before := m.machine.Revision() // the board has that at least
	p, revision, err = m.machine.Board(ctx, contestID, q)
	age, known = m.frontend.Age(before)
	return p, revision, age, known, err
}

// Stale answers from this member's own state, whatever became of the others meanwhile, and tells since when that may be behind: for how long this
// member has not been told that it is up to date. Known is false if it never was since it started.
func (m *Member) Stale(f func(queries.View) error) (age time.Duration, known bool, err error) {
	revision := uint64(0)
	err = m.machine.View(func(v *fsm.View) error {
		revision = v.Revision()
		return f(v)
	})
	age, known = m.frontend.Age(revision)
	return age, known, err
}
