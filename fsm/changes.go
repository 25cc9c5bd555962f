package fsm

import (
	"context"
	"sync"

	"laurel/score"
	"laurel/score/medal"
)

// changes collects the names of what has changed since Changes was last called. Its size
// depends on the number of changed records, not on the number of changes. Its methods are
// called with Machine.applying held, and a nil *changes collects nothing. A change that
// is undone afterwards stays recorded, which is harmless.
type changes struct {
	contests map[string]bool
	tables   map[string]bool
	boards   map[string]bool // contest ids
	mode     bool
	wake     chan struct{} // receives a value when something has changed
}

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

func (c *changes) cacheMode() {
	if c != nil {
		c.mode = true
	}
}

func (c *changes) notify() {
	if c == nil || len(c.contests)+len(c.tables) == 0 && !c.mode {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Track starts to collect what changes after the returned revision, and drops what was
// collected before. The channel receives a value whenever there is something for Changes
// to return.
func (m *Machine) Track() (revision uint64, changed <-chan struct{}) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.changes = &changes{
		contests: map[string]bool{},
		tables:   map[string]bool{},
		boards:   map[string]bool{},
		wake:     make(chan struct{}, 1),
	}
	return m.revision.Load(), m.changes.wake
}

// Changes lists what has changed up to a revision.
type Changes struct {
	To       uint64
	Contests []string // the ids of contests whose record or timeline changed
	Tables   []string // the competitions whose medal table changed
	Boards   []string // the ids of contests whose leaderboard changed
	// Records and MedalTables are the new values of the changed records that the caller
	// wants, as far as they are in memory. They belong to the caller.
	Records     []*score.Contest
	MedalTables []*medal.Table
}

// Changes returns what has changed since Track or the last call. It returns the values of
// those records for which wantContest or wantTable returns true.
func (m *Machine) Changes(wantContest, wantTable func(string) bool) Changes {
	m.applying.Lock()
	defer m.applying.Unlock()
	taken := Changes{To: m.revision.Load()}
	if m.changes == nil {
		return taken
	}
	for id := range m.changes.contests {
		taken.Contests = append(taken.Contests, id)
		if c := m.cache.contests[id]; c != nil && wantContest(id) {
			taken.Records = append(taken.Records, c.Clone())
		}
	}
	for competition := range m.changes.tables {
		taken.Tables = append(taken.Tables, competition)
		if t := m.cache.tables[competition]; t != nil && wantTable(competition) {
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

// progress lets goroutines wait until more entries have been applied.
type progress struct {
	mu   sync.Mutex
	next chan struct{} // closed by notify; nil while nobody waits
}

// wait returns a channel that the next notify closes.
func (p *progress) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = make(chan struct{})
	}
	return p.next
}

func (p *progress) notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		close(p.next)
		p.next = nil
	}
}

// Await waits until a revision has been applied. It returns the cause of the context's
// end.
func (m *Machine) Await(ctx context.Context, revision uint64) error {
	for m.Revision() < revision {
		next := m.progress.wait()
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
