package cluster

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/score"
)

// These faults happen to one member at a time, while the other two are up: it comes back
// with an old copy of its directory, or a copy of it is started beside it.

const (
	countPutBack = "old copies put back"
	countForgot  = "members that forgot and waited"
	countClones  = "copies started beside the original"
)

// copiesPlan returns the plan of a world with old copies.
func copiesPlan(seed uint64) worldPlan {
	return worldPlan{
		span: 15 * time.Second, faultInterval: 300 * time.Millisecond, small: true, secure: seed%3 == 2,
		maxDelay: 100 * time.Millisecond, delayProbability: 0.01, pauseFactor: 2,
		faults: []fault{putBackOldCopy, startClone, handOver, handOver, loseConnections, switchMode},
	}
}

// dataCopy is a copy of what a member has on its disk.
type dataCopy struct {
	dir string
	log *raft.InmemStore
}

// copyData copies the data of a stopped node.
func (w *world) copyData(n *worldNode) (c dataCopy, err error) {
	if c.dir, err = os.MkdirTemp(w.dir, "copy-*"); err != nil {
		return c, err
	}
	c.dir = filepath.Join(c.dir, "data")
	if err := os.CopyFS(c.dir, os.DirFS(n.opts.Dir)); err != nil {
		return c, err
	}
	c.log = raft.NewInmemStore()
	first, _ := n.log.FirstIndex() // an InmemStore returns no error
	last, _ := n.log.LastIndex()
	for i := first; i <= last && first > 0; i++ {
		var e raft.Log
		if err := n.log.GetLog(i, &e); err != nil {
			return c, err
		}
		c.log.StoreLog(&e)
	}
	for _, key := range []string{termKey, voteTermKey} {
		if term, err := n.log.GetUint64([]byte(key)); err == nil {
			c.log.SetUint64([]byte(key), term)
		}
	}
	if candidate, err := n.log.Get([]byte(voteCandidateKey)); err == nil {
		c.log.Set([]byte(voteCandidateKey), candidate)
	}
	return c, nil
}

// copyOfOne stops one of three members that are up, copies its data and starts it again.
// then is called with the copy while the other two are up, and while no other member is
// chosen.
func (w *world) copyOfOne(then func(n *worldNode, c dataCopy)) {
	one := w.masterOrRandom()
	if one == nil || len(w.up()) != 3 {
		return
	}
	select {
	case w.members <- struct{}{}:
	default:
		return
	}
	w.task(func() {
		defer func() { <-w.members }()
		n := one.node
		if !w.crash(n, false) {
			return
		}
		c, err := w.copyData(n)
		if err != nil {
			w.problemf("copy the data of %s: %v", n.id, err)
		}
		w.restart(n)
		then(n, c)
		w.awaitAll(n)
	})
}

// awaitAll waits until a node has all that the others had applied.
func (w *world) awaitAll(n *worldNode) {
	goal := uint64(0)
	for _, m := range w.up() {
		goal = max(goal, m.machine.Applied())
	}
	for range 500 {
		if m := n.now.Load(); m != nil && m.machine.Applied() >= goal && m.source.Gate.Check() == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.problemf("%s does not catch up", n.id)
}

func putBackOldCopy(w *world) {
	later, away := w.between(700*time.Millisecond, 3*time.Second), w.between(0, 500*time.Millisecond)
	lags := w.rand.IntN(2) == 0
	w.copyOfOne(func(n *worldNode, old dataCopy) {
		w.awaitAll(n)
		w.wait(later)
		if lags { // only the master and the member that forgets get the next events
			defer w.cutFromMaster(n)()
			w.wait(time.Second)
		}
		if !w.crash(n, false) {
			return
		}
		w.wait(away)
		w.log.addf("%s comes back with an old copy of its directory", n.id)
		w.history.count(countPutBack)
		if err := os.RemoveAll(n.opts.Dir); err != nil {
			w.problemf("%v", err)
		}
		if err := os.Rename(old.dir, n.opts.Dir); err != nil {
			w.problemf("%v", err)
		}
		n.log = old.log
		w.checker.forgetUntold(n)
		w.restart(n)
		for range 50 {
			if m := n.now.Load(); m != nil && m.source.Status("").Forgot > 0 {
				w.history.count(countForgot)
				w.wait(time.Second)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// cutFromMaster cuts the third member off from the master until heal is called, unless
// the first one is the master.
func (w *world) cutFromMaster(first *worldNode) (heal func()) {
	var cut []link
	if m := w.master(); m != nil && m.node != first {
		for _, third := range w.list() {
			if third != first && third != m.node {
				cut = append(cut, link{third.id, m.node.id}, link{m.node.id, third.id})
			}
		}
	}
	for _, l := range cut {
		w.log.addf("%s->%s is cut", l.from, l.to)
		w.net.cut(l.from, l.to)
	}
	return func() {
		for _, l := range cut {
			w.net.heal(l.from, l.to)
		}
	}
}

func startClone(w *world) {
	later := w.between(0, time.Second)
	w.copyOfOne(func(n *worldNode, copied dataCopy) {
		w.awaitAll(n)
		w.wait(later)
		clone := &worldNode{
			w: w, id: n.id + "-copy", opts: n.opts, log: copied.log, votes: map[uint64]string{}, clock: n.clock, rate: n.rate,
		}
		clone.opts.Dir, clone.opts.Peer = copied.dir, clone.id+":9000"
		clone.opts.hooks.dial = w.net.dialFrom(clone.id)
		clone.left.Store(true) // it is to end
		w.log.addf("a copy of %s starts", n.id)
		if !w.start(clone) {
			return
		}
		w.history.count(countClones)
		for range 500 {
			if clone.now.Load() == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.problemf("the copy of %s goes on", n.id)
		w.crash(clone, false)
	})
}

func TestNoReadIsStaleInAWorldWithOldCopiesAndClones(t *testing.T) {
	worlds := worldCount(2, 3, 30, 30)
	sum := runWorlds(t, worlds, copiesPlan)
	for _, what := range []string{score.Applied, cache.Hit, cache.Load, countPutBack, countClones} {
		if sum[what] < worlds/2 || sum[what] == 0 {
			t.Errorf("too few of %q: %d in %d worlds", what, sum[what], worlds)
		}
	}
	if worlds >= 30 && sum[countForgot] == 0 {
		t.Errorf("no %s in %d worlds", countForgot, worlds)
	}
}
