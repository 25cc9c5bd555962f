package cache

import (
	"bytes"
	"hash/maphash"
	"maps"
	"math"
	"sync"
	"sync/atomic"
)

// Entry is an answer, ready to be sent. It does not change.
type Entry struct {
	// Revision is that of the event that last changed the answer; for an answer that is
	// made of many records, that of the view it was made from.
	Revision uint64
	Body     []byte // nil: there is no such record
	// Memo holds what the caller derives from the answer once, for all later readers. All
	// its values are of one type, which is the caller's. Two readers may both store it.
	Memo atomic.Value

	view uint64 // the answer is true at this revision of the store
	home *slot
	tag  *slot // whose change makes the answer stale; home for an answer that is pushed
}

// slot is the place of a key in the records: of an answer, of a tag, or of both.
type slot struct {
	key          string
	changed      atomic.Uint64 // the last known revision that changed it; evicted after its eviction
	entry        atomic.Pointer[Entry]
	recentlyUsed atomic.Bool // since the last sweep
	load         *load       // under way; guarded by records.mu
}

// evicted is later than every revision, so whatever depends on an evicted tag is stale:
// its later changes are not noted.
const evicted = math.MaxUint64

// current returns the slot's answer, or nil if it has none or that is stale.
func (s *slot) current() *Entry {
	e := s.entry.Load()
	if e == nil || e.view < e.tag.changed.Load() {
		return nil
	}
	return e
}

const shards = 1024

// entryOverhead is about the memory of an entry beside its key and body.
const entryOverhead = 512

// records are the answers of one session. A look-up takes no lock: the map of each shard
// is replaced, never changed. There are many shards, so replacing one copies little.
type records struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[string]*slot]

	mu       sync.Mutex // guards all changes
	upTo     uint64     // the revision up to which changes have been noted here
	bytes    int
	maxBytes int
	sweep    int // the shard at which the next sweep continues
}

func newRecords(maxBytes int, upTo uint64) *records {
	r := &records{seed: maphash.MakeSeed(), maxBytes: maxBytes, upTo: upTo}
	empty := map[string]*slot{}
	for i := range r.shards {
		r.shards[i].Store(&empty)
	}
	return r
}

func (r *records) shard(key string) *atomic.Pointer[map[string]*slot] {
	return &r.shards[maphash.String(r.seed, key)%shards]
}

// find returns the slot of key, or nil. It allocates nothing and takes no lock.
func (r *records) find(key []byte) *slot {
	return (*r.shards[maphash.Bytes(r.seed, key)%shards].Load())[string(key)]
}

// slotFor returns the slot of key, and makes it if there is none. r.mu must be held.
func (r *records) slotFor(key string) *slot {
	shard := r.shard(key)
	old := *shard.Load()
	if s := old[key]; s != nil {
		return s
	}
	// When the key last changed is not known here. So an answer from before now, which a
	// load may still bring, is too old for a reader that asks now.
	s := &slot{key: key}
	s.changed.Store(r.upTo)
	grown := make(map[string]*slot, len(old)+1)
	maps.Copy(grown, old)
	grown[key] = s
	shard.Store(&grown)
	r.bytes += len(key) + entryOverhead
	return s
}

// put makes e the answer of its slot, unless the slot has a newer one or was evicted.
// r.mu must be held.
func (r *records) put(e *Entry) {
	old := e.home.entry.Load()
	if e.home.changed.Load() == evicted || old != nil && old.view > e.view {
		return
	}
	if old != nil {
		r.bytes -= len(old.Body)
	}
	r.bytes += len(e.Body)
	e.home.entry.Store(e)
}

// apply takes in a push. A new answer goes in before its slot is marked as changed, so
// a reader that sees the mark finds the answer.
func (r *records) apply(p *Push) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upTo = p.To
	for i := range p.Records {
		rec := &p.Records[i]
		s := r.slotFor(rec.Key)
		r.put(&Entry{Revision: rec.Revision, Body: rec.Body, view: max(p.To, rec.Revision), home: s, tag: s})
		s.markChanged(rec.Revision)
	}
	for _, tag := range append([]string{AnyTag}, p.Stale...) {
		if s := (*r.shard(tag).Load())[tag]; s != nil {
			s.markChanged(p.To)
		}
	}
	r.evict()
}

func (s *slot) markChanged(revision uint64) {
	if s.changed.Load() < revision {
		s.changed.Store(revision)
	}
}

// compare makes the answers stale that are from before a revision and are not these, which
// are the present ones at that revision. It returns their keys.
func (r *records) compare(revision uint64, answers map[string][]byte) (stale []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, body := range answers {
		s := (*r.shard(key).Load())[key]
		if s == nil {
			continue
		}
		e := s.current()
		if e == nil || e.view >= revision || bytes.Equal(e.Body, body) && (e.Body == nil) == (body == nil) {
			continue
		}
		s.markChanged(revision)
		stale = append(stale, key)
	}
	return stale
}

// evict drops what nobody asked for since the last sweep. r.mu must be held.
func (r *records) evict() {
	if r.bytes <= r.maxBytes {
		return
	}
	// The first pass clears the marks of recent use; the second clears those that the
	// first has set on tags; so the third finds everything unmarked.
	for range 3 * shards {
		if r.bytes <= r.maxBytes-r.maxBytes/8 {
			return
		}
		r.sweepShard(&r.shards[r.sweep])
		r.sweep = (r.sweep + 1) % shards
	}
}

func (r *records) sweepShard(shard *atomic.Pointer[map[string]*slot]) {
	if len(*shard.Load()) == 0 {
		return
	}
	kept := make(map[string]*slot)
	for k, s := range *shard.Load() {
		if s.load == nil && !s.recentlyUsed.Swap(false) {
			r.forget(s)
			continue
		}
		// An answer lives no longer than its tag, so the tag is kept too. A slot that is
		// its own tag must not mark itself, or it would never be dropped.
		if e := s.entry.Load(); e != nil && e.tag != s {
			e.tag.recentlyUsed.Store(true)
		}
		kept[k] = s
	}
	shard.Store(&kept)
}

// forget makes all answers that depend on a slot stale.
func (r *records) forget(s *slot) {
	s.changed.Store(evicted)
	r.bytes -= len(s.key) + entryOverhead
	if e := s.entry.Load(); e != nil {
		r.bytes -= len(e.Body)
	}
}

func (r *records) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}
