package fsm

import (
	"encoding/binary"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/medal"
	"laurel/trust/access"
)

// batch is one transaction. Contests, medal tables, sources and totals that change stay
// decoded in memory until flush writes each of them once. Everything else is written at
// once. The changes of a post that is applied as a whole or not at all can be undone.
type batch struct {
	m             *Machine
	tx            *database.Tx
	timeline      *timeline.Writer
	index         *index.Writer
	revision      uint64
	startRevision uint64 // the revision at the beginning of the transaction

	contests     map[string]bool // the ids of changed contests
	tables       map[string]bool // the competitions of changed medal tables
	sources      map[string]bool // the names of changed sources
	totals       map[string]*int // numbers of marks, by key in the Splits bucket
	access       *access.State
	boardUpdates leaderboard.Updates

	scratch []byte       // for encoding a value
	terms   []index.Term // for comparing the terms of a contest

	copied       map[any]bool // values that were copied since beginUndo and may be changed
	undoRevision uint64       // the revision at beginUndo
}

func (m *Machine) newBatch(boltTx *bolt.Tx) *batch {
	tx := database.NewTx(boltTx)
	return &batch{
		m:             m,
		tx:            tx,
		timeline:      timeline.NewWriter(tx),
		index:         index.NewWriter(tx),
		revision:      m.revision.Load(),
		startRevision: m.revision.Load(),
		contests:      map[string]bool{},
		tables:        map[string]bool{},
		sources:       map[string]bool{},
		totals:        map[string]*int{},
		access:        m.access.Load(),
	}
}

// isFull reports whether the transaction has enough events to be committed.
func (b *batch) isFull() bool { return b.revision-b.startRevision >= commitEvents }

// beginUndo starts to record changes, so that undo can revert them.
func (b *batch) beginUndo() {
	b.tx.BeginUndo()
	b.copied, b.undoRevision = map[any]bool{}, b.revision
	b.boardUpdates.Savepoint()
}

func (b *batch) endUndo() {
	b.tx.EndUndo()
	b.copied = nil
}

// undo reverts all changes since beginUndo.
func (b *batch) undo() error {
	if err := b.tx.Undo(); err != nil {
		return err
	}
	b.revision = b.undoRevision
	b.timeline.UndoPost()
	b.boardUpdates.Rollback()
	return nil
}

// contest returns a contest, which the caller may change; nil if it is not defined.
func (b *batch) contest(id string) (*score.Contest, error) {
	c, ok := b.m.cache.contests[id]
	if !ok && b.contests[id] {
		return nil, nil // deleted in this transaction
	}
	if !ok {
		v, err := b.tx.Get(database.Contests, []byte(id))
		if v == nil || err != nil {
			return nil, err
		}
		c = new(score.Contest)
		if err := json.Unmarshal(v, c); err != nil {
			return nil, err
		}
		b.m.cache.contests[id], b.m.cache.terms[id] = c, index.Terms(nil, c)
	}
	if b.tx.Recording() && !b.copied[c] {
		mine := c.Clone()
		b.copied[mine] = true
		b.m.cache.contests[id] = mine
		b.tx.OnUndo(func() error { b.m.cache.contests[id] = c; return nil })
		return mine, nil
	}
	return c, nil
}

// putContest sets a contest, which flush writes. A nil contest is deleted.
func (b *batch) putContest(id string, c *score.Contest) {
	if b.tx.Recording() {
		old, ok := b.m.cache.contests[id]
		b.copied[c] = true
		b.tx.OnUndo(func() error {
			if ok {
				b.m.cache.contests[id] = old
			} else {
				delete(b.m.cache.contests, id)
			}
			return nil
		})
	}
	b.markChanged(b.contests, id)
	if c == nil {
		delete(b.m.cache.contests, id)
		return
	}
	b.m.cache.contests[id] = c
}

// markChanged adds key to one of the batch's sets of changed records.
func (b *batch) markChanged(set map[string]bool, key string) {
	if set[key] {
		return
	}
	set[key] = true
	if b.tx.Recording() {
		b.tx.OnUndo(func() error { delete(set, key); return nil })
	}
}

// table returns the medal table of a competition, which the caller may change. It is new
// if there is none.
func (b *batch) table(competition string) (*medal.Table, error) {
	t, ok := b.m.cache.tables[competition]
	if !ok {
		t = &medal.Table{Competition: competition}
		v, err := b.tx.Get(database.Medals, []byte(competition))
		if err != nil {
			return nil, err
		}
		if v != nil {
			if err := json.Unmarshal(v, t); err != nil {
				return nil, err
			}
		}
		b.m.cache.tables[competition] = t
	}
	if b.tx.Recording() && !b.copied[t] {
		mine := t.Clone()
		b.copied[mine] = true
		b.m.cache.tables[competition] = mine
		b.tx.OnUndo(func() error { b.m.cache.tables[competition] = t; return nil })
		return mine, nil
	}
	return t, nil
}

// flush writes what changed in memory, and the index of the last log entry applied. It
// iterates over maps, but the order does not matter: each key is written once, and the
// layout of the file is not part of the state.
func (b *batch) flush(applied uint64) error {
	for id := range b.contests {
		c, ok := b.m.cache.contests[id]
		if err := b.updateIndex(id, c); err != nil {
			return err
		}
		if !ok {
			if err := b.tx.Delete(database.Contests, []byte(id)); err != nil {
				return err
			}
			continue
		}
		if err := b.tx.PutJSON(database.Contests, []byte(id), c); err != nil {
			return err
		}
	}
	for competition := range b.tables {
		if err := b.tx.PutJSON(database.Medals, []byte(competition), b.m.cache.tables[competition]); err != nil {
			return err
		}
	}
	for name := range b.sources {
		if err := b.tx.Put(database.Sources, []byte(name), b.m.cache.sources[name].encode()); err != nil {
			return err
		}
	}
	if err := b.flushTotals(); err != nil {
		return err
	}
	last := binary.BigEndian.AppendUint64(nil, applied)
	if err := b.tx.Put(database.Index, index.AppliedKey, last); err != nil {
		return err
	}
	if err := b.tx.Put(database.Meta, database.AppliedKey, last); err != nil {
		return err
	}
	return b.tx.Put(database.Meta, database.RevisionKey, binary.BigEndian.AppendUint64(nil, b.revision))
}

// updateIndex updates the postings of a contest that may have changed. A nil contest has
// been deleted.
func (b *batch) updateIndex(id string, c *score.Contest) error {
	after := b.terms[:0]
	if c != nil {
		after = index.Terms(after, c)
	}
	b.terms = after
	before := b.m.cache.terms[id]
	if slices.Equal(after, before) {
		return nil
	}
	if c == nil {
		delete(b.m.cache.terms, id)
	} else {
		b.m.cache.terms[id] = slices.Clone(after)
	}
	return b.index.Update(id, before, after)
}

// setStore names the store unless it already has a name.
func (b *batch) setStore(name string) error {
	if b.m.Store() != "" {
		return nil
	}
	b.m.store.Store(&name)
	return b.tx.Put(database.Meta, database.StoreKey, []byte(name))
}

// setCacheMode sets the cache mode of the group.
func (b *batch) setCacheMode(mode score.CacheMode) error {
	b.m.setMode(mode)
	b.m.changes.cacheMode()
	return b.tx.Put(database.Meta, database.CacheModeKey, []byte(mode))
}
