package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/trust/pki"
)

// A world is a group of real members over real hashicorp/raft, in virtual time and on a
// network in memory. Faults happen to it: delays, cuts in one and both directions, lost
// connections, pauses, crashes, drifting clocks, joins and leaves, hand-overs, and
// changes of the cache mode. Bards and readers note what they see; see
// worldhistory_test.go. The seed determines the faults, but not the order in which
// goroutines run at one time, so worlds of the same seed are similar and not equal.

// worldPlan configures a world.
type worldPlan struct {
	span  time.Duration
	rules cache.Mutation
	// faultInterval is the mean time between two faults.
	faultInterval    time.Duration
	maxDelay         time.Duration // see worldNet
	delayProbability float64       // see worldNet
	fastElections    bool          // elections take much less time than a lease lasts
	small            bool          // three members
	secure           bool          // members have certificates
	faults           []fault       // one of them is chosen each time
	// tcp lets connections continue late after a cut, and loss is the probability that a
	// packet is lost; see worldwire_test.go.
	tcp  bool
	loss float64
	// maxLeaderless is how long a majority whose members reach each other may be without
	// a leader; 0 is no limit.
	maxLeaderless time.Duration
	// pauseFactor stretches the pauses of readers and bards, so that a long world is not
	// much more work; 0 means 1. Unless it is 0, members take snapshots more often.
	pauseFactor float64
	// script, if not nil, runs in place of the faults, and nothing else posts or reads.
	script func(*world)
	// node, if not nil, changes a member's options.
	node func(*worldNode)
}

type world struct {
	t     *testing.T
	seed  uint64
	plan  worldPlan
	rand  *rand.Rand // of the goroutine that causes the faults
	net   *worldNet
	dir   string
	began time.Time
	log   *worldLog

	mu      sync.Mutex
	nodes   []*worldNode // that should run
	named   int          // nodes that were made
	founder *pki.Identity

	waiting       chan struct{} // one call of synctest.Wait at a time
	members       chan struct{} // one change of the members at a time
	tasks         sync.WaitGroup
	awaitingFrame atomic.Bool // a fault waits for a frame
	quiet         atomic.Bool // no more faults happen
	over          atomic.Bool // readers and bards stop
	history       *history
	checker       *raftChecker
	problems      *worldLog
}

// worldNode is what outlives the process of a member.
type worldNode struct {
	w     *world
	id    string
	opts  Options
	log   *raft.InmemStore
	votes map[uint64]string // the candidate of each term; see raftChecker
	clock func() time.Duration
	rate  float64
	now   atomic.Pointer[worldMember]
	busy  atomic.Bool // being stopped or started
	left  atomic.Bool
}

// worldMember is the process of a member.
type worldMember struct {
	*Member
	node    *worldNode
	crashed atomic.Bool // its messages and answers no longer count
}

// worldDir makes a directory, in memory if possible.
func worldDir() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "laurel-world-*"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "laurel-world-*")
}

// runWorld runs one world.
func runWorld(t *testing.T, seed uint64, plan worldPlan) (w *world) {
	dir, err := worldDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	defer func() {
		if p := recover(); p != nil && !onlyKnownRaftLeaks() {
			panic(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		w = &world{
			t: t, seed: seed, plan: plan, dir: dir, began: time.Now(),
			rand: r, net: newWorldNet(rand.New(rand.NewPCG(seed, 2))),
			waiting: make(chan struct{}, 1), members: make(chan struct{}, 1),
		}
		w.log, w.problems = &worldLog{began: w.began}, &worldLog{began: w.began}
		w.history = newHistory(w)
		w.log.count = w.history.count
		w.checker = newRaftChecker(w)
		w.run()
		w.addWireCounts()
	})
	return w
}

// addWireCounts adds the counts of the network to those of the history.
func (w *world) addWireCounts() {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	for what, n := range w.net.wire.counted() {
		w.history.counts[what] += n
	}
}

// pauses stretches a pause of a reader or a bard.
func (p *worldPlan) pauses(d time.Duration) float64 { return float64(d) * max(1, p.pauseFactor) }

// onlyKnownRaftLeaks reports whether every goroutine that did not end waits forever
// within Raft, in one of two known ways: a leadership transfer whose follower was lost
// while its master stepped down (hashicorp/raft#696), or a request during Raft's shutdown
// (see Member.await).
func onlyKnownRaftLeaks() bool {
	stacks := make([]byte, 16<<20)
	for _, one := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		head, _, _ := strings.Cut(one, "\n")
		known := strings.Contains(one, "raft.(*Raft).leadershipTransfer(") ||
			strings.Contains(one, "raft.(*Raft).leaderLoop.func") ||
			strings.Contains(one, "raft.(*deferError).Error(") && strings.Contains(one, "(*Member).await.func1")
		if strings.Contains(head, "synctest bubble") && !known {
			return false
		}
	}
	return true
}

func (w *world) problemf(format string, args ...any) { w.problems.addf(format, args...) }

func (w *world) run() {
	defer w.closeAll()
	size := 3
	if !w.plan.small && w.rand.IntN(4) == 0 {
		size = 5
	}
	if w.plan.secure {
		// At first the founder alone has the key of the authority. If a late message cost it
		// its office, nobody could join.
		w.net.degrade(worldPlan{})
	}
	first := w.newNode()
	first.opts.Bootstrap = true
	if !w.start(first) {
		return
	}
	for range size - 1 {
		n := w.newNode()
		if !w.start(n) || !w.mustJoin(n, true) {
			return
		}
	}
	w.history.readers.Go(w.checker.watch)
	if w.plan.script != nil {
		w.plan.script(w)
		return
	}
	if !w.history.begin() {
		return
	}
	if w.plan.maxLeaderless > 0 && !w.mustAgree() {
		return
	}
	w.net.degrade(w.plan)
	for end := w.began.Add(w.plan.span); time.Now().Before(end) && w.problems.tail(1) == ""; {
		time.Sleep(time.Duration(w.rand.ExpFloat64() * float64(w.plan.faultInterval)))
		w.plan.faults[w.rand.IntN(len(w.plan.faults))](w)
	}
	w.quiet.Store(true)
	if w.waitForFaults() {
		time.Sleep(2 * time.Second)
		w.history.end()
	}
}

// waitForFaults waits until all faults are over.
func (w *world) waitForFaults() bool {
	over := make(chan struct{})
	go func() {
		w.tasks.Wait()
		close(over)
	}()
	select {
	case <-over:
		return true
	case <-time.After(time.Minute):
		stacks := make([]byte, 1<<20)
		w.problemf("a task does not end\n%s", stacks[:runtime.Stack(stacks, true)])
		return false
	}
}

func (w *world) closeAll() {
	w.quiet.Store(true)
	w.over.Store(true)
	w.tasks.Wait()
	for _, n := range w.list() {
		w.crash(n, false)
	}
	w.history.readers.Wait()
}

// newNode makes a node without starting it.
func (w *world) newNode() *worldNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named++
	id := fmt.Sprintf("f%d", w.named)
	n := &worldNode{w: w, id: id, log: raft.NewInmemStore(), votes: map[uint64]string{}}
	n.rate = 0.995 + 0.01*w.rand.Float64()
	offset := time.Duration(w.rand.Int64N(int64(time.Hour)))
	n.clock = func() time.Duration { return offset + time.Duration(n.rate*float64(time.Since(w.began))) }
	handler := slog.NewTextHandler(w.log, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.String("at", id)
			}
			return a
		},
	})
	n.opts = Options{
		ID: id, Dir: filepath.Join(w.dir, id), Peer: id + ":9000", URL: "http://" + id + ":8000",
		Join:            []string{"http://127.0.0.1:1"}, // nobody is there: the world makes it join
		SnapshotEntries: uint64(20 + w.rand.IntN(60)),
		Logger:          slog.New(&worldHandler{handler}),
		hooks: testHooks{
			dial: w.net.dialFrom(id), listen: w.net.listen, clock: n.clock, mutation: w.plan.rules,
		},
	}
	if w.plan.pauseFactor > 0 {
		n.opts.SnapshotEntries = uint64(8 + w.rand.IntN(16))
	}
	if w.plan.fastElections {
		n.opts.hooks.raftConfig = func(c *raft.Config) {
			timeout := 50 * time.Millisecond
			c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = timeout, timeout, timeout
		}
	}
	if w.plan.secure {
		n.opts.Identity = w.identity(n)
	}
	if w.plan.node != nil {
		w.plan.node(n)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// identity returns a certificate: the founder's, or one that the founder's authority
// issues. w.mu must be held.
func (w *world) identity(n *worldNode) *pki.Identity {
	i, err := certificate(&n.opts, w.founder, time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.founder == nil {
		w.founder = i
	}
	return i
}

func (w *world) list() []*worldNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*worldNode(nil), w.nodes...)
}

// up returns the running processes.
func (w *world) up() (list []*worldMember) {
	for _, n := range w.list() {
		if m := n.now.Load(); m != nil && !m.crashed.Load() {
			list = append(list, m)
		}
	}
	return list
}

func (w *world) master() *worldMember {
	for _, m := range w.up() {
		if m.Master() && !w.net.isPaused(m.node.id) {
			return m
		}
	}
	return nil
}

func (w *world) mustJoin(n *worldNode, voter bool) bool {
	for range 100 {
		if err := w.join(n, voter); err == nil {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.problemf("%s could not join", n.id)
	return false
}

// mustAgree waits until all logs have the same end. A voter refuses to vote for a member
// that it does not know as a voter yet.
func (w *world) mustAgree() bool {
	for range 1000 {
		up := w.up()
		last := up[0].raft.LastIndex()
		if !slices.ContainsFunc(up, func(m *worldMember) bool { return m.raft.LastIndex() != last }) {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.problemf("the logs stay different")
	return false
}

func (w *world) join(n *worldNode, voter bool) error {
	m := w.master()
	if m == nil {
		return peer.NoMaster()
	}
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	if w.plan.secure {
		if err := enrollByHand(ctx, m.Member, n.opts.Identity); err != nil {
			return err
		}
	}
	return m.Join(ctx, newMember(n, voter), false)
}

// handler returns the part of httpapi that members use of each other.
func (w *world) handler(m *worldMember) http.Handler {
	n := &node{opts: m.node.opts}
	n.current.Store(m.Member)
	return n.handler(false)
}
