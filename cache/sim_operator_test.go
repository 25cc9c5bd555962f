package cache

import (
	"math/bits"
	"time"
)

// govern is what is done on purpose, at the master.
func (w *world) govern() {
	for _, n := range w.nodes {
		if r := n.reign; r != nil && n.role == leads && n.up && w.chance(0.8) {
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
	w.at(w.rand.Float64()*250, w.govern)
}

// switchMode goes to pull for a while.
func (r *reign) switchMode() {
	r.n.w.counts.pulls++
	r.update(func(now time.Duration) { r.master.SetGranting(false, now) })
	r.n.after(r.n.w.rand.Float64()*[]float64{3, 60, 300}[r.n.w.rand.IntN(3)], func() {
		r.update(func(now time.Duration) { r.master.SetGranting(true, now) })
	})
}

// handOver retires, and then transfers leadership or does not.
func (r *reign) handOver() {
	w := r.n.w
	r.update(func(now time.Duration) { r.master.BeginHandOver(now) })
	limit := w.now + w.rand.Float64()*300
	var poll func()
	poll = func() {
		switch {
		case r.over:
		case r.master.HandedOver():
			w.counts.handed++
			if to := w.nodes[w.rand.IntN(len(w.nodes))]; to != r.n && r.conf.voters&(1<<to.id) != 0 && w.chance(0.8) {
				term := r.n.term
				w.send(r.n, to, func() {
					if to.term == term {
						to.campaign()
					}
				})
			}
			r.n.after(w.rand.Float64()*100, r.resume)
		case w.now > limit:
			r.resume()
		default:
			r.n.after(1, poll)
		}
	}
	poll()
}

func (r *reign) resume() {
	r.n.w.counts.resumed++
	r.update(func(now time.Duration) { r.master.CancelHandOver(now) })
}

// changeMembers adds, promotes or removes one member, if that may be done now.
func (r *reign) changeMembers() {
	w := r.n.w
	i := w.rand.IntN(len(w.nodes))
	next, bit := r.conf, uint(1)<<i
	switch {
	case i == r.n.id:
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

func (r *reign) dismiss(who *node, next config, limit float64) {
	r.update(func(now time.Duration) { r.master.BeginRemoval(who.name, now) })
	var poll func()
	poll = func() {
		switch {
		case r.over:
		case r.master.Removable(who.name, r.n.clock()) && r.propose(next):
		case r.n.w.now > limit:
			r.master.CancelRemoval(who.name)
		default:
			r.n.after(1, poll)
		}
	}
	poll()
}

// propose changes the configuration if the last change is committed, the master knows it, and no lease stands on one before it.
func (r *reign) propose(next config) bool {
	n := r.n
	known := r.confAt == n.confAt && n.commit >= n.confAt && n.commit >= r.barrier
	one := bits.OnesCount(next.voters^r.conf.voters) <= 1 && bits.OnesCount(next.members^r.conf.members) <= 1
	if r.over || n.role != leads || !known || !one || !r.master.CanChangeVoters(n.clock()) {
		return false
	}
	n.propose(logEntry{conf: &next})
	n.w.counts.members++
	return true
}
