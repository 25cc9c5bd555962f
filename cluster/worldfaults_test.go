package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// fault causes a fault in a world. It returns at once; the fault may last.
type fault func(*world)

func newMember(n *worldNode, voter bool) score.NewMember {
	return score.NewMember{ID: n.id, Peer: n.opts.Peer, URL: n.opts.URL, Voter: voter}
}

func (w *world) randomMember() *worldMember {
	up := w.up()
	if len(up) == 0 {
		return nil
	}
	return up[w.rand.IntN(len(up))]
}

// masterOrRandom returns the master or a random process, equally often.
func (w *world) masterOrRandom() *worldMember {
	if w.rand.IntN(2) == 0 {
		if m := w.master(); m != nil {
			return m
		}
	}
	return w.randomMember()
}

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rand.Int64N(int64(most-least)))
}

// task runs f while other faults happen.
func (w *world) task(f func()) { w.tasks.Go(f) }

// wait waits for d, or until no more faults happen.
func (w *world) wait(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && !w.quiet.Load(); {
		time.Sleep(min(20*time.Millisecond, time.Until(end)))
	}
}

func cutOneWay(w *world) {
	a, b := w.masterOrRandom(), w.randomMember()
	if a == nil || a == b {
		return
	}
	from, to := a.node.id, b.node.id
	if w.rand.IntN(2) == 0 {
		from, to = to, from
	}
	d := w.between(20*time.Millisecond, 1500*time.Millisecond)
	w.log.addf("%s->%s is cut for %v", from, to, d)
	w.net.cut(from, to)
	w.task(func() {
		w.wait(d)
		w.net.heal(from, to)
	})
}

func isolate(w *world) {
	one := w.masterOrRandom()
	if one == nil {
		return
	}
	d := w.between(20*time.Millisecond, 2*time.Second)
	ways, loses := w.rand.IntN(3), w.rand.IntN(3) == 0
	w.log.addf("%s is isolated for %v, ways %d, loses its connections %v", one.node.id, d, ways, loses)
	var cut []link
	for _, n := range w.list() {
		if n.id == one.node.id {
			continue
		}
		if ways != 1 {
			cut = append(cut, link{n.id, one.node.id})
		}
		if ways != 2 {
			cut = append(cut, link{one.node.id, n.id})
		}
	}
	for _, l := range cut {
		w.net.cut(l.from, l.to)
	}
	w.task(func() {
		w.wait(d)
		if loses {
			w.net.lose(func(l link) bool { return l.from == one.node.id })
		}
		for _, l := range cut {
			w.net.heal(l.from, l.to)
		}
	})
}

func pause(w *world) {
	one := w.masterOrRandom()
	if one == nil {
		return
	}
	d := w.between(100*time.Millisecond, 3*time.Second)
	w.log.addf("%s pauses for %v", one.node.id, d)
	w.net.pause(one.node.id)
	w.task(func() {
		w.wait(d)
		w.net.resume(one.node.id)
	})
}

func loseConnections(w *world) {
	a, b := w.masterOrRandom(), w.randomMember()
	if a == nil || a == b {
		return
	}
	w.log.addf("%s and %s lose their connections", a.node.id, b.node.id)
	w.net.lose(func(l link) bool { return l.from == a.node.id && l.to == b.node.id })
}

func crash(w *world) {
	one := w.masterOrRandom()
	if one == nil || len(w.up()) < 2 {
		return
	}
	d := w.between(0, 1500*time.Millisecond)
	silent := w.rand.IntN(2) == 0
	w.task(func() { w.crashFor(one, silent, d) })
}

// crashFor crashes a process and starts it again after d.
func (w *world) crashFor(one *worldMember, silent bool, d time.Duration) {
	if !w.crash(one.node, silent) {
		return
	}
	w.history.count("crashes")
	w.wait(d)
	w.restart(one.node)
}

// restart starts a node, unless it has left or is running.
func (w *world) restart(n *worldNode) {
	if slices.Contains(w.list(), n) && n.busy.CompareAndSwap(false, true) {
		if n.now.Load() == nil {
			w.start(n)
		}
		n.busy.Store(false)
	}
}

func handOver(w *world) {
	m := w.master()
	if m == nil {
		return
	}
	w.task(func() {
		ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
		defer cancel()
		w.log.addf("%s hands over", m.node.id)
		err := m.Transfer(ctx, "")
		w.log.addf("%s has handed over: %v", m.node.id, err)
	})
}

func switchMode(w *world) {
	m := w.master()
	if m == nil {
		return
	}
	w.task(func() {
		ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
		defer cancel()
		mode := score.Pull
		if m.CacheMode() == mode {
			mode = score.Push
		}
		err := setCacheMode(ctx, m.Member, mode)
		w.log.addf("%s sets the mode %s: %v", m.node.id, mode, err)
		if mode == score.Push {
			return
		}
		w.wait(500 * time.Millisecond)
		for range 50 {
			if m := w.master(); m != nil && setCacheMode(ctx, m.Member, score.Push) == nil {
				return
			}
			w.wait(20 * time.Millisecond)
		}
	})
}

// joinOrLeave lets a node join if there are few nodes, else one leave.
func joinOrLeave(w *world) {
	nodes := w.list()
	leave := len(nodes) > 4 || len(nodes) > 3 && w.rand.IntN(2) == 0
	voter := w.rand.IntN(3) > 0
	one := w.randomMember()
	if one == nil {
		return
	}
	select {
	case w.members <- struct{}{}:
	default:
		return
	}
	if !leave {
		one = &worldMember{node: w.newNode()}
		if !voter {
			one.node.opts.Nonvoter = true
		}
	}
	w.task(func() {
		defer func() { <-w.members }()
		n := one.node
		if !leave {
			w.log.addf("%s joins, voter %v", n.id, voter)
			if !n.busy.CompareAndSwap(false, true) {
				return
			}
			w.start(n)
			n.busy.Store(false)
			for range 50 {
				if w.join(n, voter) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			return
		}
		m := w.master()
		if m == nil {
			return
		}
		ctx, cancel := context.WithTimeout(m.ctx, 4*time.Second)
		defer cancel()
		n.left.Store(true)
		err := m.Leave(ctx, n.id, false)
		w.log.addf("%s leaves: %v", n.id, err)
	})
}

// deposeMaster lets Raft elect another master without the old one withdrawing its leases,
// while a third member has a lease that depends only on the acks of the old master and
// itself.
func deposeMaster(w *world) {
	m, up := w.master(), w.up()
	if m == nil || len(up) != 3 || len(w.list()) != 3 {
		return
	}
	var others []*worldMember
	for _, one := range up {
		if one != m {
			others = append(others, one)
		}
	}
	w.rand.Shuffle(2, func(i, j int) { others[i], others[j] = others[j], others[i] })
	heir, cutOff := others[0], others[1]
	d := w.between(50*time.Millisecond, 250*time.Millisecond)
	w.log.addf("%s will succeed %s, while %s has a lease", heir.node.id, m.node.id, cutOff.node.id)
	w.task(func() {
		heal := w.isolateHost(heir.node.id)
		w.wait(d)
		healAgain := w.isolateHost(cutOff.node.id)
		heal()
		if m.ctx.Err() == nil {
			m.await(m.ctx, m.raft.LeadershipTransferToServer(heir.self, raft.ServerAddress(heir.Peer())))
		}
		w.wait(400 * time.Millisecond)
		healAgain()
	})
}

// isolateHost cuts a host off from all others until heal is called.
func (w *world) isolateHost(host string) (heal func()) {
	var cut []link
	for _, n := range w.list() {
		if n.id != host {
			cut = append(cut, link{n.id, host}, link{host, n.id})
		}
	}
	for _, l := range cut {
		w.net.cut(l.from, l.to)
	}
	return func() {
		for _, l := range cut {
			w.net.heal(l.from, l.to)
		}
	}
}
