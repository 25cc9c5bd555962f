package cache

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loadAtOnce puts an answer in, as a load does.
func loadAtOnce(s *session, key, tag, body string, view uint64) {
	q := s.newQuestion(key, tag)
	if _, begun, _ := s.find(&q); begun {
		s.finishLoad(q.load, []byte(body), view, view, nil)
	}
}

func (h *harness) session() *session { return h.f.session.Load() }

func (h *harness) wantHit(key, body string) {
	h.t.Helper()
	e := h.f.Hit([]byte(key))
	switch {
	case e == nil && body != "":
		h.t.Errorf("%s: no answer, want %q", key, body)
	case e != nil && string(e.Body) != body:
		h.t.Errorf("%s: %q, want %q", key, e.Body, body)
	}
}

func TestRecordsStayWithinTheirBound(t *testing.T) {
	h := newHarness(t)
	h.f.maxBytes = 100 << 10
	h.grantLease()
	revision := uint64(10)
	for i := range 3000 {
		key := fmt.Sprint("k", i)
		switch i % 3 {
		case 0:
			loadAtOnce(h.session(), key, "", string(make([]byte, i%2000)), revision)
		case 1:
			loadAtOnce(h.session(), key, fmt.Sprint("tag", i%7), string(make([]byte, i%2000)), revision)
		case 2:
			revision++
			records := []Record{{key, revision, make([]byte, i%2000)}}
			stale := []string{"tag3"}
			h.send(&Push{From: revision - 1, To: revision, Records: records, Stale: stale, Released: revision})
		}
		if got := h.f.State().Bytes; got > h.f.maxBytes {
			t.Fatalf("%d bytes after %d answers, want at most %d", got, i+1, h.f.maxBytes)
		}
	}
	// The count is right.
	r, count := h.session().records, 0
	for i := range r.shards {
		for k, s := range *r.shards[i].Load() {
			count += len(k) + entryOverhead
			if e := s.entry.Load(); e != nil {
				count += len(e.Body)
			}
		}
	}
	if count != r.size() || count < h.f.maxBytes/2 {
		t.Errorf("%d bytes are there, %d were counted", count, r.size())
	}
}

func TestAnswersThatAreReadAreNotEvicted(t *testing.T) {
	h := newHarness(t)
	h.f.maxBytes = 20 << 10
	h.grantLease()
	loadAtOnce(h.session(), "hot", "tag", "v", 10)
	misses := 0
	for i := range 500 {
		loadAtOnce(h.session(), fmt.Sprint("cold", i), "", "v", 10)
		if h.f.Hit([]byte("hot")) == nil {
			misses++
			loadAtOnce(h.session(), "hot", "tag", "v", 10)
		}
	}
	if misses > 5 { // the first sweep finds everything marked, and chooses blindly
		t.Errorf("it went %d times", misses)
	}
	if h.f.Hit([]byte("cold0")) != nil {
		t.Error("nothing was evicted")
	}
}

func TestEvictedTagMakesItsAnswersStale(t *testing.T) {
	h := newHarness(t).grantLease()
	loadAtOnce(h.session(), "list", "tag", "old", 10)
	h.wantHit("list", "old")
	r := h.session().records
	r.mu.Lock()
	r.find([]byte("tag")).recentlyUsed.Store(false)
	r.sweepShard(r.shard("tag"))
	r.mu.Unlock()
	if r.find([]byte("tag")) != nil {
		t.Fatal("the tag is not evicted")
	}
	h.wantHit("list", "")
	h.send(&Push{From: 10, To: 11, Stale: []string{"tag"}, Released: 11}) // it marks nothing
	loadAtOnce(h.session(), "list", "tag", "new", 11)
	h.wantHit("list", "new")
}

func TestChangedTagMakesItsAnswersStale(t *testing.T) {
	h := newHarness(t).grantLease()
	loadAtOnce(h.session(), "list", "tag", "old", 10)
	loadAtOnce(h.session(), "all", AnyTag, "old", 10)
	loadAtOnce(h.session(), "other", "other", "v", 10)
	h.send(&Push{From: 10, To: 11, Stale: []string{"tag"}, Released: 11})
	h.wantHit("list", "")
	h.wantHit("all", "")
	h.wantHit("other", "v")
}

func TestOlderAnswerNeverReplacesANewerOne(t *testing.T) {
	h := newHarness(t).grantLease()
	s := h.session()
	q := s.newQuestion("k", "")
	if _, begun, _ := s.find(&q); !begun {
		t.Fatal("no load")
	}
	h.send(&Push{From: 10, To: 12, Records: []Record{{"k", 12, []byte("12")}}, Released: 12})
	s.finishLoad(q.load, []byte("10"), 10, 10, nil) // a load that ends late
	h.wantHit("k", "12")

	loadAtOnce(s, "ahead", "", "14", 14) // a load from a state machine that is ahead of the pushes
	h.send(&Push{From: 12, To: 13, Records: []Record{{"ahead", 13, []byte("13")}}, Released: 14})
	h.wantHit("ahead", "14")
}

func TestLoadForAnEvictedSlotIsNotKept(t *testing.T) {
	h := newHarness(t).grantLease()
	s := h.session()
	q := s.newQuestion("k", "")
	s.find(&q)
	r := s.records
	r.mu.Lock()
	q.home.load = nil
	q.home.recentlyUsed.Store(false)
	r.sweepShard(r.shard("k"))
	r.mu.Unlock()
	s.finishLoad(q.load, []byte("10"), 10, 10, nil)
	h.wantHit("k", "")
	if q.home.entry.Load() != nil {
		t.Error("an evicted slot has an answer")
	}
}

// Reads, pushes, loads and evictions go on together. No reader gets less than what was
// acked before it asked.
func TestConcurrentReadersSeeEveryAckedWrite(t *testing.T) {
	h := newHarness(t)
	h.f.maxBytes = 20 << 10
	h.grantLease()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begun := time.Now()
	const keys = 40
	var least [keys]atomic.Uint64
	var revision, reads atomic.Uint64
	revision.Store(10)
	load := func(_ context.Context, floor uint64) ([]byte, uint64, uint64, error) {
		return strconv.AppendUint(nil, floor, 10), floor, floor, nil
	}
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			for i := reader; ctx.Err() == nil; i++ {
				key, tag := fmt.Sprint("k", i%keys), ""
				if i%keys >= keys/2 {
					tag = "tag" + key
				}
				want := least[i%keys].Load()
				e := h.f.Hit([]byte(key))
				if e == nil {
					e, _, _ = h.f.Answer(ctx, key, tag, load)
				}
				if e == nil {
					continue
				}
				reads.Add(1)
				if got, _ := strconv.ParseUint(string(e.Body), 10, 64); got < want {
					t.Errorf("%s: %d, but %d was acked", key, got, want)
				}
			}
		})
	}
	wg.Go(func() {
		defer cancel()
		enough := func() bool { return reads.Load() >= 1000 && revision.Load() >= 100 }
		for i := 0; ctx.Err() == nil && (!enough() || time.Since(begun) < 300*time.Millisecond); i++ {
			to, k := revision.Add(1), i%keys
			key := fmt.Sprint("k", k)
			p := &Push{From: to - 1, To: to, Released: to}
			if k < keys/2 && i%3 > 0 {
				p.Records = []Record{{key, to, strconv.AppendUint(nil, to, 10)}}
			} else {
				p.Stale = []string{key, "tag" + key}
			}
			h.send(p)
			least[k].Store(to)
		}
	})
	wg.Wait()
	if reads.Load() < 1000 || revision.Load() < 100 {
		t.Errorf("%d reads, %d pushes", reads.Load(), revision.Load())
	}
}

// Hit returns the answer to key if it is in memory and may be given now, else nil.
func (f *Frontend) Hit(key []byte) *Entry {
	e, lease := f.Find(key)
	if e == nil || !lease.Visible(e.Revision) {
		return nil
	}
	return e
}

func TestHitAllocatesNothing(t *testing.T) {
	h := newHarness(t).grantLease()
	loadAtOnce(h.session(), "scores/x", "", "v", 10)
	key := []byte("scores/x")
	if n := testing.AllocsPerRun(1000, func() {
		if h.f.Hit(key) == nil {
			t.Error("no hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkHit(b *testing.B) {
	h := &harness{now: time.Hour}
	start := time.Now()
	f := NewFrontend(1<<30, func() time.Duration { return time.Since(start) }, 0)
	l := f.Open(false)
	for _, m := range []Message{&Hello{Epoch: 3, Lease: h.now}, &Start{10, 10}, &Grant{At: 0, Remaining: h.now}} {
		if _, err := l.Receive(m, 3); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([][]byte, 1<<14)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "scores/athletics/100m/heat-%d", i)
		loadAtOnce(f.session.Load(), string(keys[i]), "", "body", 10)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			if f.Hit(keys[i%len(keys)]) == nil {
				b.Error("no hit")
			}
		}
	})
}
