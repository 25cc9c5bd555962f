package cache

// ask has a direct answer made. A moment passes between any two steps of it, for the process may be stopped anywhere.
func (n *node) ask(answer int, seen uint64, attempt int) {
	if n.w.rules.has(MutationFloorBeforeLease) {
		n.askBackwards(answer, seen, attempt)
		return
	}
	l, ok := n.frontend.CheckLease()
	if !ok {
		n.askAgain(answer, attempt)
		return
	}
	n.moment(func() { n.make(l, l.Floor(), answer, seen, attempt) })
}

// askBackwards breaks the rule of the order.
func (n *node) askBackwards(answer int, seen uint64, attempt int) {
	l, _ := n.frontend.CheckLease()
	if l.session == nil {
		n.askAgain(answer, attempt)
		return
	}
	floor := l.Floor()
	n.moment(func() {
		l, ok := n.frontend.CheckLease()
		if !ok {
			n.askAgain(answer, attempt)
			return
		}
		n.make(l, floor, answer, seen, attempt)
	})
}

func (n *node) askAgain(answer, attempt int) {
	if attempt < 10 {
		n.after(4, func() { n.ask(answer, n.w.seen, attempt+1) })
	}
}

// moment is as good as nothing, most of the time.
func (n *node) moment(f func()) {
	d := n.w.rand.ExpFloat64() * 0.01
	if n.w.chance(0.05) {
		d = n.w.rand.Float64() * 50
	}
	n.after(d, f)
}

// make makes the answer as soon as the state machine is where it must be.
func (n *node) make(l LeaseCheck, floor uint64, answer int, seen uint64, attempt int) {
	if n.revision < floor {
		n.w.counts.directWaits++
		n.after(2, func() { n.make(l, floor, answer, seen, attempt) })
		return
	}
	value := n.value(answer)
	n.moment(func() { n.give(l, value, answer, seen, attempt) })
}

// give gives the answer as soon as it may be seen.
func (n *node) give(l LeaseCheck, value uint64, answer int, seen uint64, attempt int) {
	switch {
	case l.Visible(value):
		n.w.counts.direct++
		n.w.returned(n, answer, value, seen, "direct")
	case l.ended():
		n.w.counts.directAgain++
		n.ask(answer, seen, attempt)
	default:
		n.w.counts.directWaits++
		n.after(0.2+n.w.rand.Float64(), func() { n.give(l, value, answer, seen, attempt) })
	}
}
