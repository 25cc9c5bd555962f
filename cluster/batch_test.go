package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/raftlog"
	"laurel/fsm/entry"
	"laurel/score"
)

// gate is a store whose writes of the log can be held up, or made to fail.
type gate struct {
	raftlog.Backend
	mu   sync.Mutex
	shut chan struct{} // writes wait until it is closed; nil lets them pass
	err  error
	held chan struct{} // gets a value for each write that is held up
}

// behind puts the gate before a member's disk; see newGroup.
func (g *gate) behind(o *Options) {
	g.held = make(chan struct{}, 1000)
	o.hooks.wrapBackend = func(b raftlog.Backend) raftlog.Backend {
		g.Backend = b
		return g
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *gate) pass() error {
	g.mu.Lock()
	shut, err := g.shut, g.err
	g.mu.Unlock()
	if shut != nil {
		g.held <- struct{}{}
		<-shut
	}
	return err
}

func (g *gate) IsMonotonic() bool { return g.Backend.(raft.MonotonicLogStore).IsMonotonic() }

func (g *gate) StoreLogs(l []*raft.Log) error {
	if err := g.pass(); err != nil {
		return err
	}
	return g.Backend.StoreLogs(l)
}

func (g *gate) SetUint64(k []byte, v uint64) error {
	if err := g.pass(); err != nil {
		return err
	}
	return g.Backend.SetUint64(k, v)
}

func TestPostsThatArriveWhileAnEntryIsWrittenShareTheNext(t *testing.T) {
	t.Parallel()
	var slow gate
	g := newGroup(t, 1, slow.behind)
	m := g.nodes[0].member()
	mustPost(t, g.nodes[0], alerts("bard/0", 1, 1))
	before := entries(m)
	slow.close()
	t.Cleanup(slow.open)
	const posts = 200
	var posters sync.WaitGroup
	for i := range posts {
		posters.Go(func() { mustPost(t, g.nodes[0], alerts(fmt.Sprintf("bard/%d", i+1), 1, 1)) })
	}
	<-slow.held
	eventually(t, "all have come", func() error {
		if n := gathered(t, g.nodes[0]) + m.posts.batch.waiting(); n < posts+1 {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	slow.open()
	posters.Wait()
	if n := entries(m) - before; n > posts/10 {
		t.Errorf("%d posts took %d entries", posts, n)
	}
	g.agree(posts + 1)
}

// gathered is how many events the node's member has sent on.
func gathered(t testing.TB, n *node) (events int) {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "laurel_gathered_events" {
			events = int(f.GetMetric()[0].GetHistogram().GetSampleSum())
		}
	}
	return events
}

// encoded is a post of one event of about a size.
func encoded(t testing.TB, size int) entry.EncodedPost {
	t.Helper()
	p := alerts("bard/x", 1, 1)
	p.Events[0].Data.(*score.Alert).Text = strings.Repeat("x", size)
	e, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newHeldGatherer is a batcher whose sends wait until proceed is closed; sent gets what they were given.
func newHeldGatherer(t *testing.T) (g *batcher, sent chan []*pendingPost, proceed chan struct{}) {
	sent, proceed = make(chan []*pendingPost, 1000), make(chan struct{})
	g = newBatcher(func(batch []*pendingPost) {
		sent <- batch
		<-proceed
		finish(batch, make([]outcome, len(batch)), nil)
	}, newMetrics(prometheus.NewRegistry()))
	t.Cleanup(func() {
		g.close()
		<-g.drained
	})
	return g, sent, proceed
}

func add(t *testing.T, g *batcher, e entry.EncodedPost) *pendingPost {
	t.Helper()
	it := &pendingPost{post: e, done: make(chan outcome, 1)}
	if err := g.add(it); err != nil {
		t.Fatal(err)
	}
	return it
}

func TestAFullQueueRefusesPostsAndDoesNotGrow(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 200 << 10} {
		g, sent, proceed := newHeldGatherer(t)
		e := encoded(t, size)
		for range maxInFlight {
			add(t, g, e)
			<-sent
		}
		for !full(g, e) {
			add(t, g, e)
		}
		waiting := g.waiting()
		if waiting*e.Size() > maxQueuedBytes || waiting > maxQueuedPosts {
			t.Errorf("%d posts of %d bytes wait", waiting, e.Size())
		}
		for range 100 {
			refused(t, g.add(&pendingPost{post: e, done: make(chan outcome, 1)}), score.RateLimited)
		}
		if n := g.waiting(); n != waiting {
			t.Errorf("refused posts made the queue grow from %d to %d", waiting, n)
		}
		close(proceed)
		eventually(t, "the queue runs dry", func() error {
			if n := g.waiting(); n > 0 {
				return fmt.Errorf("%d wait", n)
			}
			return nil
		})
		add(t, g, e)
	}
}

func full(g *batcher, e entry.EncodedPost) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue) >= maxQueuedPosts || g.bytes+e.Size() > maxQueuedBytes
}

func TestAnEntryIsBoundedInEventsAndBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 60 << 10} {
		g, sent, proceed := newHeldGatherer(t)
		e := encoded(t, size)
		var items []*pendingPost
		for range 3 * maxEntryEvents / 2 {
			if full(g, e) {
				break
			}
			items = append(items, add(t, g, e))
		}
		close(proceed)
		for _, it := range items {
			<-it.done
		}
		for carried := 0; carried < len(items); {
			batch := <-sent
			carried += len(batch)
			if len(batch) > maxEntryEvents || len(batch) > 1 && len(batch)*e.Size() > maxEntryBytes {
				t.Errorf("an entry has %d posts of %d bytes", len(batch), e.Size())
			}
		}
	}
}

func TestClosingTheGathererTellsWhoWaits(t *testing.T) {
	t.Parallel()
	g, sent, proceed := newHeldGatherer(t)
	e := encoded(t, 10)
	for range maxInFlight {
		add(t, g, e)
		<-sent
	}
	waits := add(t, g, e)
	g.close()
	if o := <-waits.done; !errors.Is(o.err, errStopping) {
		t.Errorf("got %v", o.err)
	}
	if err := g.add(&pendingPost{post: e}); !errors.Is(err, errStopping) {
		t.Errorf("a post after that got %v", err)
	}
	select {
	case <-g.drained:
		t.Error("the batcher is over while posts are under way")
	default:
	}
	close(proceed)
	<-g.drained
}

func TestAPostThatIsRefusedAfterAnUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	m := g.nodes[0].member()
	attempts := 0
	m.posts.batch.mu.Lock()
	m.posts.batch.send = func(batch []*pendingPost) {
		attempts++
		if attempts == 1 {
			finish(batch, nil, errUnknown)
			return
		}
		finish(batch, nil, score.Problemf(score.RateLimited, "full"))
	}
	m.posts.batch.mu.Unlock()
	_, err := m.Post(context.Background(), alerts("bard/x", 1, 1))
	refused(t, err, score.OutcomeUnknown)
}
