package cache

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// The simulation drives the real Master and Frontend through worlds of delays, losses, pauses, crashes, cuts, drifting clocks, elections, changes of the
// members, hand-overs and switches between push and pull. A world follows from its seed alone.
//
// The store is linearizable as a whole if each read returns of its key what was true at some revision that is neither before the newest
// that was seen by an operation which ended before the read began, nor after the read's end. As values are known by the revision that wrote them, it is
// enough to keep the newest revision seen.

const (
	simKeys  = 5 // records; a bit of an event's mask each
	simLists = 2 // answers that are made of many records, each with its tag
)

// listMasks tells which records a list is made of.
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

// simPlan is what may happen in a world.
type simPlan struct {
	rules  Mutation
	span   float64 // ms
	quiet  bool    // no faults
	bound  bool    // the frontends' records are bounded; what goes is then not the same each time, for hashes are not
	coups  bool    // the rare case in which nothing but a master's own acks tells of a lease, over and over
	always bool    // no change of members, no handing over, no pull: only what breaks
	direct bool    // all answers are direct ones
}

type world struct {
	simPlan
	rand  *rand.Rand
	now   float64 // ms
	queue simQueue
	seq   int
	nodes []*node
	cut   [][]bool // cut[a][b]: nothing of a's reaches b
	first config   // of the members

	meanDelay float64 // of a message, ms
	most      int     // bytes of a frontend's records

	events  []uint                       // by revision, less one: the records changed
	changes [simKeys + simLists][]uint64 // the revisions that changed each answer
	seen    uint64                       // the newest revision that any finished operation has seen
	watch   func()                       // called after each event, if it is there
	stale   []string                     // what went wrong
	counts  simCounts
}

// simCounts tell that something was checked at all.
type simCounts struct {
	reads, acks, loads, waits, lists, own, members, handed, resumed, pulls, masters int
	direct, directWaits, directAgain                                                int // again: for the session had ended
}

func (c *simCounts) add(o simCounts) {
	c.reads, c.acks, c.loads, c.waits, c.lists, c.own = c.reads+o.reads, c.acks+o.acks, c.loads+o.loads, c.waits+o.waits, c.lists+o.lists, c.own+o.own
	c.direct, c.directWaits, c.directAgain = c.direct+o.direct, c.directWaits+o.directWaits, c.directAgain+o.directAgain
	c.members, c.handed, c.resumed, c.pulls, c.masters = c.members+o.members, c.handed+o.handed, c.resumed+o.resumed, c.pulls+o.pulls, c.masters+o.masters
}

func newWorld(seed uint64, plan simPlan) *world {
	w := &world{simPlan: plan, rand: rand.New(rand.NewPCG(seed, 7))}
	w.meanDelay = []float64{0.2, 1, 8}[w.rand.IntN(3)]
	w.most = 1 << 20
	if plan.bound {
		w.most = []int{1500, 3000, 6000}[w.rand.IntN(3)]
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
	if !w.quiet {
		w.at(400, w.fault)
		w.at(w.rand.Float64()*300, w.driftClocks)
	}
	if w.coups {
		w.at(100, w.coup)
	}
	if !w.always {
		w.at(300, w.govern)
	}
	for len(w.queue) > 0 && w.now < w.span && len(w.stale) == 0 {
		e := heap.Pop(&w.queue).(simEvent)
		w.now = e.at
		e.f()
		if w.watch != nil {
			w.watch()
		}
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

// applied notes what an event changed, by the first node that applies it; the others must agree.
func (w *world) applied(revision uint64, mask uint) {
	if revision <= uint64(len(w.events)) {
		if w.events[revision-1] != mask {
			w.wrong("the simulation's Raft is broken: revision %d changed %b and %b", revision, w.events[revision-1], mask)
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

// maskOf are the records that an answer is made of: records come first, then the lists.
func maskOf(answer int) uint {
	if answer < simKeys {
		return 1 << answer
	}
	return listMasks[answer-simKeys]
}

// lastChange is the last revision up to at that changed an answer.
func (w *world) lastChange(answer int, at uint64) uint64 {
	list := w.changes[answer]
	i := sort.Search(len(list), func(i int) bool { return list[i] > at })
	if i == 0 {
		return 0
	}
	return list[i-1]
}

// returned checks the value of a read that began when seen was the newest revision seen.
func (w *world) returned(n *node, answer int, value, seen uint64, how string) {
	w.counts.reads++
	switch {
	case answer >= simKeys:
		w.counts.lists++
	}
	switch how {
	case Load:
		w.counts.loads++
	case Wait:
		w.counts.waits++
	}
	if n.reign != nil {
		w.counts.own++
	}
	if least := w.lastChange(answer, seen); value < least {
		w.wrong("%.1f ms: %s gave answer %d of revision %d (%s), but %d was seen, and %d had changed it", w.now, n.name, answer, value, how, seen, least)
	}
	w.seen = max(w.seen, value)
}

func (w *world) wrong(format string, args ...any) {
	w.stale = append(w.stale, fmt.Sprintf(format, args...))
}

// clients read anywhere and write at masters.
func (w *world) clients() {
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	switch {
	case w.chance(0.3):
		n.run(n.gen, n.write)
	default:
		answer, seen := w.rand.IntN(simKeys+simLists), w.seen
		if w.direct || w.chance(0.2) {
			n.run(n.gen, func() { n.ask(answer, seen, 0) })
			break
		}
		n.run(n.gen, func() { n.read(answer, seen, 0) })
	}
	if w.chance(0.05) {
		n.run(n.gen, func() { n.evict(w.rand.IntN(simKeys+simLists), w.chance(0.5)) })
	}
	w.at(w.rand.ExpFloat64()*2, w.clients)
}

// driftClocks lets clocks change their pace, within the bound.
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

// fault lets one thing break, at a master more often than elsewhere.
func (w *world) fault() {
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	if w.chance(0.5) {
		for _, other := range w.nodes {
			if other.role == leads && other.up {
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
		if r := n.reign; r != nil {
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
	w.at(w.rand.Float64()*400, w.fault)
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

// coup keeps one voter from acking for longer than a lease, and then lets it win an election with the master's vote, while a third, which did ack, hears
// nothing of that.
func (w *world) coup() {
	w.at(700+w.rand.Float64()*300, w.coup)
	order := w.rand.Perm(len(w.nodes))
	var reign *reign
	for _, n := range w.nodes {
		if n.role == leads && n.reign != nil {
			reign = n.reign
		}
	}
	if reign == nil {
		return
	}
	order = slices.DeleteFunc(order, func(i int) bool { return i == reign.n.id })
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
