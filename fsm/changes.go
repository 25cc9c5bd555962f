package fsm

import (
	"context"
	"maps"
	"slices"
	"sync"

	"laurel/score/fold"
	"laurel/score/medal"
)

// changes collects what has changed since Changes was last called. Its size depends on
// the number of changed records, not on the number of changes. The zero value collects
// nothing. It is guarded by Machine.applying. A change that is undone afterwards stays
// recorded, which is harmless.
type changes struct {
	contests  idSet
	timelines idSet         // contest ids
	tables    idSet         // competitions
	boards    idSet         // contest ids
	wake      chan struct{} // receives a value when more entries have been applied
}

// idSet is a set of ids; nil if it does not collect any.
type idSet map[string]bool

func (s idSet) add(id string) {
	if s != nil {
		s[id] = true
	}
}

func (c *changes) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// ChangedSince returns the ids of the contests and the competitions of the medal tables
// that have changed since a revision, deleted ones too, and perhaps some others. known is
// false if that is too long ago.
func (m *Machine) ChangedSince(revision uint64) (contests, tables []string, known bool) {
	return m.past.Since(revision)
}

// Track starts to collect what changes after the returned revision, and drops what was
// collected before. The channel receives a value whenever more entries have been applied:
// followers must learn soon that a change of the access is committed, too.
func (m *Machine) Track() (revision uint64, changed <-chan struct{}) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.changes = changes{
		contests: idSet{}, timelines: idSet{}, tables: idSet{}, boards: idSet{}, wake: make(chan struct{}, 1),
	}
	return m.Revision(), m.changes.wake
}

// Changes lists what has changed.
type Changes struct {
	To        uint64   // the revision
	Contests  []string // the ids of contests whose record changed
	Timelines []string // the ids of contests, defined or not, whose timeline changed
	Tables    []string // the competitions whose medal table changed
	Boards    []string // the ids of contests whose leaderboard changed
	// Records and MedalTables are the new values of the changed records that the caller
	// wants, as far as they are in memory. They belong to the caller.
	Records     []*fold.Contest
	MedalTables []*medal.Table
}

// Changes returns what has changed since Track or the last call. It returns the values of
// those records for which wantContest or wantTable returns true.
func (m *Machine) Changes(wantContest, wantTable func(string) bool) Changes {
	m.applying.Lock()
	defer m.applying.Unlock()
	c := &m.changes
	taken := Changes{
		To:        m.Revision(),
		Contests:  slices.Collect(maps.Keys(c.contests)),
		Timelines: slices.Collect(maps.Keys(c.timelines)),
		Tables:    slices.Collect(maps.Keys(c.tables)),
		Boards:    slices.Collect(maps.Keys(c.boards)),
	}
	for _, id := range taken.Contests {
		if record := m.cache.contests[id]; record != nil && wantContest(id) {
			taken.Records = append(taken.Records, record.Clone())
		}
	}
	for _, competition := range taken.Tables {
		if t := m.cache.tables[competition]; t != nil && wantTable(competition) {
			taken.MedalTables = append(taken.MedalTables, t.Clone())
		}
	}
	clear(c.contests)
	clear(c.timelines)
	clear(c.tables)
	clear(c.boards)
	return taken
}

// progress lets goroutines wait until more entries have been applied.
type progress struct {
	mu   sync.Mutex
	next chan struct{} // closed by notify; nil while nobody waits
}

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

// Await waits until a revision has been applied.
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
