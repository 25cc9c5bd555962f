package cache

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
)

// Entry is an answer, ready to be sent. It does not change.
type Entry struct {
	Revision uint64 // of the event that last changed it; for an answer made of many records that of the view it was made from
	Body     []byte // nil: there is no such record
	// Memo holds what the caller derives from the answer once, for all later readers. All its
	// values are of one type, which is the caller's. Two readers may both store it.
	Memo atomic.Value

	view uint64 // the answer is what this revision of the store gives
	home *slot
	tag  *slot // whose naming makes the answer stale; home for one that is pushed
}

// slot is the place of a key: of an answer, of a tag, or of both.
type slot struct {
	key   string
	named atomic.Uint64 // the last revision that changed it, as far as was told here; dead once the slot is evicted
	entry atomic.Pointer[Entry]
	used  atomic.Bool // since the last sweep
	load  *load       // under way; guarded by records.mu
}

// dead is later than every revision: what depends on an evicted tag is stale, for nobody tells it any more.
const dead = math.MaxUint64

// current is the slot's answer if nothing has been named since that would change it.
func (s *slot) current() *Entry {
	e := s.entry.Load()
	if e == nil || e.view < e.tag.named.Load() {
		return nil
	}
	return e
}

const shards = 1024

// entryOverhead is about what an entry takes beside its key and body: slot, entry, memo and place in the map.
const entryOverhead = 512

// records are the answers of one session. A look-up takes no lock: each shard's map is replaced, never changed. Shards are many, so
// replacing one copies little.
type records struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[string]*slot]

	mu    sync.Mutex // guards all changes
	told  uint64     // the revision up to which changes have been named here
	bytes int
	most  int
	sweep int // the shard at which the next sweep goes on
}

func newRecords(most int, told uint64) *records {
	r := &records{seed: maphash.MakeSeed(), most: most, told: told}
	empty := map[string]*slot{}
	for i := range r.shards {
		r.shards[i].Store(&empty)
	}
	return r
}

func (r *records) shard(key string) *atomic.Pointer[map[string]*slot] {
	return &r.shards[maphash.String(r.seed, key)%shards]
}

// find allocates nothing and takes no lock.
func (r *records) find(key []byte) *slot {
	return (*r.shards[maphash.Bytes(r.seed, key)%shards].Load())[string(key)]
}

// slot is the place of key, made if there is none. r.mu must be held.
func (r *records) slot(key string) *slot {
	shard := r.shard(key)
	old := *shard.Load()
	if s := old[key]; s != nil {
		return s
	}
	// Nobody knows here when it was last named: an answer from before now, which a load may still bring, is not for who asks now.
	s := &slot{key: key}
	s.named.Store(r.told)
	grown := make(map[string]*slot, len(old)+1)
	for k, v := range old {
		grown[k] = v
	}
	grown[key] = s
	shard.Store(&grown)
	r.bytes += len(key) + entryOverhead
	return s
}

// put makes e its slot's answer unless that has a newer one, or has been evicted. r.mu must be held.
func (r *records) put(e *Entry) {
	old := e.home.entry.Load()
	if e.home.named.Load() == dead || old != nil && old.view > e.view {
		return
	}
	if old != nil {
		r.bytes -= len(old.Body)
	}
	r.bytes += len(e.Body)
	e.home.entry.Store(e)
}

// take takes in what a push says. The new answer goes in before its slot is named, so that whoever sees the name
// finds the answer.
func (r *records) take(p *Push) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = p.To
	for i := range p.Records {
		rec := &p.Records[i]
		s := r.slot(rec.Key)
		r.put(&Entry{Revision: rec.Revision, Body: rec.Body, view: max(p.To, rec.Revision), home: s, tag: s})
		name(s, rec.Revision)
	}
	if s := (*r.shard(AnyTag).Load())[AnyTag]; s != nil {
		name(s, p.To)
	}
	for _, tag := range p.Stale {
		if s := (*r.shard(tag).Load())[tag]; s != nil {
			name(s, p.To)
		}
	}
	r.evict()
}

func name(s *slot, revision uint64) {
	if s.named.Load() < revision {
		s.named.Store(revision)
	}
}

// evict makes room: what nobody asked for since the last sweep goes. r.mu must be held.
func (r *records) evict() {
	if r.bytes <= r.most {
		return
	}
	for range 3 * shards { // the first turn takes the marks away, the second those of the tags that the first has left behind
		if r.bytes <= r.most-r.most/8 {
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
		e := s.entry.Load()
		if s.load != nil || s.used.Swap(false) {
			if e != nil && e.tag != s { // else nothing would ever go
				e.tag.used.Store(true) // it lives no longer than what it depends on
			}
			kept[k] = s
			continue
		}
		r.forget(s)
	}
	shard.Store(&kept)
}

// forget makes all that is made from a slot stale.
func (r *records) forget(s *slot) {
	s.named.Store(dead)
	r.bytes -= len(s.key) + entryOverhead
	if e := s.entry.Load(); e != nil {
		r.bytes -= len(e.Body)
	}
}

// size is the number of bytes held, about.
func (r *records) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}
