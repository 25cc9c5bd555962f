package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/score"
	"laurel/trust/access"
)

// batch is one transaction. Contests, medal tables, sources and totals that change stay decoded in memory until flush writes each once.
// Everything else is written at once. While undo is not nil, each change leaves behind how to take it back.
type batch struct {
	m        *Machine
	tx       *bolt.Tx
	buckets  map[string]*bolt.Bucket
	revision uint64
	began    uint64 // the revision before it

	contests map[string]bool // changed, by id
	tables   map[string]bool
	sources  map[string]bool
	totals   map[string]*int // of marks, by key in the splits bucket
	access   *access.State
	moves    moves

	// Values live as long as the transaction. They are cut from pieces, so that they are few objects to the garbage collector.
	piece   []byte // what is left of the last piece
	pieces  int    // the size of the last piece
	scratch []byte // for a value while it is made
	terms   []term // of a contest while they are compared
	posted  *bolt.Cursor

	run run

	recording bool
	undo      []func() error
	saved     map[any]bool // what undo has a copy of
	revBefore uint64
}

func (m *Machine) newBatch(tx *bolt.Tx) *batch {
	return &batch{m: m, tx: tx, buckets: make(map[string]*bolt.Bucket, len(buckets)), revision: m.revision.Load(), began: m.revision.Load(),
		contests: map[string]bool{}, tables: map[string]bool{}, sources: map[string]bool{}, totals: map[string]*int{}, access: m.access.Load(),
		moves: moves{contests: map[string]bool{}}}
}

// bucket opens a bucket when it is first asked for: bbolt writes every open one at the end.
func (b *batch) bucket(name []byte) *bolt.Bucket {
	bucket, ok := b.buckets[string(name)]
	if !ok {
		bucket = b.tx.Bucket(name)
		if k := string(name); k == string(timelineBucket) || k == string(seqBucket) || k == string(signatureBucket) {
			// These grow at the end of each contest's and source's keys, or of all: full pages make them half as large.
			bucket.FillPercent = 0.9
		}
		b.buckets[string(name)] = bucket
	}
	return bucket
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errSeal = errors.New("a record of the database is damaged")

// seal appends a checksum over key and value, so that a damaged record is never taken for a true one.
func seal(key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
}

func unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - 4
	if n < 0 || binary.BigEndian.Uint32(sealed[n:]) != crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[:n]) {
		return nil, errSeal
	}
	return sealed[:n], nil
}

// key joins parts with zero bytes.
func key(parts ...string) []byte {
	n := len(parts) + 8
	for _, p := range parts {
		n += len(p)
	}
	k := make([]byte, 0, n)
	for i, p := range parts {
		if i > 0 {
			k = append(k, 0)
		}
		k = append(k, p...)
	}
	return k
}

// prefix is the start of all keys that have parts and at least one more.
func prefix(parts ...string) []byte { return append(key(parts...), 0) }

func numbered(n uint64, parts ...string) []byte {
	return binary.BigEndian.AppendUint64(prefix(parts...), n)
}

// get is the value of a key, nil if there is none. It is valid until the transaction ends and is not to be changed.
func get(bucket *bolt.Bucket, k []byte) ([]byte, error) {
	v := bucket.Get(k)
	if v == nil {
		return nil, nil
	}
	return unseal(k, v)
}

// put seals a copy of value.
func (b *batch) put(bucket, k, value []byte) error {
	b.remember(bucket, k)
	return b.bucket(bucket).Put(k, seal(k, append(b.room(len(value)+4), value...)))
}

// room is an empty slice for n bytes.
func (b *batch) room(n int) []byte {
	const least, most = 4 << 10, 128 << 10
	if len(b.piece) < n {
		b.pieces = min(max(least, 2*b.pieces), most)
		b.piece = make([]byte, max(n, b.pieces))
	}
	r := b.piece[:0:n]
	b.piece = b.piece[n:]
	return r
}

func (b *batch) delete(bucket, k []byte) error {
	b.remember(bucket, k)
	return b.bucket(bucket).Delete(k)
}

func (b *batch) remember(bucket, k []byte) {
	if !b.recording {
		return
	}
	old := bytes.Clone(b.bucket(bucket).Get(k))
	b.undo = append(b.undo, func() error {
		if old == nil {
			return b.bucket(bucket).Delete(k)
		}
		return b.bucket(bucket).Put(k, old)
	})
}

func (b *batch) beginUndo() {
	b.recording, b.undo, b.saved, b.revBefore = true, nil, map[any]bool{}, b.revision
	b.moves.before = len(b.moves.marks)
}

func (b *batch) endUndo() { b.recording, b.undo, b.saved = false, nil, nil }

// rollback takes back everything since beginUndo, the last change first.
func (b *batch) rollback() error {
	for _, undo := range slices.Backward(b.undo) {
		if err := undo(); err != nil {
			return err
		}
	}
	b.revision = b.revBefore
	b.dropRun()
	b.moves.marks = b.moves.marks[:b.moves.before]
	return nil
}

// contest is the contest to be changed; nil if there is none.
func (b *batch) contest(id string) (*score.Contest, error) {
	c, ok := b.m.memory.contests[id]
	if !ok && b.contests[id] {
		return nil, nil // deleted in this transaction
	}
	if !ok {
		v, err := get(b.bucket(contestBucket), []byte(id))
		if v == nil || err != nil {
			return nil, err
		}
		c = new(score.Contest)
		if err := json.Unmarshal(v, c); err != nil {
			return nil, err
		}
		b.m.memory.contests[id], b.m.memory.indexed[id] = c, termsOf(nil, c)
	}
	if b.recording && !b.saved[c] {
		mine := c.Clone()
		b.saved[mine] = true
		b.m.memory.contests[id] = mine
		b.undo = append(b.undo, func() error { b.m.memory.contests[id] = c; return nil })
		return mine, nil
	}
	return c, nil
}

// putContest makes c the contest; flush writes it. A nil contest is none.
func (b *batch) putContest(id string, c *score.Contest) {
	if b.recording {
		old, ok := b.m.memory.contests[id]
		b.saved[c] = true
		b.undo = append(b.undo, func() error {
			if ok {
				b.m.memory.contests[id] = old
			} else {
				delete(b.m.memory.contests, id)
			}
			return nil
		})
	}
	b.mark(b.contests, id)
	if c == nil {
		delete(b.m.memory.contests, id)
		return
	}
	b.m.memory.contests[id] = c
}

// mark notes in one of the sets of the batch that key has changed.
func (b *batch) mark(set map[string]bool, key string) {
	if set[key] {
		return
	}
	set[key] = true
	if b.recording {
		b.undo = append(b.undo, func() error { delete(set, key); return nil })
	}
}

// table is the medal table of a competition, to be changed; a new one if there is none.
func (b *batch) table(competition string) (*score.MedalTable, error) {
	t, ok := b.m.memory.tables[competition]
	if !ok {
		t = &score.MedalTable{Competition: competition}
		v, err := get(b.bucket(medalBucket), []byte(competition))
		if err != nil {
			return nil, err
		}
		if v != nil {
			if err := json.Unmarshal(v, t); err != nil {
				return nil, err
			}
		}
		b.m.memory.tables[competition] = t
	}
	if b.recording && !b.saved[t] {
		mine := t.Clone()
		b.saved[mine] = true
		b.m.memory.tables[competition] = mine
		b.undo = append(b.undo, func() error { b.m.memory.tables[competition] = t; return nil })
		return mine, nil
	}
	return t, nil
}

// flush writes what changed in memory, and how far the log has been applied. The order of the maps does not matter: each key is
// written once, and the file's layout is no part of the state.
func (b *batch) flush(applied uint64) error {
	for id := range b.contests {
		c, ok := b.m.memory.contests[id]
		if err := b.reindex(id, c); err != nil {
			return err
		}
		if !ok {
			if err := b.delete(contestBucket, []byte(id)); err != nil {
				return err
			}
			continue
		}
		if err := b.putJSON(contestBucket, []byte(id), c); err != nil {
			return err
		}
	}
	for competition := range b.tables {
		if err := b.putJSON(medalBucket, []byte(competition), b.m.memory.tables[competition]); err != nil {
			return err
		}
	}
	for name := range b.sources {
		if err := b.put(sourceBucket, []byte(name), b.m.memory.sources[name].encode()); err != nil {
			return err
		}
	}
	if err := b.flushTotals(); err != nil {
		return err
	}
	upTo := binary.BigEndian.AppendUint64(nil, applied)
	if err := b.put(indexBucket, indexedKey, upTo); err != nil {
		return err
	}
	if err := b.put(metaBucket, appliedKey, upTo); err != nil {
		return err
	}
	return b.put(metaBucket, revisionKey, binary.BigEndian.AppendUint64(nil, b.revision))
}

// setStore names the store, if it has no name yet.
func (b *batch) setStore(name string) error {
	if b.m.Store() != "" {
		return nil
	}
	b.m.store.Store(&name)
	return b.put(metaBucket, storeKey, []byte(name))
}

// setMode sets the cache mode of the group.
func (b *batch) setMode(mode score.CacheMode) error {
	b.m.keepMode(mode)
	b.m.changes.setting()
	return b.put(metaBucket, modeKey, []byte(mode))
}

func (b *batch) putJSON(bucket, k []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.put(bucket, k, data)
}
