package witness

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// front is an honest frontend: what has a disk, a Raft log and a process in the real one.
type front struct {
	world   *world
	key     *Key
	saved   []byte
	log     []Head // its history, which is on the disk
	applied map[uint64]time.Time
	node    *Node
	wake    int // counts starts and outputs
	fed     time.Time
	said    map[uint64]Head
}

func (f *front) up() bool { return f.node != nil }

func (f *front) head() Head {
	if len(f.log) == 0 {
		return Head{}
	}
	return f.log[len(f.log)-1]
}

// better reports whether f rather than g is a master that others can follow.
func (f *front) better(g *front) bool {
	if f.node.holds != g.node.holds {
		return f.node.holds
	}
	a, b := f.node.state.cosigned.Size, g.node.state.cosigned.Size
	return a > b || a == b && len(f.log) > len(g.log)
}

func (f *front) start() {
	w := f.world
	policy := *w.policy
	switch w.broken {
	case breakTwoReports, breakUnproven:
		policy.Quorum = 3
	case breakAmnesia:
		f.saved = nil
	}
	node, err := NewNode(f.key, &policy, f.saved)
	if err != nil {
		w.failed("%s does not start: %v", f.key.name, err)
		return
	}
	switch w.broken {
	case breakTwoReports:
		policy.Quorum = 2
	case breakUnproven:
		policy.Quorum = 1
	}
	f.node, f.applied, f.said = node, map[uint64]time.Time{}, map[uint64]Head{}
	f.wake++
	for _, h := range f.log {
		if h.Size >= node.Needs() {
			if !f.do(func() Output { return node.Sealed(h, w.now, w.now) }) {
				return
			}
		}
	}
	f.do(func() Output { return node.Tick(w.now) })
}

func (f *front) crash(down time.Duration) {
	f.node = nil
	f.wake++
	f.world.counts.crashes++
	f.world.after(down, func() {
		if !f.up() {
			f.start()
		}
	})
}

// feed lets what Raft gives happen in order.
func (f *front) feed(do func()) {
	if f.world.now.After(f.fed) {
		f.fed = f.world.now
	}
	f.fed = f.fed.Add(time.Microsecond)
	f.world.after(f.fed.Sub(f.world.now), func() {
		if f.up() {
			do()
		}
	})
}

// entries applies entries that are not sealed yet.
func (f *front) entries() {
	size := f.head().Size + 1
	if _, ok := f.applied[size]; !ok {
		f.applied[size] = f.world.now
		f.node.Unsealed(f.world.now)
	}
}

func (f *front) seal(content byte) { f.append(f.world.next(f.head(), content)) }

// sealAll is the seal of a master, and of those that it makes because it must.
func (f *front) sealAll(content byte) {
	f.seal(content)
	for f.up() && f.node.WantsSeal(f.world.now) {
		f.seal(content)
	}
}

func (f *front) append(h Head) {
	since, ok := f.applied[h.Size]
	if !ok {
		since = f.world.now
		f.applied[h.Size] = since
	}
	f.log = append(f.log, h)
	f.node.Unsealed(time.Time{})
	f.do(func() Output { return f.node.Sealed(h, since, f.world.now) })
}

// follow takes what an honest master has. What contradicts it is discarded, but nothing
// that this frontend has cosigned, unless the master has a higher proven round: otherwise
// it refuses the master.
func (f *front) follow(master *front) {
	if !master.up() {
		return
	}
	same := 0
	for same < min(len(f.log), len(master.log)) && f.log[same] == master.log[same] {
		same++
	}
	if same < len(f.log) && same < len(master.log) {
		n := f.node
		cosigned, top := int(n.state.cosigned.Size), int(n.top.Size)
		refuted := top > cosigned && top <= len(master.log) && master.log[top-1] == n.top
		if cosigned <= same || !n.holds || refuted {
			f.goBack(same)
		}
		return
	}
	for _, h := range master.log[same:] {
		if !f.up() {
			return
		}
		if h.Size == f.head().Size+1 {
			f.append(h)
		}
	}
}

// rewrite is what happens if a corrupt master rewrites the log. Nothing that was cosigned is
// given up for that, which belongs to R2.
func (f *front) rewrite() {
	kept := int(f.node.state.cosigned.Size)
	if len(f.log) > kept {
		f.goBack(kept + f.world.rand.IntN(len(f.log)-kept))
	}
}

// goBack discards what is behind a round, and starts again.
func (f *front) goBack(size int) {
	f.world.counts.goneBack++
	f.log = f.log[:min(size, len(f.log))]
	f.crash(f.world.between(50*time.Millisecond, 200*time.Millisecond))
}

func (f *front) receive(notes [][]byte) {
	if f.up() {
		f.do(func() Output {
			out, _ := f.node.Receive(notes, f.world.now)
			return out
		})
	}
}

// do lets the node make a step, saves, and sends. It reports false if the frontend is down
// afterwards.
func (f *front) do(step func() Output) bool {
	w := f.world
	f.bend()
	out := step()
	if !w.calm && out.Send != nil && w.chance(w.crashes) {
		if w.chance(0.5) && out.Save != nil { // it crashes before or after saving
			f.saved = out.Save
		}
		f.crash(w.between(0, w.down))
		return false
	}
	if out.Save != nil && (w.broken != breakSaving || w.chance(0.1)) {
		f.saved = bytes.Clone(out.Save)
	}
	f.sent(out)
	f.wake++
	wake := f.wake
	w.after(max(out.Wake.Sub(w.now), time.Millisecond), func() {
		if f.wake == wake && f.up() {
			f.do(func() Output { return f.node.Tick(w.now) })
		}
	})
	return f.look()
}

// sent notes and sends what the node says.
func (f *front) sent(out Output) {
	if out.Send == nil {
		return
	}
	w := f.world
	for _, c := range f.extra() {
		f.node.say(cosignatureType, c, w.now)
		w.noteCosigned(f, c)
		out.Send = append(out.Send, f.node.self.note(w.policy.Origin(), cosignatureType, c))
	}
	if n := f.node; n.cosignedAt.Equal(w.now) && n.state.cosigned.Size > 0 {
		w.noteCosigned(f, n.state.cosigned)
	}
	w.send(f, out.Send)
}

// look acts on what the node found.
func (f *front) look() bool {
	w := f.world
	for _, v := range f.node.Verdicts() {
		switch v.Fault {
		case Convicted:
			w.counts.convicted++
			names, err := Evidence(w.policy, v.Evidence[0], v.Evidence[1])
			if err != nil || len(names) != 1 || names[0] != v.Frontend {
				w.failed("the evidence against %s is of %q: %v", v.Frontend, names, err)
			}
			if v.Frontend != w.liar.front.key.name {
				w.failed("%s convicted %s, which is honest", f.key.name, v.Frontend)
			}
		case Forgot:
			if w.broken == breakNothing {
				w.failed("%s thinks that it has forgotten something", f.key.name)
			}
		case Diverged:
			w.counts.diverged++
		case Split:
			w.counts.split++
		case Silent:
			w.counts.silent++
		}
	}
	if to, must := f.node.GoBack(); must {
		if !f.node.holds {
			to.Size = 0 // it has followed a higher proven round, away from what it cosigned
		}
		f.goBack(int(to.Size))
		return false
	}
	return true
}

// bend breaks a rule before a step, in the state of the node.
func (f *front) bend() {
	n := f.node
	n.forgot = n.forgot && f.world.broken == breakNothing // what guards against broken rules
	switch f.world.broken {
	case breakOnce:
		if n.state.cosigned != n.state.reported && f.world.chance(0.2) {
			n.state.reported = n.state.cosigned
			n.self.newest = Head{}
		}
	case breakWaiting:
		for i := range n.rounds {
			n.rounds[i].since = f.world.now
		}
		n.unsealed = time.Time{}
	}
}

// extra returns what a frontend cosigns beside what the rules allow. It is sorted, because a
// world is determined by its seed.
func (f *front) extra() (all []Head) {
	n := f.node
	switch f.world.broken {
	case breakLate:
		for _, h := range slices.SortedFunc(maps.Keys(n.self.reports), compareHeads) {
			if root, ok := n.proven[h.Size]; ok && root == h.Root {
				if _, done := n.self.cosigned[h]; !done {
					all = append(all, h)
				}
			}
		}
	case breakOlderTimes:
		for _, h := range slices.SortedFunc(maps.Keys(n.self.cosigned), compareHeads) {
			if h.Size < n.state.cosigned.Size {
				all = append(all, h)
			}
		}
	}
	return all
}
