package cache

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// The simulation drives the real Master and Frontend in virtual time, through delays,
// lost messages, pauses, crashes, network partitions, drifting clocks, elections,
// membership changes, hand-overs and switches between push and pull mode. A world is
// determined by its seed alone.
//
// The store as a whole is linearizable if each read returns the value that its key had at
// some revision that is not before the newest one that was seen by an operation which
// ended before the read began, and not after the read's end. Each value is the revision
// that wrote it, so it is enough to keep the newest revision that any operation has seen.

const (
	simKeys  = 5 // records; each is a bit in the mask of an event
	simLists = 2 // answers that are made of many records, each with its own tag
)

// listMasks are the records that each list is made of.
var listMasks = [simLists]uint{0b00111, 0b11100}

type simEvent struct {
	at  float64
	seq int
	f   func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = simEvent{}
	*q = old[:len(old)-1]
	return last
}

// simPlan is what happens in a world.
type simPlan struct {
	mutation Mutation
	span     float64 // ms
	// boundRecords limits the frontends' memory. What is evicted then differs from run to
	// run, because the hashes do.
	boundRecords bool
	// ownVoteElections repeats the rare case in which only a master's own acks tell the
	// next master of a lease. See electWithOwnVote.
	ownVoteElections bool
	direct           bool // all answers are direct ones
}

type world struct {
	simPlan
	rand  *rand.Rand
	now   float64 // ms
	queue simQueue
	seq   int
	nodes []*node
	cut   [][]bool // cut[a][b]: nothing that a sends reaches b
	first config   // the configuration before any change

	meanDelay float64 // of a message, ms
	maxBytes  int     // bytes of a frontend's records

	events     []uint                       // the records that each revision changed; events[0] is revision 1
	changes    [simKeys + simLists][]uint64 // the revisions that changed each answer
	newestSeen uint64                       // the newest revision that any finished operation has seen
	violations []string
	counts     simCounts
}

// simCounts counts what happened, to show that the checker had something to check.
type simCounts struct {
	reads, acks, loads, waits, lists, own        int
	direct, directWaits, directRetries           int // retries: after the end of a session
	memberChanges, handOvers, handOversCancelled int
	pullModes, masters                           int
}

func (c *simCounts) add(o simCounts) {
	c.reads += o.reads
	c.acks += o.acks
	c.loads += o.loads
	c.waits += o.waits
	c.lists += o.lists
	c.own += o.own
	c.direct += o.direct
	c.directWaits += o.directWaits
	c.directRetries += o.directRetries
	c.memberChanges += o.memberChanges
	c.handOvers += o.handOvers
	c.handOversCancelled += o.handOversCancelled
	c.pullModes += o.pullModes
	c.masters += o.masters
}

func newWorld(seed uint64, plan simPlan) *world {
	w := &world{simPlan: plan, rand: rand.New(rand.NewPCG(seed, 7))}
	w.meanDelay = []float64{0.2, 1, 8}[w.rand.IntN(3)]
	w.maxBytes = 1 << 20
	if plan.boundRecords {
		w.maxBytes = []int{1500, 3000, 6000}[w.rand.IntN(3)]
	}
	count := 3 + w.rand.IntN(3)
	voters := uint(0b111)
	if count > 3 && w.rand.IntN(3) == 0 {
		voters = 0b1111
	}
	w.first = config{members: voters, voters: voters}
	for i := range count {
		w.cut = append(w.cut, make([]bool, count))
		w.nodes = append(w.nodes, newNode(w, i))
	}
	for _, n := range w.nodes {
		n.boot()
	}
	return w
}

func (w *world) at(in float64, f func()) {
	w.seq++
	heap.Push(&w.queue, simEvent{w.now + in, w.seq, f})
}

func (w *world) run() {
	w.clients()
	w.at(400, w.injectFault)
	w.at(w.rand.Float64()*300, w.driftClocks)
	if w.ownVoteElections {
		w.at(100, w.electWithOwnVote)
	}
	w.at(300, w.operate)
	for len(w.queue) > 0 && w.now < w.span && len(w.violations) == 0 {
		e := heap.Pop(&w.queue).(simEvent)
		w.now = e.at
		e.f()
	}
}

func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

func (w *world) delay() float64 {
	d := w.rand.ExpFloat64() * w.meanDelay
	if w.chance(0.005) {
		d += w.rand.Float64() * 300
	}
	return d
}

// noteApplied notes what an event changed, when the first node applies it. The others
// must agree.
func (w *world) noteApplied(revision uint64, mask uint) {
	if revision <= uint64(len(w.events)) {
		if w.events[revision-1] != mask {
			w.violation("the simulation's Raft is broken: revision %d changed %b at one node and %b at another",
				revision, w.events[revision-1], mask)
		}
		return
	}
	w.events = append(w.events, mask)
	for a := range w.changes {
		if mask&maskOf(a) != 0 {
			w.changes[a] = append(w.changes[a], revision)
		}
	}
}

// maskOf returns the records that an answer is made of. The records come first, then the
// lists.
func maskOf(answer int) uint {
	if answer < simKeys {
		return 1 << answer
	}
	return listMasks[answer-simKeys]
}

// lastChange returns the last revision, up to at, that changed an answer.
func (w *world) lastChange(answer int, at uint64) uint64 {
	list := w.changes[answer]
	i := sort.Search(len(list), func(i int) bool { return list[i] > at })
	if i == 0 {
		return 0
	}
	return list[i-1]
}

// checkRead checks the value of a read that began when seen was the newest revision seen.
func (w *world) checkRead(n *node, answer int, value, seen uint64, how string) {
	w.counts.reads++
	if answer >= simKeys {
		w.counts.lists++
	}
	switch how {
	case Load:
		w.counts.loads++
	case Wait:
		w.counts.waits++
	}
	if n.leadership != nil {
		w.counts.own++
	}
	if least := w.lastChange(answer, seen); value < least {
		w.violation("%.1f ms: %s returned answer %d as of revision %d (%s), but %d was seen before, "+
			"and %d had changed it", w.now, n.name, answer, value, how, seen, least)
	}
	w.newestSeen = max(w.newestSeen, value)
}

func (w *world) violation(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// clients reads anywhere and writes at masters, again and again.
func (w *world) clients() {
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	switch {
	case w.chance(0.3):
		n.run(n.gen, n.write)
	default:
		answer, seen := w.rand.IntN(simKeys+simLists), w.newestSeen
		if w.direct || w.chance(0.2) {
			n.run(n.gen, func() { n.directRead(answer, seen, 0) })
			break
		}
		n.run(n.gen, func() { n.read(answer, seen, 0) })
	}
	if w.chance(0.05) {
		n.run(n.gen, func() { n.evict(w.rand.IntN(simKeys+simLists), w.chance(0.5)) })
	}
	w.at(w.rand.ExpFloat64()*2, w.clients)
}

// driftClocks changes the speed of the clocks, within the bound.
func (w *world) driftClocks() {
	for _, n := range w.nodes {
		n.clockBase, n.clockAt = n.clock(), w.now
		n.rate = 1 - drift/2 + w.rand.Float64()*drift
		if w.chance(0.3) {
			n.rate = []float64{1 - drift/2, 1 + drift/2}[w.rand.IntN(2)]
		}
	}
	w.at(w.rand.Float64()*600, w.driftClocks)
}

func (w *world) heal() {
	for a := range w.cut {
		clear(w.cut[a])
	}
}

// injectFault breaks one thing, at a master more often than elsewhere.
func (w *world) injectFault() {
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	if w.chance(0.5) {
		for _, other := range w.nodes {
			if other.role == leader && other.up {
				n = other
			}
		}
	}
	switch w.rand.IntN(7) {
	case 0:
		if n.up {
			n.crash()
			w.at(w.rand.Float64()*300, n.boot)
		}
	case 1, 2:
		n.pausedTill = w.now + w.rand.Float64()*[]float64{100, 400, 900}[w.rand.IntN(3)]
	case 3, 4:
		w.cutOff(n)
	case 5:
		w.heal()
	case 6:
		if r := n.leadership; r != nil {
			for _, c := range r.conns {
				if c != nil && w.chance(0.5) {
					c.fail()
				}
			}
		}
	}
	if w.chance(0.5) {
		w.at(w.rand.Float64()*400, w.heal)
	}
	w.at(w.rand.Float64()*400, w.injectFault)
}

func (w *world) cutOff(n *node) {
	for b := range w.nodes {
		if b != n.id && w.chance(0.7) {
			w.cut[n.id][b] = w.cut[n.id][b] || w.chance(0.5)
			w.cut[b][n.id] = w.cut[b][n.id] || w.chance(0.5)
		}
	}
}

func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// electWithOwnVote keeps one voter from acking for longer than a lease, and then lets it
// win an election with the master's vote, while a third voter, which did ack, is cut off.
// So only the master's own acks tell the new master of the lease.
func (w *world) electWithOwnVote() {
	w.at(700+w.rand.Float64()*300, w.electWithOwnVote)
	order := w.rand.Perm(len(w.nodes))
	var reign *leadership
	for _, n := range w.nodes {
		if n.role == leader && n.leadership != nil {
			reign = n.leadership
		}
	}
	if reign == nil {
		return
	}
	order = slices.DeleteFunc(order, func(i int) bool { return i == reign.node.id })
	heir, other := w.nodes[order[0]], w.nodes[order[1]]
	strike := w.now + 210 + w.rand.Float64()*50
	var silence func()
	silence = func() {
		if c := reign.conns[heir.id]; c != nil {
			c.fail()
		}
		if w.now < strike {
			w.at(5, silence)
			return
		}
		for i := range w.nodes {
			w.cut[other.id][i], w.cut[i][other.id] = true, true
		}
		heir.run(heir.gen, heir.campaign)
		w.at(250, w.heal)
	}
	silence()
}
