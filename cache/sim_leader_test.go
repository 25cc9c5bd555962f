package cache

import "time"

var simTimings = Timings{Beat: 20 * time.Millisecond, Lease: 200 * time.Millisecond, AckTimeout: 40 * time.Millisecond}

// reign is a node's time as master, and what package cluster does around a Master.
type reign struct {
	n       *node
	master  *Master
	own     *Link
	barrier int // the length of the log with which all that was committed before is committed
	ready   bool
	ending  bool // Raft knows that it is over
	over    bool
	confAt  int // of the configuration that the master was told
	conf    config
	conns   []*conn // by node
	streams uint64
	unacked []uint64 // revisions whose bards wait
	pushing bool
	changes bool // of the members are on their way
}

func (n *node) takeOver(barrier int) {
	if n.reign != nil {
		n.reign.end()
	}
	n.w.counts.masters++
	r := &reign{n: n, barrier: barrier, confAt: n.confAt, conf: n.config(), conns: make([]*conn, len(n.w.nodes))}
	r.master = NewMaster(n.name, uint64(n.term), r.members(), simTimings, true, n.w.rules)
	n.reign = r
	r.own = n.frontend.Open(true)
	r.streams = 1
	r.update(func(now time.Duration) { r.master.StreamOpened(n.name, 1, now) })
	r.keepStreams()
	r.tick()
}

func (r *reign) members() (list []Member) {
	for i, n := range r.n.w.nodes {
		if r.conf.members&(1<<i) != 0 {
			list = append(list, Member{n.name, r.conf.voters&(1<<i) != 0})
		}
	}
	return list
}

func (r *reign) end() {
	if r.over {
		return
	}
	r.over = true
	if r.n.reign == r {
		r.n.reign = nil
	}
	r.own.Close()
	for _, c := range r.conns {
		if c != nil {
			c.fail()
		}
	}
}

// update makes a step of the protocol, sends what it gives, and answers the bards who may be told.
func (r *reign) update(step func(now time.Duration)) {
	if r.over {
		return
	}
	step(r.n.clock())
	for out := r.master.Outbox(); len(out) > 0; out = r.master.Outbox() {
		for _, o := range out {
			r.deliver(o)
		}
	}
	for len(r.unacked) > 0 && r.unacked[0] <= r.master.Released() {
		r.n.w.seen = max(r.n.w.seen, r.unacked[0])
		r.n.w.counts.acks++
		r.unacked = r.unacked[1:]
	}
}

func (r *reign) deliver(o Outgoing) {
	if o.Member != r.n.name {
		for i, n := range r.n.w.nodes {
			if c := r.conns[i]; n.name == o.Member && c != nil && c.number == o.Stream {
				c.transmit(&c.down, o.Message)
			}
		}
		return
	}
	answer, err := r.own.Receive(o.Message, uint64(r.n.term))
	switch {
	case err != nil:
		r.master.StreamLost(o.Member, o.Stream, r.n.clock())
	case answer != nil:
		r.master.Receive(o.Member, o.Stream, answer, r.n.clock())
	}
}

func (r *reign) tick() {
	if r.over {
		return
	}
	var next time.Duration
	r.update(func(now time.Duration) { next = r.master.Tick(now) - now })
	r.n.after(max(0.3, float64(next)/1e6), r.tick)
	if r.n.confAt != r.confAt && !r.changes {
		r.changes = true
		r.n.after(r.n.w.rand.Float64()*20, r.configure)
	}
}

// configure tells the master the latest configuration.
func (r *reign) configure() {
	r.changes, r.confAt, r.conf = false, r.n.confAt, r.n.config()
	r.update(func(now time.Duration) { r.master.SetMembers(r.members(), now) })
	r.keepStreams()
}

// keepStreams opens the streams that should be there, and closes those to former members.
func (r *reign) keepStreams() {
	for i, to := range r.n.w.nodes {
		c, member := r.conns[i], r.conf.members&(1<<i) != 0
		switch {
		case to == r.n:
		case c != nil && !member:
			c.fail()
		case c == nil && member:
			r.dial(i, to)
		}
	}
}

func (r *reign) dial(i int, to *node) {
	w := r.n.w
	if r.over {
		return
	}
	if w.cut[r.n.id][i] || w.cut[i][r.n.id] || !to.up {
		r.n.after(25, func() {
			if r.conns[i] == nil && r.conf.members&(1<<i) != 0 {
				r.dial(i, to)
			}
		})
		return
	}
	r.streams++
	c := &conn{r: r, to: to, gen: to.gen, number: r.streams, link: to.frontend.Open(false)}
	c.down = pipe{from: r.n.id, to: i, take: c.toFrontend}
	c.up = pipe{from: i, to: r.n.id, take: c.toMaster}
	r.conns[i] = c
	r.update(func(now time.Duration) { r.master.StreamOpened(to.name, c.number, now) })
}

// applied brings what the state machine has applied to the master, a little later and many revisions at once.
func (r *reign) applied() {
	if !r.ready {
		if r.n.appliedTo < r.barrier {
			return
		}
		r.ready = true
		r.update(func(now time.Duration) { r.master.Ready(r.n.revision, now) })
	}
	if !r.pushing {
		r.pushing = true
		r.n.after(r.n.w.rand.ExpFloat64()*0.5, r.push)
	}
}

func (r *reign) push() {
	r.pushing = false
	n, m := r.n, r.master
	if r.over || n.revision <= m.pushed {
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

// conn is a stream between a master and a frontend. It keeps the order and loses nothing until it breaks, of which the two ends hear at
// times of their own.
type conn struct {
	r        *reign
	to       *node
	gen      int
	number   uint64
	link     *Link
	down, up pipe
	broken   bool
	closed   bool // the frontend's end
	lost     bool // the master's end
}

type pipe struct {
	from, to int
	last     float64
	stalled  []Message
	stalling bool
	take     func(Message)
}

func (c *conn) transmit(p *pipe, m Message) {
	w := c.r.n.w
	if c.broken {
		return
	}
	p.last = max(w.now+w.delay(), p.last+0.001)
	w.at(p.last-w.now, func() { c.arrive(p, m) })
}

func (c *conn) arrive(p *pipe, m Message) {
	w := c.r.n.w
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

// retry delivers what a cut has held up.
func (c *conn) retry(p *pipe) {
	w := c.r.n.w
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
	r.n.run(r.n.gen, func() {
		if !c.lost && !r.over {
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
	w, r := c.r.n.w, c.r
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
	gen := r.n.gen
	w.at(late(), func() {
		r.n.run(gen, func() {
			c.lost = true
			r.update(func(now time.Duration) { r.master.StreamLost(c.to.name, c.number, now) })
			if i := c.to.id; r.conns[i] == c {
				r.conns[i] = nil
				r.n.after(w.rand.Float64()*30, r.keepStreams)
			}
		})
	})
}
