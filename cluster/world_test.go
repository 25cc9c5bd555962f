package cluster

import (
	"context"
	"errors"
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
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/trust/pki"
)

// A world is a group of members as they are, over hashicorp/raft as it is, in virtual time and on a network in memory, to which all happens that may:
// delays, cuts in one and both directions, lost connections, pauses, crashes, clocks that drift, joins and leaves, hand-overs, changes of
// the mode. Bards and readers note what they saw; see worldcheck_test.go. The seed chooses what happens; in which order goroutines
// run at one moment it does not, so the same seed is another world each time, though much the same.

// worldPlan says what kind of world it is.
type worldPlan struct {
	span  time.Duration
	rules cache.Mutation
	every time.Duration // about the time between two misfortunes
	slow  time.Duration // see worldNet
	rare  float64
	// brisk elections come much faster than a lease ends.
	brisk bool
	small bool // three members
	// secure members have certificates.
	secure bool
	fates  []fate // of which one is chosen each time
	// tcp: connections that were cut go on late, and packets are lost with this probability. See worldwire_test.go.
	tcp  bool
	loss float64
	// lively is how long a majority may be without a leader although its members reach each other; 0 is without end.
	lively time.Duration
	// idle is by how much readers and bards pause longer, so that a long world is not much more work; 0 is as if it were 1. Members take snapshots more often then.
	idle float64
	// script is what happens instead of fates. Nobody posts or reads but the script. node changes a member's options, if it is not nil.
	script func(*world)
	node   func(*worldNode)
}

type world struct {
	t     *testing.T
	seed  uint64
	plan  worldPlan
	rand  *rand.Rand // of the goroutine that brings misfortune
	net   *worldNet
	dir   string
	began time.Time
	log   *worldLog

	mu      sync.Mutex
	nodes   []*worldNode // those that are to run
	named   int
	founder *pki.Identity

	waiting  chan struct{} // one call of synctest.Wait at a time
	members  chan struct{} // one change of the members at a time
	tasks    sync.WaitGroup
	onFrames atomic.Bool // a fate waits for a frame
	quiet    atomic.Bool // nothing bad happens any more
	over     atomic.Bool // readers and bards end
	record   *record
	ledger   *ledger
	problems *worldLog
}

// worldNode is the place of one member: what outlives its process.
type worldNode struct {
	w     *world
	id    string
	opts  Options
	log   *raft.InmemStore
	votes map[uint64]string // the candidate of each term; see ledger
	clock func() time.Duration
	rate  float64
	now   atomic.Pointer[worldMember]
	busy  atomic.Bool // it is being stopped or started
	left  atomic.Bool
}

// worldMember is a process.
type worldMember struct {
	*Member
	node *worldNode
	dead atomic.Bool // it has crashed: what it still says nobody hears
}

// worldDir is on a disk in memory if there is one.
func worldDir() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "laurel-world-*"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "laurel-world-*")
}

// runWorld lives through one world.
func runWorld(t *testing.T, seed uint64, plan worldPlan) (w *world) {
	dir, err := worldDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	defer func() {
		if p := recover(); p != nil && !onlyRaftForgets() {
			panic(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		w = &world{t: t, seed: seed, plan: plan, rand: r, net: newWorldNet(rand.New(rand.NewPCG(seed, 2))), dir: dir, began: time.Now(),
			waiting: make(chan struct{}, 1), members: make(chan struct{}, 1)}
		w.log, w.problems = &worldLog{began: w.began}, &worldLog{began: w.began}
		w.record = newRecord(w)
		w.log.count = w.record.count
		w.ledger = newLedger(w)
		w.live()
		w.addWireCounts()
	})
	return w
}

// addWireCounts adds what the network has counted to what the record has.
func (w *world) addWireCounts() {
	w.record.mu.Lock()
	defer w.record.mu.Unlock()
	for what, n := range w.net.wire.counted() {
		w.record.counts[what] += n
	}
}

// pauses stretches a pause of a reader or a bard.
func (p *worldPlan) pauses(d time.Duration) float64 { return float64(d) * max(1, p.idle) }

// onlyRaftForgets tells whether all that did not end waits within Raft for what never comes: a hand-over whose follower was lost while its master stepped
// down (hashicorp/raft#696), or what was asked of Raft at the moment of its shutdown (see Member.await). Both were found here, and are not ours to mend.
func onlyRaftForgets() bool {
	stacks := make([]byte, 16<<20)
	for _, one := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		head, _, _ := strings.Cut(one, "\n")
		known := strings.Contains(one, "raft.(*Raft).leadershipTransfer(") || strings.Contains(one, "raft.(*Raft).leaderLoop.func") ||
			strings.Contains(one, "raft.(*deferError).Error(") && strings.Contains(one, "(*Member).await.func1")
		if strings.Contains(head, "synctest bubble") && !known {
			return false
		}
	}
	return true
}

func (w *world) problemf(format string, args ...any) { w.problems.addf(format, args...) }

func (w *world) live() {
	defer w.closeAll()
	size := 3
	if !w.plan.small && w.rand.IntN(4) == 0 {
		size = 5
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
	w.record.readers.Go(w.ledger.watch)
	if w.plan.script != nil {
		w.plan.script(w)
		return
	}
	if !w.record.begin() {
		return
	}
	if w.plan.lively > 0 && !w.mustAgree() {
		return
	}
	w.net.worsen(w.plan)
	for end := w.began.Add(w.plan.span); time.Now().Before(end) && w.problems.tail(1) == ""; {
		time.Sleep(time.Duration(w.rand.ExpFloat64() * float64(w.plan.every)))
		w.plan.fates[w.rand.IntN(len(w.plan.fates))](w)
	}
	w.quiet.Store(true)
	if w.calm() {
		time.Sleep(2 * time.Second)
		w.record.end()
	}
}

// calm waits until all that was bad is over.
func (w *world) calm() bool {
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
	w.record.readers.Wait()
}

// newNode makes a node that does not run yet.
func (w *world) newNode() *worldNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named++
	id := fmt.Sprintf("f%d", w.named)
	n := &worldNode{w: w, id: id, log: raft.NewInmemStore(), votes: map[uint64]string{}, rate: 0.995 + 0.01*w.rand.Float64()}
	offset := time.Duration(w.rand.Int64N(int64(time.Hour)))
	n.clock = func() time.Duration { return offset + time.Duration(n.rate*float64(time.Since(w.began))) }
	n.opts = Options{ID: id, Dir: filepath.Join(w.dir, id), Peer: id + ":9000", URL: "http://" + id + ":8000",
		Join:            []string{"none://"}, // the world asks for it
		SnapshotEntries: uint64(20 + w.rand.IntN(60)), Logger: slog.New(&worldHandler{slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.String("at", id)
				}
				return a
			}})}),
		hooks: testHooks{dial: w.net.dialFrom(id), listen: w.net.listen, clock: n.clock, mutation: w.plan.rules}}
	if w.plan.idle > 0 {
		n.opts.SnapshotEntries = uint64(8 + w.rand.IntN(16))
	}
	if w.plan.brisk {
		n.opts.hooks.raftConfig = func(c *raft.Config) {
			c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
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

// identity is the first node's, or by its authority. w.mu must be held.
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

// up are the processes that run.
func (w *world) up() (list []*worldMember) {
	for _, n := range w.list() {
		if m := n.now.Load(); m != nil && !m.dead.Load() {
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

// start starts a process.
func (w *world) start(n *worldNode) bool {
	m := &worldMember{node: n}
	opts := n.opts
	opts.Metrics = prometheus.NewRegistry()
	opts.hooks.wrapBackend = func(raftlog.Backend) raftlog.Backend {
		return &mortal{InmemStore: n.log, of: m, rand: rand.New(rand.NewPCG(w.seed, uint64(time.Since(w.began))))}
	}
	member, err := Start(opts)
	if errors.Is(err, ErrRemoved) && n.left.Load() {
		// It crashed after it had noted its removal, and before it had ended by itself.
		w.log.addf("%s does not start: %v", n.id, err)
		w.retire(n)
		return false
	}
	if err != nil {
		w.problemf("start %s: %v", n.id, err)
		return false
	}
	m.Member = member
	member.ServeForwarded(w.handler(m), func(key string) (queries.Question, error) {
		_, ask, err := questions(key)
		return queries.Question{Ask: ask}, err
	})
	n.now.Store(m)
	w.log.addf("%s is up", n.id)
	w.record.readers.Go(func() { w.bury(m) })
	return true
}

// bury closes a process that has ended by itself.
func (w *world) bury(m *worldMember) {
	select {
	case err := <-m.Ended():
		w.log.addf("%s has ended: %v", m.node.id, err)
		if !m.node.left.Load() {
			w.problemf("%s has ended: %v", m.node.id, err)
		}
		w.retire(m.node)
	case <-m.stopped:
	}
}

// retire takes a node that has left from the world.
func (w *world) retire(n *worldNode) {
	w.mu.Lock()
	for i, other := range w.nodes {
		if other == n {
			w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
			break
		}
	}
	w.mu.Unlock()
	w.crash(n, false)
}

// crash ends a process at once; with silent, the others are not told by their connections. It tells whether it did.
func (w *world) crash(n *worldNode, silent bool) bool {
	if !n.busy.CompareAndSwap(false, true) {
		return false
	}
	defer n.busy.Store(false)
	m := n.now.Load()
	if m == nil {
		return false
	}
	w.log.addf("%s crashes", n.id)
	m.dead.Store(true)
	w.net.pause(n.id)
	defer w.net.resume(n.id)
	if silent {
		w.net.vanish(n.id)
	} else {
		w.net.lose(func(l link) bool { return l.from == n.id })
	}
	// What is on its way within Raft when it is shut down it forgets, and those who wait for it. So let all come to rest first, also the disk.
	time.Sleep(slowestDisk)
	w.waiting <- struct{}{}
	synctest.Wait()
	<-w.waiting
	if err := m.Close(); err != nil {
		w.problemf("close %s: %v", n.id, err)
	}
	// A process that is killed leaves no mark that its database is whole.
	if err := os.Remove(filepath.Join(m.opts.Dir, "state.db.mark")); err != nil {
		w.problemf("%s: %v", n.id, err)
	}
	n.now.Store(nil)
	return true
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

// mustAgree waits until all logs end alike. A voter that has not heard yet that another is one refuses to vote for it.
func (w *world) mustAgree() bool {
	for range 1000 {
		up := w.up()
		last := up[0].raft.LastIndex()
		if !slices.ContainsFunc(up, func(m *worldMember) bool { return m.raft.LastIndex() != last }) {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.problemf("the logs do not become equal")
	return false
}

func (w *world) join(n *worldNode, voter bool) error {
	m := w.master()
	if m == nil {
		return peer.NoMaster()
	}
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	return m.Join(ctx, newMember(n, voter))
}

// handler is as much of httpapi as members need of each other.
func (w *world) handler(m *worldMember) http.Handler {
	n := &node{opts: m.node.opts}
	n.current.Store(m.Member)
	return n.handler(false)
}
