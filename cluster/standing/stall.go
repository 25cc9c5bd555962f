package standing

import (
	"time"

	"laurel/witness"
)

// Stalled is the fault of a master that seals nothing although answers have changed.
const Stalled witness.Fault = "stalled"

const (
	// StallTime is for how long, at a time scale of 1, a master may leave changed answers
	// without a seal. An honest one seals within a second.
	StallTime = time.Minute
	// stalledTime is for how long a frontend is distrusted because of this if no other one is
	// elected and seals: posts can do without seals, and not without a master.
	stalledTime = 10 * time.Minute
	// maxGap is the longest time between two looks during which this frontend can have been
	// attentive. If it was stopped for longer, it has missed what others did.
	maxGap = time.Second
)

// stall is since when the master has left changed answers without a seal, as seen here.
type stall struct {
	master      string
	round       uint64 // the next one
	since, last time.Time
}

// see notes whom this frontend follows, and the number of the round that answers wait for; 0
// for none. It reports whether they have waited for so long for the same round of the same
// master.
func (s *stall) see(now time.Time, master string, round uint64, longest time.Duration) bool {
	if master != s.master || round != s.round || now.Sub(s.last).Abs() > maxGap {
		s.master, s.round, s.since = master, round, now
	}
	s.last = now
	return master != "" && round > 0 && now.Sub(s.since) >= longest
}

// stalled returns the verdict against a master that has stalled; none if it has not.
//
// No honest master is found so. It proposes a seal, and while it is the master a quorum
// stores it. So it is applied here, unless this frontend gets no entries; then one of the
// others that have it says so. One that lies can only spare the master.
func (e *Enforcer) stalled(now time.Time, master string) []witness.Verdict {
	changed, next := e.Machine.Rounds().Unsealed()
	round := next
	if changed == 0 || master == e.Self || e.SealedElsewhere(master) >= next {
		round = 0
	}
	if !e.stall.see(now, master, round, e.StallTime) {
		return nil
	}
	return []witness.Verdict{{Frontend: master, Fault: Stalled, Size: next}}
}
