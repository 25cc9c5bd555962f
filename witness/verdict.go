package witness

import (
	"slices"
	"time"
)

// Fault is what a frontend, or the master of a round, is found to be.
type Fault string

const (
	// Convicted frontends have signed two roots of one size. The evidence is two notes.
	Convicted Fault = "convicted"
	// Diverged frontends have reported another history than a quorum. They may be honest and
	// misled, and are so until they report what a quorum reports.
	Diverged Fault = "diverged"
	// Altered frontends have reported another state than a quorum with the same history. They
	// may be honest, with a disk or a memory that errs, and are so until they report the state of
	// a quorum.
	Altered Fault = "altered"
	// Silent frontends have reported nothing for some rounds.
	Silent Fault = "silent"
	// Forgot is the fault of this frontend: its key has signed more than its state knows of.
	// It signs nothing any more, and needs another key.
	Forgot Fault = "forgot"
	// Split is the fault of the master of the round: no quorum can agree on it, although no
	// more frontends are missing or corrupt than the quorum allows for; or an honest frontend has
	// another history, and none agrees on either.
	Split Fault = "split"
)

const silentRounds = 3 // proven without a report of a frontend, which then is silent

// Verdict is what is known against a frontend.
type Verdict struct {
	Frontend string // empty for a split
	Fault    Fault
	Size     uint64   // of the round, if it is of one
	Evidence [][]byte // of a conviction; see [Evidence]
}

// Verdicts returns all verdicts that stand, in the order of the policy. That of this
// frontend is among them: if it is diverged it must go back.
func (n *Node) Verdicts() []Verdict {
	var all []Verdict
	for _, s := range n.seats {
		switch {
		case s == n.self && n.forgot:
			all = append(all, Verdict{s.Name, Forgot, s.newest.Size, s.evidence})
		case s.evidence != nil:
			all = append(all, Verdict{s.Name, Convicted, 0, s.evidence})
		case s == n.self && n.diverged():
			all = append(all, Verdict{s.Name, Diverged, n.top.Size, nil})
		case s != n.self && s.diverged > 0:
			all = append(all, Verdict{s.Name, Diverged, s.diverged, nil})
		case s.altered > 0:
			all = append(all, Verdict{s.Name, Altered, s.altered, nil})
		case s != n.self && s.missed >= silentRounds:
			all = append(all, Verdict{s.Name, Silent, s.newest.Size, nil})
		}
	}
	if n.split > 0 {
		all = append(all, Verdict{"", Split, n.split, nil})
	}
	return all
}

// GoBack reports whether this frontend must leave its history, because a quorum has another
// one or none can agree. It then discards everything after the given round, which it
// has cosigned, and starts again with a new node. It discards all if its history does not
// have that round.
func (n *Node) GoBack() (to Head, must bool) { return n.state.cosigned, n.leaving }

// OthersHave reports whether the history for which this frontend must leave its own is one that
// a quorum of others has reported, so that they can give this frontend all of it, or that it has
// nothing to keep: no round that it has cosigned. All the honest ones of a quorum with an own
// report may have left that history.
func (n *Node) OthersHave() bool { return n.othersHave }

// leave begins to leave the own history because of a round. That helps once: if it comes
// out the same, there is no better one to be had.
func (n *Node) leave(size uint64) { n.leaving, n.state.left, n.unsaved = true, size, true }

// diverged reports whether the own history contradicts the newest proven round.
func (n *Node) diverged() bool {
	own, ok := n.own(n.top.Size)
	return ok && own != n.top
}

// missing counts the frontends that have not reported a round which has become proven.
func (n *Node) missing(proven Head) {
	for _, s := range n.seats {
		if s.newest.Size < proven.Size {
			s.missed++
		}
	}
}

// judge compares all reports of a size with the round that is proven.
func (n *Node) judge(proven Head) {
	for _, s := range n.seats {
		for h := range s.reports {
			switch {
			case h.Size != proven.Size:
			case h.Root != proven.Root:
				s.diverged = max(s.diverged, h.Size)
			case h.Size > s.diverged:
				s.diverged = 0
			}
		}
	}
}

// lookForSplit looks whether no quorum can agree on the own last report, and has not for
// splitTime: a frontend that has left the history of a report may be about to report the next
// round, on which a quorum does agree. So may be one that has reported later rounds, from the
// last of these on. Sizes that were left are not reported again. A history that was left because
// of this is not left again.
func (n *Node) lookForSplit(now time.Time) {
	switch size := n.state.reported.Size; {
	case n.leaving:
	case n.top.Size >= n.doubted:
		n.doubted = 0
		if n.isSplit(size) {
			n.doubted, n.doubtedAt = size, now
		}
	case now.Sub(n.doubtedAt) >= splitTime && n.isSplit(size):
		n.leaveSplit()
	}
}

// lookForOthers looks whether some honest frontend has, and for aloneTime, another history than
// this one, although a quorum has proven neither. The other one may have left this history, and
// believe its master no more, or a corrupt one has misled one of them and is silent now. Both
// would wait for ever.
func (n *Node) lookForOthers(now time.Time) {
	switch {
	case !n.isAlone():
		n.aloneAt = time.Time{}
	case n.aloneAt.IsZero():
		n.aloneAt = now
	case now.Sub(n.aloneAt) >= aloneTime:
		n.leaveSplit()
	}
}

func (n *Node) leaveSplit() {
	n.split, n.othersHave = n.state.reported.Size, false
	n.leave(max(n.split, n.state.left))
}

// isAlone reports whether the last reports of more others than may be corrupt contradict the own
// history, whatever they say of each other.
func (n *Node) isAlone() bool {
	if n.leaving || n.forgot || n.state.cosigned.Size == 0 { // there is no round to go back to
		return false
	}
	contradict := 0
	for _, s := range n.seats {
		var last Head // up to the own newest round, which others may have reported before
		for h := range s.reports {
			if _, known := n.own(h.Size); known && compareHeads(h, last) > 0 {
				last = h
			}
		}
		own, _ := n.own(last.Size)
		if s != n.self && own != last && last.Size > max(n.top.Size, n.state.left) {
			contradict++
		}
	}
	return contradict > Corrupt(len(n.seats))
}

// isBehind reports whether another frontend has reported a round after the own last report, to
// which this one can come.
func (n *Node) isBehind() bool {
	size := n.state.reported.Size
	return slices.ContainsFunc(n.seats, func(s *seat) bool {
		return s.evidence == nil && s.newest.Size > size && s.newest.Size <= size+maxAhead
	})
}

// isSplit reports whether no quorum can agree on the own report of a round: for each root that
// was reported, too many have reported another one for all of these to be corrupt.
func (n *Node) isSplit(size uint64) bool {
	own, ok := n.own(size)
	if size <= max(n.top.Size, n.state.left) || !ok || n.state.reported != own {
		return false
	}
	votes, reporters, missing := map[Hash]int{}, 0, 0
	for _, s := range n.seats {
		said := 0
		for h := range s.reports {
			if h.Size == size {
				votes[h.Root]++
				said = 1
			}
		}
		reporters += said
		if s.newest.Size < size {
			missing++
		}
	}
	for _, count := range votes {
		if reporters-count <= Corrupt(len(n.seats)) || count+missing >= n.policy.Quorum {
			return false
		}
	}
	return true
}
