package cache

// directRead asks for a direct answer. Time passes between any two of its steps, because
// the process may be stopped anywhere.
func (n *node) directRead(answer int, seen uint64, attempt int) {
	if n.w.mutation.has(MutationFloorBeforeLease) {
		n.directReadFloorFirst(answer, seen, attempt)
		return
	}
	l, ok := n.frontend.CheckLease()
	if !ok {
		n.retryDirectRead(answer, attempt)
		return
	}
	n.moment(func() { n.makeDirectAnswer(l, l.Floor(), answer, seen, attempt) })
}

// directReadFloorFirst is a directRead that reads P before it checks the lease: the
// mutation MutationFloorBeforeLease.
func (n *node) directReadFloorFirst(answer int, seen uint64, attempt int) {
	l := LeaseCheck{n.frontend.session.Load()}
	if l.session == nil {
		n.retryDirectRead(answer, attempt)
		return
	}
	floor := l.Floor()
	n.moment(func() {
		l, ok := n.frontend.CheckLease()
		if !ok {
			n.retryDirectRead(answer, attempt)
			return
		}
		n.makeDirectAnswer(l, floor, answer, seen, attempt)
	})
}

func (n *node) retryDirectRead(answer, attempt int) {
	if attempt < 10 {
		n.after(4, func() { n.directRead(answer, n.w.newestSeen, attempt+1) })
	}
}

// moment calls f after a time that is mostly next to nothing.
func (n *node) moment(f func()) {
	d := n.w.rand.ExpFloat64() * 0.01
	if n.w.chance(0.05) {
		d = n.w.rand.Float64() * 50
	}
	n.after(d, f)
}

// makeDirectAnswer makes the answer as soon as the state machine has applied the floor.
func (n *node) makeDirectAnswer(l LeaseCheck, floor uint64, answer int, seen uint64, attempt int) {
	if n.revision < floor {
		n.w.counts.directWaits++
		n.after(2, func() { n.makeDirectAnswer(l, floor, answer, seen, attempt) })
		return
	}
	value := n.value(answer)
	n.moment(func() { n.returnDirectAnswer(l, value, answer, seen, attempt) })
}

// returnDirectAnswer returns the answer as soon as it is visible.
func (n *node) returnDirectAnswer(l LeaseCheck, value uint64, answer int, seen uint64, attempt int) {
	switch {
	case l.Visible(value):
		n.w.counts.direct++
		n.w.checkRead(n, answer, value, seen, "direct")
	case l.session.ctx.Err() != nil:
		n.w.counts.directRetries++
		n.directRead(answer, seen, attempt)
	default:
		n.w.counts.directWaits++
		n.after(0.2+n.w.rand.Float64(), func() { n.returnDirectAnswer(l, value, answer, seen, attempt) })
	}
}
