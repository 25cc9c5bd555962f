package cluster

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache/queries"
	"laurel/cluster/raftlog"
)

// start starts a process.
func (w *world) start(n *worldNode) bool {
	m := &worldMember{node: n}
	opts := n.opts
	opts.Metrics = prometheus.NewRegistry()
	opts.hooks.wrapBackend = func(raftlog.Backend) raftlog.Backend {
		r := rand.New(rand.NewPCG(w.seed, uint64(time.Since(w.began))))
		return &crashableStore{InmemStore: n.log, member: m, rand: r}
	}
	member, err := Start(opts)
	if errors.Is(err, ErrRemoved) && n.left.Load() {
		// It crashed after it had stored its removal, and before it had ended by itself.
		w.log.addf("%s does not start: %v", n.id, err)
		w.remove(n)
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
	w.history.readers.Go(func() { w.watchEnd(m) })
	return true
}

// watchEnd closes a process that ends by itself.
func (w *world) watchEnd(m *worldMember) {
	select {
	case err := <-m.Ended():
		w.log.addf("%s has ended: %v", m.node.id, err)
		if !m.node.left.Load() {
			w.problemf("%s has ended: %v", m.node.id, err)
		}
		w.remove(m.node)
	case <-m.stopped:
	}
}

// remove removes a node that has left.
func (w *world) remove(n *worldNode) {
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

// crash ends a process at once, and reports whether the process was running. With silent,
// the other ends of its connections do not notice.
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
	m.crashed.Store(true)
	identity := filepath.Join(m.opts.Dir, "member.json")
	before, err := os.ReadFile(identity)
	if err != nil {
		w.problemf("%s: %v", n.id, err)
	}
	w.net.pause(n.id)
	defer w.net.resume(n.id)
	if silent {
		w.net.vanish(n.id)
	} else {
		w.net.lose(func(l link) bool { return l.from == n.id })
	}
	// A Raft that is shut down forgets requests under way, and their callers wait
	// forever. So wait until everything is at rest, including the disk.
	time.Sleep(slowestDisk)
	w.waiting <- struct{}{}
	synctest.Wait()
	<-w.waiting
	if err := m.Close(); err != nil {
		w.problemf("close %s: %v", n.id, err)
	}
	// Until it was closed it may have applied entries that its log ignored, one by which it
	// joined among them.
	if err := os.WriteFile(identity, before, 0o600); err != nil {
		w.problemf("%s: %v", n.id, err)
	}
	// A process that is killed leaves no mark that its database is complete.
	if err := os.Remove(filepath.Join(m.opts.Dir, "state.db.mark")); err != nil {
		w.problemf("%s: %v", n.id, err)
	}
	n.now.Store(nil)
	return true
}
