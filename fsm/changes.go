package fsm

import (
	"context"
	"sync"

	"laurel/score"
)

// changes are the names of what has changed since somebody last asked: as many as there are things, however often they change.
type changes struct {
	contests map[string]bool
	tables   map[string]bool
	boards   map[string]bool // contests
	mode     bool
	wake     chan struct{} // gets a value when something has changed
}

// The methods are called with Machine.applying held. A nil *changes notes nothing. A change that is taken back afterwards has been noted in
// vain, which does no harm.

func (c *changes) contest(id string) {
	if c != nil {
		c.contests[id] = true
	}
}

func (c *changes) table(competition string) {
	if c != nil {
		c.tables[competition] = true
	}
}

func (c *changes) board(contestID string) {
	if c != nil {
		c.boards[contestID] = true
	}
}

func (c *changes) setting() {
	if c != nil {
		c.mode = true
	}
}

func (c *changes) tell() {
	if c == nil || len(c.contests)+len(c.tables) == 0 && !c.mode {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Track begins to note what changes after the revision that it returns, and forgets what was noted before. The channel gets a value whenever
// there is something for Changes to take.
func (m *Machine) Track() (revision uint64, changed <-chan struct{}) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.changes = &changes{contests: map[string]bool{}, tables: map[string]bool{}, boards: map[string]bool{}, wake: make(chan struct{}, 1)}
	return m.revision.Load(), m.changes.wake
}

// Changes is what changed up to a revision.
type Changes struct {
	To       uint64
	Contests []string // the ids of contests whose record or timeline changed
	Tables   []string // the competitions whose medal table changed
	Boards   []string // the ids of contests whose leaderboard changed
	// Records and MedalTables are the new values of those that were wanted, as far as they are at hand. They belong to the caller.
	Records     []*score.Contest
	MedalTables []*score.MedalTable
}

// Changes takes what has changed since Track or the last call.
func (m *Machine) Changes(wantContest, wantTable func(string) bool) Changes {
	m.applying.Lock()
	defer m.applying.Unlock()
	taken := Changes{To: m.revision.Load()}
	if m.changes == nil {
		return taken
	}
	for id := range m.changes.contests {
		taken.Contests = append(taken.Contests, id)
		if c := m.memory.contests[id]; c != nil && wantContest(id) {
			taken.Records = append(taken.Records, c.Clone())
		}
	}
	for competition := range m.changes.tables {
		taken.Tables = append(taken.Tables, competition)
		if t := m.memory.tables[competition]; t != nil && wantTable(competition) {
			taken.MedalTables = append(taken.MedalTables, t.Clone())
		}
	}
	for id := range m.changes.boards {
		taken.Boards = append(taken.Boards, id)
	}
	clear(m.changes.contests)
	clear(m.changes.boards)
	clear(m.changes.tables)
	m.changes.mode = false
	return taken
}

// reached lets callers wait until a revision is applied.
type reached struct {
	mu      sync.Mutex
	waiting chan struct{} // closed when more has been applied; nil while nobody waits
}

func (r *reached) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = make(chan struct{})
	}
	return r.waiting
}

func (r *reached) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != nil {
		close(r.waiting)
		r.waiting = nil
	}
}

// Await waits until a revision is applied.
func (m *Machine) Await(ctx context.Context, revision uint64) error {
	for m.Revision() < revision {
		next := m.more.next()
		if m.Revision() >= revision {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
