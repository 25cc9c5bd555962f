package timeline

import (
	"bytes"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// Cache holds the last blocks of contests and the last run of signatures between
// transactions.
type Cache struct {
	blocks map[string]*block // the last block of each contest, by its id; empty if it has none
	run    *run              // nil if it is not known
}

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{blocks: map[string]*block{}} }

// maxCached is the number of blocks in a Cache. None of them is full.
const maxCached = 1024

// Trim clears a cache that is too large. No transaction may have changed its blocks.
func (c *Cache) Trim() {
	if len(c.blocks) > maxCached {
		clear(c.blocks)
	}
}

// Writer writes events to the timeline of a transaction. What can still grow stays in the
// cache until Flush.
type Writer struct {
	tx      *database.Tx
	cache   *Cache
	changed map[string]bool // the contests whose last blocks have changed
	scratch []byte
}

// NewWriter returns a Writer for a transaction.
func NewWriter(tx *database.Tx, cache *Cache) *Writer {
	return &Writer{tx: tx, cache: cache, changed: map[string]bool{}}
}

// Bucket returns the timeline for reading. It has all events of the contest so far.
func (w *Writer) Bucket(contestID string) *bolt.Bucket {
	if w.changed[contestID] {
		w.put(contestID, *w.cache.blocks[contestID])
	}
	return w.tx.Bucket(database.Timeline)
}

// CompetitionBucket returns the timeline for reading. It has all events of the competition
// so far.
func (w *Writer) CompetitionBucket(competition string) *bolt.Bucket {
	for id := range w.changed {
		if score.CompetitionOf(id) == competition {
			w.put(id, *w.cache.blocks[id])
		}
	}
	return w.tx.Bucket(database.Timeline)
}

// Flush writes what has changed.
func (w *Writer) Flush() {
	for id := range w.changed {
		b := w.cache.blocks[id]
		w.put(id, *b)
		if b.isFull() {
			delete(w.cache.blocks, id)
		}
	}
	w.flushRun()
}

func (w *Writer) put(contestID string, b block) {
	if len(b.data) > 0 {
		w.tx.Put(database.Timeline, database.NumberedKey(b.first, contestID), b.data)
	}
}

// last returns the last block of a contest.
func (w *Writer) last(contestID string) *block {
	if b := w.cache.blocks[contestID]; b != nil {
		return b
	}
	// What is not in the cache has not changed in this transaction.
	b, _, err := seekBlock(w.tx.Bucket(database.Timeline).Cursor(), contestID, math.MaxUint64)
	w.tx.Fail(err)
	b.data = bytes.Clone(b.data)
	w.cache.blocks[contestID] = &b
	return &b
}

// Append writes an event and its signature. It returns the event as it is stored, until
// the next call.
func (w *Writer) Append(e *entry.Event) (stored []byte) {
	if len(e.Signature) > 0 {
		w.appendSignature(e)
	}
	b := w.change(e.ContestID)
	if b.isFull() {
		w.put(e.ContestID, *b)
		b.data = w.reusable(b.data)
	}
	if len(b.data) == 0 {
		b.first, b.data = e.Revision, slices.Grow(b.data, blockSize+blockSize/8)
	}
	w.scratch = entry.AppendStored(w.scratch[:0], e)
	*b = b.append(e.Revision, w.scratch)
	return w.scratch
}

// change returns the last block of a contest, which the caller changes.
func (w *Writer) change(contestID string) *block {
	b := w.last(contestID)
	if w.tx.Recording() {
		before := *b
		w.tx.OnUndo(func() { *b = before })
	}
	w.changed[contestID] = true // also after an undo, which is harmless
	return b
}

// reusable returns the memory of a block that has been put, unless an undo may need it.
func (w *Writer) reusable(data []byte) []byte {
	if w.tx.Recording() {
		return nil
	}
	return data[:0]
}

// Replace writes an event, without its signature, in the place of the one that has its
// revision.
func (w *Writer) Replace(e *entry.Event) {
	if last := w.last(e.ContestID); e.Revision >= last.first {
		last = w.change(e.ContestID)
		*last = w.replaced(*last, e)
		return
	}
	b, _, err := seekBlock(w.Bucket(e.ContestID).Cursor(), e.ContestID, e.Revision)
	w.tx.Fail(err)
	w.put(e.ContestID, w.replaced(b, e))
}

// replaced returns a copy of a block with an event in the place of the one that has its
// revision.
func (w *Writer) replaced(b block, e *entry.Event) block {
	after := block{first: b.first, data: make([]byte, 0, len(b.data)+16)} // room for VoidedBy
	found := false
	for r, err := range b.rows() {
		w.tx.Fail(err)
		if r.Revision == e.Revision {
			w.scratch = entry.AppendStored(w.scratch[:0], e)
			r.Wire, found = w.scratch, true
		}
		after = after.append(r.Revision, r.Wire)
	}
	if !found {
		w.tx.Fail(database.ErrDamaged)
	}
	return after
}
