package cache

import "time"

var testTimings = DefaultTimings

// leadership is a node's time as master. It does what package cluster does around a
// Master.
type leadership struct {
	node          *node
	master        *Master
	ownLink       *Link
	barrier       int // the length of the log that has all that was committed in older terms
	ready         bool
	ending        bool // Raft has ended it; the push protocol learns that later
	ended         bool
	confAt        int // the log index of the configuration that the master knows
	conf          config
	conns         []*conn // by node
	streams       uint64
	unackedWrites []uint64 // the revisions whose bards wait for an ack
	pushing       bool
	changes       bool // a new configuration is on its way to the master
}

func (n *node) becomeMaster(barrier int) {
	if n.leadership != nil {
		n.leadership.end()
	}
	n.w.counts.masters++
	r := &leadership{
		node:    n,
		barrier: barrier,
		confAt:  n.confAt,
		conf:    n.config(),
		conns:   make([]*conn, len(n.w.nodes)),
	}
	r.master = NewMaster(n.name, uint64(n.term), r.members(), testTimings, true, n.w.mutation)
	n.leadership = r
	r.ownLink = n.frontend.Open(true)
	r.streams = 1
	r.update(func(now time.Duration) { r.master.StreamOpened(n.name, 1, now) })
	r.keepStreams()
	r.tick()
}

func (r *leadership) members() (list []Member) {
	for i, n := range r.node.w.nodes {
		if r.conf.members&(1<<i) != 0 {
			list = append(list, Member{n.name, r.conf.voters&(1<<i) != 0})
		}
	}
	return list
}

func (r *leadership) end() {
	if r.ended {
		return
	}
	r.ended = true
	if r.node.leadership == r {
		r.node.leadership = nil
	}
	r.ownLink.Close()
	for _, c := range r.conns {
		if c != nil {
			c.fail()
		}
	}
}

// update takes a step of the protocol, sends the messages, and acks the writes that are
// released.
func (r *leadership) update(step func(now time.Duration)) {
	if r.ended {
		return
	}
	step(r.node.clock())
	for out := r.master.Outbox(); len(out) > 0; out = r.master.Outbox() {
		for _, o := range out {
			r.deliver(o)
		}
	}
	for len(r.unackedWrites) > 0 && r.unackedWrites[0] <= r.master.Released() {
		r.node.w.newestSeen = max(r.node.w.newestSeen, r.unackedWrites[0])
		r.node.w.counts.acks++
		r.unackedWrites = r.unackedWrites[1:]
	}
}

func (r *leadership) deliver(o Outgoing) {
	if o.Member != r.node.name {
		for i, n := range r.node.w.nodes {
			if c := r.conns[i]; n.name == o.Member && c != nil && c.number == o.Stream {
				c.transmit(&c.down, o.Message)
			}
		}
		return
	}
	answer, err := r.ownLink.Receive(o.Message, uint64(r.node.term))
	switch {
	case err != nil:
		r.master.StreamLost(o.Member, o.Stream, r.node.clock())
	case answer != nil:
		r.master.Receive(o.Member, o.Stream, answer, r.node.clock())
	}
}

func (r *leadership) tick() {
	if r.ended {
		return
	}
	var next time.Duration
	r.update(func(now time.Duration) { next = r.master.Tick(now) - now })
	r.node.after(max(0.3, float64(next)/1e6), r.tick)
	if r.node.confAt != r.confAt && !r.changes {
		r.changes = true
		r.node.after(r.node.w.rand.Float64()*20, r.applyConfig)
	}
}

// applyConfig gives the master the latest configuration.
func (r *leadership) applyConfig() {
	r.changes, r.confAt, r.conf = false, r.node.confAt, r.node.config()
	r.update(func(now time.Duration) { r.master.SetMembers(r.members(), now) })
	r.keepStreams()
}

// keepStreams opens the missing streams, and closes those to former members.
func (r *leadership) keepStreams() {
	for i, to := range r.node.w.nodes {
		c, member := r.conns[i], r.conf.members&(1<<i) != 0
		switch {
		case to == r.node:
		case c != nil && !member:
			c.fail()
		case c == nil && member:
			r.dial(i, to)
		}
	}
}

func (r *leadership) dial(i int, to *node) {
	w := r.node.w
	if r.ended {
		return
	}
	if w.cut[r.node.id][i] || w.cut[i][r.node.id] || !to.up {
		r.node.after(25, func() {
			if r.conns[i] == nil && r.conf.members&(1<<i) != 0 {
				r.dial(i, to)
			}
		})
		return
	}
	r.streams++
	c := &conn{r: r, to: to, gen: to.gen, number: r.streams, link: to.frontend.Open(false)}
	c.down = pipe{from: r.node.id, to: i, take: c.toFrontend}
	c.up = pipe{from: i, to: r.node.id, take: c.toMaster}
	r.conns[i] = c
	r.update(func(now time.Duration) { r.master.StreamOpened(to.name, c.number, now) })
}

// applied passes what the state machine has applied to the master, a little later and
// many revisions at once.
func (r *leadership) applied() {
	if !r.ready {
		if r.node.appliedTo < r.barrier {
			return
		}
		r.ready = true
		r.update(func(now time.Duration) { r.master.Ready(r.node.revision, now) })
	}
	if !r.pushing {
		r.pushing = true
		r.node.after(r.node.w.rand.ExpFloat64()*0.5, r.push)
	}
}

func (r *leadership) push() {
	r.pushing = false
	n, m := r.node, r.master
	if r.ended || n.revision <= m.pushed {
		return
	}
	mask := uint(0)
	for _, changed := range n.w.events[m.pushed:n.revision] {
		mask |= changed
	}
	var records []Record
	var stale []string
	for k := range simKeys {
		key, _ := keyOf(k)
		switch {
		case mask&(1<<k) == 0:
		case m.Held(key):
			records = append(records, Record{key, n.value(k), bodyOf(n.value(k))})
		default:
			stale = append(stale, key)
		}
	}
	for list, of := range listMasks {
		if mask&of != 0 {
			stale = append(stale, tagOf(list))
		}
	}
	r.update(func(now time.Duration) { m.Push(records, stale, n.revision, now) })
}

// conn is a stream between a master and a frontend. It keeps the order and loses nothing
// until it breaks. The two ends learn of that at different times.
type conn struct {
	r        *leadership
	to       *node
	gen      int
	number   uint64
	link     *Link
	down, up pipe
	broken   bool
	closed   bool // at the frontend's end
	lost     bool // at the master's end
}

type pipe struct {
	from, to int
	last     float64
	stalled  []Message
	stalling bool
	take     func(Message)
}

func (c *conn) transmit(p *pipe, m Message) {
	w := c.r.node.w
	if c.broken {
		return
	}
	p.last = max(w.now+w.delay(), p.last+0.001)
	w.at(p.last-w.now, func() { c.arrive(p, m) })
}

func (c *conn) arrive(p *pipe, m Message) {
	w := c.r.node.w
	switch {
	case c.broken:
	case p.stalling:
		p.stalled = append(p.stalled, m)
	case w.cut[p.from][p.to] && w.chance(0.3):
		c.fail()
	case w.cut[p.from][p.to]:
		p.stalling, p.stalled = true, append(p.stalled, m)
		w.at(15, func() { c.retry(p) })
	default:
		p.take(m)
	}
}

// retry delivers what a network partition has held up.
func (c *conn) retry(p *pipe) {
	w := c.r.node.w
	if c.broken {
		return
	}
	if w.cut[p.from][p.to] {
		if w.chance(0.1) {
			c.fail()
		}
		w.at(15, func() { c.retry(p) })
		return
	}
	list := p.stalled
	p.stalling, p.stalled = false, nil
	for _, m := range list {
		p.take(m)
	}
}

func (c *conn) toFrontend(m Message) {
	c.to.run(c.gen, func() {
		if c.closed {
			return
		}
		answer, err := c.link.Receive(m, uint64(c.to.term))
		switch {
		case err != nil:
			c.fail()
		case answer != nil:
			c.transmit(&c.up, answer)
		}
	})
}

func (c *conn) toMaster(m Message) {
	r := c.r
	r.node.run(r.node.gen, func() {
		if !c.lost && !r.ended {
			r.update(func(now time.Duration) { r.master.Receive(c.to.name, c.number, m, now) })
		}
	})
}

// fail breaks the stream.
func (c *conn) fail() {
	if c.broken {
		return
	}
	c.broken = true
	w, r := c.r.node.w, c.r
	late := func() float64 {
		if w.chance(0.3) {
			return w.rand.Float64() * 600
		}
		return w.rand.Float64() * 5
	}
	w.at(late(), func() {
		c.to.run(c.gen, func() {
			c.closed = true
			c.link.Close()
		})
	})
	gen := r.node.gen
	w.at(late(), func() {
		r.node.run(gen, func() {
			c.lost = true
			r.update(func(now time.Duration) { r.master.StreamLost(c.to.name, c.number, now) })
			if i := c.to.id; r.conns[i] == c {
				r.conns[i] = nil
				r.node.after(w.rand.Float64()*30, r.keepStreams)
			}
		})
	})
}
