package cache

import (
	"math/bits"
	"time"
)

// operate does what an operator does at the master, again and again.
func (w *world) operate() {
	for _, n := range w.nodes {
		if r := n.leadership; r != nil && n.role == leader && n.up && w.chance(0.8) {
			switch w.rand.IntN(6) {
			case 0:
				n.run(n.gen, r.switchMode)
			case 1, 2:
				n.run(n.gen, r.handOver)
			default:
				n.run(n.gen, r.changeMembers)
			}
		}
	}
	w.at(w.rand.Float64()*250, w.operate)
}

// switchMode switches to pull mode for a while.
func (r *leadership) switchMode() {
	r.node.w.counts.pullModes++
	r.update(func(now time.Duration) { r.master.SetGranting(false, now) })
	r.node.after(r.node.w.rand.Float64()*[]float64{3, 60, 300}[r.node.w.rand.IntN(3)], func() {
		r.update(func(now time.Duration) { r.master.SetGranting(true, now) })
	})
}

// handOver hands over, and then transfers leadership or takes the hand-over back.
func (r *leadership) handOver() {
	w := r.node.w
	r.update(func(now time.Duration) { r.master.BeginHandOver(now) })
	limit := w.now + w.rand.Float64()*300
	var poll func()
	poll = func() {
		switch {
		case r.ended:
		case r.master.HandedOver():
			w.counts.handOvers++
			to := w.nodes[w.rand.IntN(len(w.nodes))]
			if to != r.node && r.conf.voters&(1<<to.id) != 0 && w.chance(0.8) {
				term := r.node.term
				w.send(r.node, to, func() {
					if to.term == term {
						to.campaign()
					}
				})
			}
			r.node.after(w.rand.Float64()*100, r.resume)
		case w.now > limit:
			r.resume()
		default:
			r.node.after(1, poll)
		}
	}
	poll()
}

func (r *leadership) resume() {
	r.node.w.counts.handOversCancelled++
	r.update(func(now time.Duration) { r.master.CancelHandOver(now) })
}

// changeMembers adds, promotes or removes one member, if that may be done now.
func (r *leadership) changeMembers() {
	w := r.node.w
	i := w.rand.IntN(len(w.nodes))
	next, bit := r.conf, uint(1)<<i
	switch {
	case i == r.node.id:
		return
	case next.members&bit == 0:
		next.members |= bit
	case next.voters&bit == 0 && w.chance(0.7):
		next.voters |= bit
	case next.voters&bit != 0 && bits.OnesCount(next.voters) < 3:
		return
	case next.voters&bit != 0 && w.chance(0.3):
		next.voters &^= bit
	default:
		next.voters, next.members = next.voters&^bit, next.members&^bit
		r.dismiss(w.nodes[i], next, w.now+500)
		return
	}
	r.propose(next)
}

func (r *leadership) dismiss(who *node, next config, limit float64) {
	r.update(func(now time.Duration) { r.master.BeginRemoval(who.name, now) })
	var poll func()
	poll = func() {
		switch {
		case r.ended:
		case r.master.Removable(who.name, r.node.clock()) && r.propose(next):
		case r.node.w.now > limit:
			r.master.CancelRemoval(who.name)
		default:
			r.node.after(1, poll)
		}
	}
	poll()
}

// propose changes the configuration if the last change is committed, the master knows it,
// and no lease depends on the configuration before it.
func (r *leadership) propose(next config) bool {
	n := r.node
	known := r.confAt == n.confAt && n.commit >= n.confAt && n.commit >= r.barrier
	one := bits.OnesCount(next.voters^r.conf.voters) <= 1 && bits.OnesCount(next.members^r.conf.members) <= 1
	if r.ended || n.role != leader || !known || !one || !r.master.CanChangeVoters(n.clock()) {
		return false
	}
	n.propose(logEntry{conf: &next})
	n.w.counts.memberChanges++
	return true
}
