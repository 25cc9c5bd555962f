package fsm

import (
	"slices"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	stored "laurel/fsm/head"
	"laurel/fsm/identity"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
	"laurel/fsm/past"
	"laurel/fsm/ranked"
	"laurel/fsm/rounds"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
	"laurel/trust/access"
)

// batch is one transaction. Contests, medal tables, sources and totals that change stay
// decoded in memory until flush encodes each of them once. The changes of an all-or-none
// post can be undone.
//
// The methods that read and write the database return no errors: the transaction keeps
// the first one, and applyEntry returns it.
type batch struct {
	m             *Machine
	tx            *database.Tx
	timeline      *timeline.Writer
	identities    *identity.Writer
	ranked        *ranked.Writer
	head          // as of the last event applied; Applied is set by publish
	startRevision uint64
	bytes         int // of the events of the transaction, also of those that were undone

	contests      map[string]bool // the ids of changed contests
	tables        map[string]bool // the competitions of changed medal tables
	touched       []past.Record   // since the last publish
	accessChanged bool
	sections      score.Sections // by how much the numbers of contests changed, set by flush
	boardUpdates  leaderboard.Updates
	events        []byte // of the present entry, which hash does not have yet
	work                 // of the present post

	terms []index.Term // for comparing the terms of a contest

	copied map[any]bool // values that were copied since beginUndo and may be changed
}

func (m *Machine) newBatch(boltTx *bolt.Tx) *batch {
	tx := database.NewTx(boltTx)
	b := &batch{
		m:             m,
		tx:            tx,
		timeline:      timeline.NewWriter(tx, m.cache.timelines),
		identities:    identity.NewWriter(tx, m.cache.sources),
		head:          *m.head.Load(),
		startRevision: m.Revision(),
		contests:      map[string]bool{},
		tables:        map[string]bool{},
	}
	b.ranked = ranked.NewWriter(tx, &b.boardUpdates, &b.work)
	return b
}

func (b *batch) isFull() bool {
	return b.Revision-b.startRevision >= commitEvents || b.bytes >= commitBytes || b.m.cache.isFull()
}

// beginUndo starts to record changes, which b.tx.Undo reverts, until b.tx.EndUndo.
func (b *batch) beginUndo() {
	b.tx.BeginUndo()
	b.copied = map[any]bool{}
	revision, events, savepoint := b.Revision, len(b.events), b.boardUpdates.Savepoint()
	b.tx.OnUndo(func() {
		b.Revision, b.events = revision, b.events[:events]
		b.boardUpdates.Rollback(savepoint)
	})
}

// contest returns a contest, which the caller may change; nil if it is not defined.
func (b *batch) contest(id string) *fold.Contest {
	c, known := b.m.cache.contests[id]
	if !known {
		c = new(fold.Contest)
		if !b.tx.GetJSON(database.Contests, []byte(id), c) {
			return nil
		}
		b.m.cache.contests[id], b.m.cache.terms[id] = c, index.Terms(nil, c)
	}
	if c == nil {
		return nil
	}
	return writable(b, b.m.cache.contests, id)
}

// table returns the medal table of a competition, which the caller may change. It is new
// if there is none.
func (b *batch) table(competition string) *medal.Table {
	b.readTable(competition)
	return writable(b, b.m.cache.tables, competition)
}

// readTable is table for a caller that does not change it. It costs less while changes are
// recorded: nothing is copied, and a table may have many organisations.
func (b *batch) readTable(competition string) *medal.Table {
	if t, ok := b.m.cache.tables[competition]; ok {
		return t
	}
	t := &medal.Table{Competition: competition}
	b.tx.GetJSON(database.Medals, []byte(competition), t)
	b.m.cache.tables[competition] = t
	if t.HasMedals() {
		b.m.cache.tableTerms[competition] = []index.Term{index.TableTerm(t.Revision)}
	}
	return t
}

// writable returns a record of the cache, of which it makes a copy first if undo may need
// the present one.
func writable[T interface {
	comparable
	Clone() T
}](b *batch, cache map[string]T, key string) T {
	v := cache[key]
	if !b.tx.Recording() || b.copied[v] {
		return v
	}
	mine := v.Clone()
	b.copied[mine] = true
	database.Set(b.tx, cache, key, mine)
	return mine
}

// putContest sets a contest. A nil contest is deleted.
func (b *batch) putContest(id string, c *fold.Contest) {
	if b.tx.Recording() {
		b.copied[c] = true
	}
	b.contestChanged(id)
	database.Set(b.tx, b.m.cache.contests, id, c)
}

// contestChanged notes that a contest has changed, or is deleted.
func (b *batch) contestChanged(id string) {
	b.m.changes.contests.add(id)
	b.touch(past.Record{ID: id})
	b.markChanged(b.contests, id)
	b.answerChanged(rounds.Scores, id)
}

// touch notes a changed record for those who ask later what has changed.
func (b *batch) touch(r past.Record) {
	if n := len(b.touched); n == 0 || b.touched[n-1] != r {
		b.touched = append(b.touched, r)
	}
}

func (b *batch) markChanged(changed map[string]bool, key string) {
	if !changed[key] {
		database.Set(b.tx, changed, key, true)
	}
}

// flush writes what changed in memory. The iteration order of the maps does not matter:
// each key is written once, and the layout of the file is not part of the state.
func (b *batch) flush() error {
	for id := range b.contests {
		c := b.m.cache.contests[id]
		b.updateIndex(id, c)
		if c != nil {
			b.tx.PutJSON(database.Contests, []byte(id), c)
		} else {
			b.tx.Delete(database.Contests, []byte(id))
		}
	}
	for competition := range b.tables {
		t := b.m.cache.tables[competition]
		b.tx.PutJSON(database.Medals, []byte(competition), t)
		b.updateTableIndex(t)
	}
	index.AddSections(b.tx, b.sections)
	b.sections = score.Sections{}
	b.timeline.Flush()
	b.identities.Flush()
	b.ranked.Flush()
	now := b.m.head.Load()
	h := now.Head
	if h.Revision > 0 {
		h.Hash = now.hash.State()
	}
	b.tx.PutJSON(database.Meta, stored.Key, &h)
	if b.accessChanged {
		b.tx.PutJSON(database.Meta, stored.AccessKey, b.access)
		if b.access.Settings.Sworn {
			b.tx.PutJSON(database.Meta, database.SwornKey, true)
		}
		if format := b.access.Settings.Format(); format > access.OldestFormat {
			b.tx.PutJSON(database.Meta, database.FormatKey, format)
		}
	}
	return b.tx.Flush()
}

// updateIndex updates the postings of a contest that may have changed. A nil contest has
// been deleted.
func (b *batch) updateIndex(id string, c *fold.Contest) {
	after := b.terms[:0]
	if c != nil {
		after = index.Terms(after, c)
	}
	b.terms = after
	before := b.m.cache.terms[id]
	if slices.Equal(after, before) {
		return
	}
	if c == nil {
		delete(b.m.cache.terms, id)
	} else {
		b.m.cache.terms[id] = slices.Clone(after)
	}
	index.Update(b.tx, id, before, after)
	b.countSection(before, -1)
	b.countSection(after, 1)
}

// countSection adds n to the contests of the section that a contest with the terms is in.
func (b *batch) countSection(terms []index.Term, n int) {
	if s := index.SectionOf(terms); s != "" {
		*b.sections.Of(s) += n
	}
}

// updateTableIndex updates the posting of a changed medal table.
func (b *batch) updateTableIndex(t *medal.Table) {
	after := []index.Term(nil)
	if t.HasMedals() {
		after = []index.Term{index.TableTerm(t.Revision)}
	}
	before := b.m.cache.tableTerms[t.Competition]
	index.Update(b.tx, t.Competition, before, after)
	b.m.cache.tableTerms[t.Competition] = after
}
