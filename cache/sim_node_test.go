package cache

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

// node is one frontend: a simulated Raft and state machine, and the real push protocol.
type node struct {
	w    *world
	id   int
	name string

	rate, clockAt float64
	clockBase     time.Duration
	up            bool
	gen           int // counts the processes
	pausedTill    float64
	backlog       []func()
	waking        bool

	raft
	appliedTo  int    // the length of the applied part of the log
	revision   uint64 // of the state machine
	leadership *leadership
	frontend   *Frontend
}

func newNode(w *world, id int) *node {
	return &node{w: w, id: id, name: fmt.Sprintf("n%d", id), rate: 1 - drift/2 + w.rand.Float64()*drift,
		clockBase: ms(10_000 + w.rand.Float64()*10_000), raft: raft{vote: -1}}
}

func (n *node) clock() time.Duration { return n.clockBase + ms((n.w.now-n.clockAt)*n.rate) }

func (n *node) boot() {
	n.up, n.gen, n.backlog, n.waking = true, n.gen+1, nil, false
	n.role, n.commit, n.appliedTo, n.revision, n.leadership = follower, 0, 0, 0, nil
	n.frontend = NewFrontend(n.w.maxBytes, n.clock, n.w.mutation)
	n.resetElection()
	n.raftTick()
}

// crash ends the process. Its streams break.
func (n *node) crash() {
	n.up, n.gen = false, n.gen+1
	n.role = follower
	for _, other := range n.w.nodes {
		r := other.leadership
		if r == nil {
			continue
		}
		for _, c := range r.conns {
			if c != nil && (other == n || c.to == n) {
				c.fail()
			}
		}
	}
	n.leadership = nil
}

// run calls f now, or, if the node is paused, when it continues. It drops f if the node
// has crashed meanwhile.
func (n *node) run(gen int, f func()) {
	switch {
	case !n.up || n.gen != gen:
	case n.pausedTill > n.w.now || len(n.backlog) > 0 && !n.waking:
		n.backlog = append(n.backlog, func() { n.run(gen, f) })
		n.w.at(max(0, n.pausedTill-n.w.now), n.wake)
	default:
		f()
	}
}

func (n *node) wake() {
	if n.pausedTill > n.w.now || len(n.backlog) == 0 {
		return // run has scheduled another call
	}
	list := n.backlog
	n.backlog, n.waking = nil, true
	for _, f := range list {
		f()
	}
	n.waking = false
	if len(n.backlog) > 0 {
		n.w.at(max(0, n.pausedTill-n.w.now), n.wake)
	}
}

// after calls f after some milliseconds by the node's own clock.
func (n *node) after(in float64, f func()) {
	gen := n.gen
	n.w.at(in/n.rate, func() { n.run(gen, f) })
}

// send delivers a message of Raft. Such messages get lost and overtake each other.
func (w *world) send(from, to *node, f func()) {
	if w.cut[from.id][to.id] || w.chance(0.005) {
		return
	}
	gen := to.gen
	w.at(w.delay(), func() {
		if !w.cut[from.id][to.id] {
			to.run(gen, f)
		}
	})
}

// write posts an event, which only a master accepts.
func (n *node) write() {
	if n.role != leader || n.leadership == nil {
		return
	}
	mask := uint(1) << n.w.rand.IntN(simKeys)
	if n.w.chance(0.2) {
		mask |= 1 << n.w.rand.IntN(simKeys)
	}
	n.propose(logEntry{mask: mask, proposer: n.leadership})
}

func keyOf(answer int) (key, tag string) {
	if answer < simKeys {
		return "scores/" + strconv.Itoa(answer), ""
	}
	return "lists?" + strconv.Itoa(answer-simKeys), tagOf(answer - simKeys)
}

func tagOf(list int) string { return "list/" + strconv.Itoa(list) }

// value returns the state machine's answer: the revision that changed it last.
func (n *node) value(answer int) uint64 { return n.w.lastChange(answer, n.revision) }

func bodyOf(value uint64) []byte {
	if value == 0 {
		return nil
	}
	return strconv.AppendUint(nil, value, 10)
}

func valueOf(e *Entry) uint64 {
	v, _ := strconv.ParseUint(string(e.Body), 10, 64)
	return v
}

// read asks until there is an answer. It gives up after some attempts without a lease.
func (n *node) read(answer int, seen uint64, attempt int) {
	if r := n.leadership; n.w.mutation.has(MutationReadStateMachine) && r != nil && r.master.Serving() {
		n.w.checkRead(n, answer, n.value(answer), seen, Hit)
		return
	}
	key, tag := keyOf(answer)
	if e := n.frontend.Hit([]byte(key)); e != nil {
		n.w.checkRead(n, answer, valueOf(e), seen, Hit)
		return
	}
	r := &pendingRead{frontend: n.frontend, key: key, tag: tag}
	r.startLoad = func(s *session, l *load) { n.load(answer, s, l, 0) }
	n.advance(r, answer, seen, attempt)
}

func (n *node) advance(r *pendingRead, answer int, seen uint64, attempt int) {
	done, err := r.step()
	switch {
	case err != nil:
		if attempt < 10 {
			n.after(4, func() { n.read(answer, n.w.newestSeen, attempt+1) })
		}
	case done:
		n.w.checkRead(n, answer, valueOf(r.entry), seen, r.how)
	default:
		n.wait(r, func() { n.advance(r, answer, seen, attempt) })
	}
}

func (n *node) wait(r *pendingRead, f func()) {
	n.after(0.2+n.w.rand.Float64(), func() {
		select {
		case <-r.wake:
		case <-r.session.ctx.Done():
		default:
			n.wait(r, f)
			return
		}
		f()
	})
}

// load is the state machine's part of a load.
func (n *node) load(answer int, s *session, l *load, attempt int) {
	switch {
	case n.revision >= l.floor:
		value, view := n.value(answer), n.revision
		revision := value
		if answer >= simKeys {
			revision = view
		}
		n.after(n.w.rand.ExpFloat64()*2, func() { s.finishLoad(l, bodyOf(value), revision, view, nil) })
	case attempt > 2000:
		s.finishLoad(l, nil, 0, 0, fmt.Errorf("revision %d is not applied here", l.floor))
	default:
		n.after(1, func() { n.load(answer, s, l, attempt+1) })
	}
}

// evict drops one slot as a sweep would. The simulation chooses the slot, so that runs
// are the same each time.
func (n *node) evict(answer int, itsTag bool) {
	s := n.frontend.session.Load()
	if s == nil {
		return
	}
	key, tag := keyOf(answer)
	if itsTag && tag != "" {
		key = tag
	}
	r := s.records
	r.mu.Lock()
	defer r.mu.Unlock()
	shard := r.shard(key)
	kept := maps.Clone(*shard.Load())
	if one := kept[key]; one != nil && one.load == nil {
		delete(kept, key)
		r.forget(one)
		shard.Store(&kept)
	}
}
