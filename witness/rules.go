package witness

import (
	"slices"
	"time"
)

// mayCosign is rule R3: only what is proven, and only the own last report.
func (n *Node) mayCosign() bool {
	return n.Agrees() && !n.forgot && n.state.reported == n.top && n.state.cosigned.Size < n.top.Size
}

// mayReport is the rules R1, R2 and R4: each size once, only rising, and only a history that
// has the last round cosigned here, or a higher proven one that contradicts it.
func (n *Node) mayReport(now time.Time) bool {
	if len(n.rounds) == 0 || n.leaving || n.forgot {
		return false
	}
	size := n.toReport(now)
	_, known := n.own(size)
	return known && size > n.state.reported.Size && (n.holds || n.agreed.Size > n.state.cosigned.Size)
}

// toReport returns the size of the round to report now, or 0. One report is under way at a
// time. If it is not proven in time, frontends must come together on one size again: one
// that waits joins a higher report of another before the longest waiting makes a new one.
func (n *Node) toReport(now time.Time) uint64 {
	newest, last, proven := min(n.newest().Size, n.limit()), n.state.reported.Size, n.top.Size
	since := n.reportedAt
	if n.progressAt.After(since) && proven < last {
		since = n.progressAt // others come nearer
	}
	switch waited := now.Sub(since); {
	case n.newest().Size <= proven && n.agreed != n.top:
		return 0 // it is behind, or astray
	case proven > last && n.agreed == n.top:
		return proven // so that it can be cosigned here as well
	case proven >= last || waited >= 2*SealInterval:
		return newest
	case waited >= SealInterval:
		highest := uint64(0)
		for _, s := range n.seats {
			if s.newest.Size <= newest && s.evidence == nil {
				highest = max(highest, s.newest.Size)
			}
		}
		return highest
	}
	return 0
}

// limit returns the largest size to report: little more than what is proven, or than what
// others have reported. Otherwise a corrupt master could lead one frontend far ahead, which
// could report nothing until all others are there.
func (n *Node) limit() uint64 { return max(n.top.Size, n.others()) + maxAhead }

// others returns the largest size that so many others have reported that one is honest.
func (n *Node) others() uint64 {
	var sizes []uint64
	for _, s := range n.seats {
		if s != n.self {
			sizes = append(sizes, s.newest.Size)
		}
	}
	slices.Sort(sizes)
	if i := len(sizes) - 1 - Corrupt(len(n.seats)); i >= 0 {
		return sizes[i]
	}
	return 0
}

// mayRenew is the rules R5 and R6: a new time only for the largest size cosigned, and only
// while nothing that was applied after it has waited for long.
func (n *Node) mayRenew(now time.Time) bool {
	return n.state.cosigned.Size > 0 && n.holds && n.Agrees() && !n.forgot &&
		now.Sub(n.cosignedAt) >= renewAfter &&
		(n.oldestWaiting().IsZero() || now.Sub(n.oldestWaiting()) < maxWaiting)
}

// oldestWaiting returns when the oldest entry was applied that is in no round cosigned
// here, or the zero time.
func (n *Node) oldestWaiting() time.Time {
	for _, r := range n.rounds {
		if r.Size > n.state.cosigned.Size {
			return r.since
		}
	}
	return n.unsealed
}

// wake returns when a rule may allow more, without further input.
func (n *Node) wake(now time.Time) time.Time {
	next := now.Add(renewAfter)
	for _, at := range []time.Time{
		n.reportedAt.Add(SealInterval), n.reportedAt.Add(2 * SealInterval),
		n.progressAt.Add(SealInterval), n.progressAt.Add(2 * SealInterval), n.cosignedAt.Add(renewAfter),
	} {
		if at.After(now) && at.Before(next) {
			next = at
		}
	}
	return next
}
