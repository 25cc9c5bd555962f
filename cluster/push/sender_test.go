package push

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
)

// leasedSender returns a sender whose only member, f1, is leased, and what takes its acks.
func leasedSender(t *testing.T) (s *Sender, ack func(*cache.Ack)) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	begun := time.Now()
	c := Config{Timings: cache.DefaultTimings, Clock: func() time.Duration { return time.Hour + time.Since(begun) }}
	s = &Sender{Config: c, ctx: ctx, serving: func(raft.Configuration) {}}
	s.master = cache.NewMaster("f1", 1, []cache.Member{{ID: "f1", Voter: true}}, c.Timings, true, 0)
	receive := func(m cache.Message) {
		s.Update(func(master *cache.Master, now time.Duration) {
			if err := master.Receive("f1", ownStream, m, now); err != nil {
				t.Error(err)
			}
		})
	}
	s.Update(func(m *cache.Master, now time.Duration) { m.StreamOpened("f1", ownStream, now) })
	receive(&cache.Welcome{NoLease: true})
	s.Update(func(m *cache.Master, now time.Duration) { m.Ready(10, now) })
	s.Update(func(m *cache.Master, now time.Duration) { m.Tick(now) })
	receive(&cache.Ack{Round: 1, Pushed: 10})
	return s, func(a *cache.Ack) { receive(a) }
}

func TestPostsAreWokenOnceByTheirOwnRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ack := leasedSender(t)
		const posts = 5 // at each revision
		var answered [2]atomic.Int32
		for i := range 2 {
			to := uint64(11 + i)
			s.Update(func(m *cache.Master, now time.Duration) { m.Push(nil, nil, to, now) })
			for range posts {
				go func() {
					if s.AwaitReleased(t.Context(), to) {
						answered[i].Add(1)
					}
				}()
			}
		}
		want := func(first, second, waiting int) {
			t.Helper()
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if a, b := int(answered[0].Load()), int(answered[1].Load()); a != first || b != second || len(s.waiters) != waiting {
				t.Errorf("%d and %d posts are answered, and %d wait; want %d, %d and %d", a, b, len(s.waiters),
					first, second, waiting)
			}
		}
		want(0, 0, 2*posts)
		s.Update(func(*cache.Master, time.Duration) {}) // a step that releases nothing
		want(0, 0, 2*posts)
		ack(&cache.Ack{Pushed: 11})
		want(posts, 0, posts)
		ack(&cache.Ack{Pushed: 12})
		want(posts, posts, 0)
		if !s.AwaitReleased(t.Context(), 12) {
			t.Error("12 is released, and a post waits for it")
		}
	})
}

func TestWhoGivesUpWaitingIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := leasedSender(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.AwaitReleased(ctx, 11) || len(s.waiters) != 0 {
			t.Errorf("a release that did not come is reported, or %d wait for it still", len(s.waiters))
		}
	})
}
