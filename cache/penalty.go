package cache

import "time"

// A member with a lease can make every write wait. If it stops again and again it delays
// writes again and again, because it gets its lease back as soon as it has caught up. So
// the master counts the time for which writes waited for one member alone. If this debt
// is too large, the member's next lease comes after some timely acks of rounds in a row.
//
// A write counts as delayed by a member if it was released more than half of AckTimeout
// after a majority of the voters had acked it, and the member was the last that it waited
// for. So nobody is charged while everybody is slow, the master included, and a member that
// is silent while nothing is written delays nothing.
//
// Each timely ack of a round pays back a part of the debt. The first penalty lasts
// firstStreak rounds, and each further one twice as many as the last, up to maxStreak,
// until the debt is paid back. Withholding a lease is always safe: a member without one
// forwards its reads to the master.
const (
	firstStreak = 2   // 100 ms at a time scale of 1
	maxStreak   = 100 // 5 s
	// payback is the inverse of the fraction of its time for which a member may delay
	// writes for ever without a penalty.
	payback = 32
	// maxDebt bounds a member's debt, in beats: it is paid back within a minute.
	maxDebt = 37
)

// conduct is what the master remembers of a member across its streams. A new master knows
// nothing.
type conduct struct {
	debt      time.Duration // for which writes waited for the member alone, less what it paid back
	penalties int           // since it last had no debt
	required  int           // timely acks in a row before the next lease; 0 for no penalty
	streak    int           // timely acks in a row, so far
	lastRound uint64        // the last round acked on the present stream; 0 for none
}

// Penalty describes why and for how long a member's next lease is withheld.
type Penalty struct {
	Member string
	Debt   time.Duration // for which writes waited for the member lately
	Rounds int           // that the member must ack in time, in a row
}

// NewPenalties returns the penalties that have begun since the last call.
func (m *Master) NewPenalties() []Penalty {
	list := m.newPenalties
	m.newPenalties = nil
	return list
}

// Penalized returns the number of members whose next lease is withheld.
func (m *Master) Penalized() (count int) {
	for _, mb := range m.members {
		if mb.conduct.required > 0 {
			count++
		}
	}
	return count
}

// noteQuorum notes when a majority of the voters has acked a revision.
func (m *Master) noteQuorum(now time.Duration) {
	to := uint64(0)
	for _, mb := range m.members {
		have := func(voter *member) bool { return voter.pushed >= mb.pushed }
		if mb.voter && mb.pushed > to && m.majority(have) {
			to = mb.pushed
		}
	}
	last := m.released
	if n := len(m.awaited); n > 0 {
		last = m.awaited[n-1].revision
	}
	if to > last && to <= m.pushed {
		m.awaited = append(m.awaited, pending{to, now})
	}
}

// chargeDelays charges the members for which the oldest awaited revision had to wait,
// once it is released, and notes the members for which the next one waits.
func (m *Master) chargeDelays(now time.Duration) {
	left := dropWhile(m.awaited, func(p pending) bool { return p.revision <= m.released })
	if len(left) < len(m.awaited) {
		// Revisions that waited at the same time are one delay.
		if delay := now - max(m.awaited[0].since, m.chargedUntil); delay > m.timings.AckTimeout/2 {
			m.chargedUntil = now
			m.each(func(mb *member) {
				if mb.blocking {
					m.charge(mb, delay)
				}
			})
		}
		m.awaited = left
	}
	for _, mb := range m.members {
		mb.blocking = len(m.awaited) > 0 && mb.hasLease(now) && mb.pushed < m.awaited[0].revision
	}
}

// charge adds a delay to a member's debt, and begins a penalty if the debt is too large.
// A single stall that delays a write for no more than AckTimeout has no consequence.
func (m *Master) charge(mb *member, delay time.Duration) {
	c := &mb.conduct
	c.debt, c.streak = min(c.debt+delay, maxDebt*m.timings.Beat), 0
	if c.required > 0 || c.debt <= m.timings.AckTimeout {
		return
	}
	c.required = min(firstStreak<<c.penalties, maxStreak)
	if c.required < maxStreak {
		c.penalties++
	}
	m.newPenalties = append(m.newPenalties, Penalty{mb.id, c.debt, c.required})
}

// countTimely notes an ack of a round. It continues the member's streak if it is timely:
// it comes at most half of AckTimeout after a majority of the voters has acked the round,
// and the round is the one after the last that the member acked.
func (m *Master) countTimely(mb *member, number uint64, now time.Duration) {
	c := &mb.conduct
	timely := false
	for i := range m.rounds {
		if r := &m.rounds[i]; r.number == number {
			timely = r.quorumAt == 0 || now-r.quorumAt <= m.timings.AckTimeout/2
		}
	}
	if !timely || number != c.lastRound+1 {
		c.streak = 0
	}
	c.lastRound = number
	if !timely {
		return
	}
	if c.streak++; c.streak >= c.required {
		c.required = 0
	}
	if c.debt -= min(c.debt, m.timings.Beat/payback); c.debt == 0 {
		c.penalties = 0
	}
}
