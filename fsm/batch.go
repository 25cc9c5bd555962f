package fsm

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
	"laurel/score"
	"laurel/trust/access"
)

// batch is one transaction. Contests, medal tables, sources and totals that change stay decoded in memory
// until flush writes each of them once. Everything else is written at once. While recording is true, every
// change adds a function to undoLog that reverts it.
type batch struct {
	m             *Machine
	tx            *bolt.Tx
	buckets       map[string]*bolt.Bucket
	revision      uint64
	startRevision uint64 // the revision at the beginning of the transaction

	contests     map[string]bool // the ids of changed contests
	tables       map[string]bool // the competitions of changed medal tables
	sources      map[string]bool // the names of changed sources
	totals       map[string]*int // numbers of marks, by key in the Splits bucket
	access       *access.State
	boardUpdates leaderboard.Updates

	// Values must live until the transaction ends. They are cut from large blocks, so that the garbage
	// collector has few objects to handle.
	block     []byte // the rest of the current block
	blockSize int
	scratch   []byte       // for encoding a value
	terms     []index.Term // for comparing the terms of a contest
	postings  *bolt.Cursor // on the Index bucket

	run signatureRun

	recording    bool
	undoLog      []func() error
	copied       map[any]bool // values that were copied since beginUndo and may be changed
	undoRevision uint64       // the revision at beginUndo
}

func (m *Machine) newBatch(tx *bolt.Tx) *batch {
	return &batch{
		m:             m,
		tx:            tx,
		buckets:       map[string]*bolt.Bucket{},
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

// bucket returns a bucket. It is opened on first use, because bbolt writes every open bucket at the commit.
func (b *batch) bucket(name []byte) *bolt.Bucket {
	bucket, ok := b.buckets[string(name)]
	if !ok {
		bucket = b.tx.Bucket(name)
		for _, appended := range [][]byte{database.Timeline, database.Seqs, database.Signatures} {
			if bytes.Equal(name, appended) {
				// Keys are appended, per contest, per source or overall. Full pages make the bucket half as large.
				bucket.FillPercent = 0.9
			}
		}
		b.buckets[string(name)] = bucket
	}
	return bucket
}

// put seals and writes a copy of value.
func (b *batch) put(bucket, key, value []byte) error {
	b.recordUndo(bucket, key)
	return b.bucket(bucket).Put(key, database.Seal(key, append(b.alloc(len(value)+4), value...)))
}

// alloc returns an empty slice with the capacity n.
func (b *batch) alloc(n int) []byte {
	const smallest, largest = 4 << 10, 128 << 10
	if len(b.block) < n {
		b.blockSize = min(max(smallest, 2*b.blockSize), largest)
		b.block = make([]byte, max(n, b.blockSize))
	}
	r := b.block[:0:n]
	b.block = b.block[n:]
	return r
}

func (b *batch) delete(bucket, key []byte) error {
	b.recordUndo(bucket, key)
	return b.bucket(bucket).Delete(key)
}

func (b *batch) putJSON(bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.put(bucket, key, data)
}

// recordUndo records the value of a key before it changes.
func (b *batch) recordUndo(bucket, key []byte) {
	if !b.recording {
		return
	}
	old := bytes.Clone(b.bucket(bucket).Get(key))
	b.undoLog = append(b.undoLog, func() error {
		if old == nil {
			return b.bucket(bucket).Delete(key)
		}
		return b.bucket(bucket).Put(key, old)
	})
}

// beginUndo starts to record changes, so that undo can revert them.
func (b *batch) beginUndo() {
	b.recording, b.undoLog, b.copied, b.undoRevision = true, nil, map[any]bool{}, b.revision
	b.boardUpdates.Savepoint()
}

func (b *batch) endUndo() { b.recording, b.undoLog, b.copied = false, nil, nil }

// undo reverts all changes since beginUndo, the last one first.
func (b *batch) undo() error {
	for _, revert := range slices.Backward(b.undoLog) {
		if err := revert(); err != nil {
			return err
		}
	}
	b.revision = b.undoRevision
	b.run.Reset()
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
		v, err := database.Get(b.bucket(database.Contests), []byte(id))
		if v == nil || err != nil {
			return nil, err
		}
		c = new(score.Contest)
		if err := json.Unmarshal(v, c); err != nil {
			return nil, err
		}
		b.m.cache.contests[id], b.m.cache.terms[id] = c, index.Terms(nil, c)
	}
	if b.recording && !b.copied[c] {
		mine := c.Clone()
		b.copied[mine] = true
		b.m.cache.contests[id] = mine
		b.undoLog = append(b.undoLog, func() error { b.m.cache.contests[id] = c; return nil })
		return mine, nil
	}
	return c, nil
}

// putContest sets a contest, which flush writes. A nil contest is deleted.
func (b *batch) putContest(id string, c *score.Contest) {
	if b.recording {
		old, ok := b.m.cache.contests[id]
		b.copied[c] = true
		b.undoLog = append(b.undoLog, func() error {
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
	if b.recording {
		b.undoLog = append(b.undoLog, func() error { delete(set, key); return nil })
	}
}

// table returns the medal table of a competition, which the caller may change. It is new if there is none.
func (b *batch) table(competition string) (*score.MedalTable, error) {
	t, ok := b.m.cache.tables[competition]
	if !ok {
		t = &score.MedalTable{Competition: competition}
		v, err := database.Get(b.bucket(database.Medals), []byte(competition))
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
	if b.recording && !b.copied[t] {
		mine := t.Clone()
		b.copied[mine] = true
		b.m.cache.tables[competition] = mine
		b.undoLog = append(b.undoLog, func() error { b.m.cache.tables[competition] = t; return nil })
		return mine, nil
	}
	return t, nil
}

// flush writes what changed in memory, and the index of the last log entry applied. It iterates over maps,
// but the order does not matter: each key is written once, and the layout of the file is not part of the
// state.
func (b *batch) flush(applied uint64) error {
	for id := range b.contests {
		c, ok := b.m.cache.contests[id]
		if err := b.updateIndex(id, c); err != nil {
			return err
		}
		if !ok {
			if err := b.delete(database.Contests, []byte(id)); err != nil {
				return err
			}
			continue
		}
		if err := b.putJSON(database.Contests, []byte(id), c); err != nil {
			return err
		}
	}
	for competition := range b.tables {
		if err := b.putJSON(database.Medals, []byte(competition), b.m.cache.tables[competition]); err != nil {
			return err
		}
	}
	for name := range b.sources {
		if err := b.put(database.Sources, []byte(name), b.m.cache.sources[name].encode()); err != nil {
			return err
		}
	}
	if err := b.flushTotals(); err != nil {
		return err
	}
	last := binary.BigEndian.AppendUint64(nil, applied)
	if err := b.put(database.Index, index.AppliedKey, last); err != nil {
		return err
	}
	if err := b.put(database.Meta, database.AppliedKey, last); err != nil {
		return err
	}
	return b.put(database.Meta, database.RevisionKey, binary.BigEndian.AppendUint64(nil, b.revision))
}

// updateIndex updates the postings of a contest that may have changed. A nil contest has been deleted.
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
	removed, added := index.Diff(before, after)
	for _, t := range removed {
		if err := b.delete(database.Index, t.Posting(id)); err != nil {
			return err
		}
	}
	for _, t := range added {
		if err := b.put(database.Index, t.Posting(id), nil); err != nil {
			return err
		}
	}
	return nil
}

// setStore names the store unless it already has a name.
func (b *batch) setStore(name string) error {
	if b.m.Store() != "" {
		return nil
	}
	b.m.store.Store(&name)
	return b.put(database.Meta, database.StoreKey, []byte(name))
}

// setCacheMode sets the cache mode of the group.
func (b *batch) setCacheMode(mode score.CacheMode) error {
	b.m.setMode(mode)
	b.m.changes.cacheMode()
	return b.put(database.Meta, database.CacheModeKey, []byte(mode))
}
