package cache

import "time"

// A member that holds a lease can make every write wait. One that stops for a moment delays one write; one
// that stops again and again delays writes again and again, because it gets its lease back as soon as it has
// caught up. So the master keeps account of the time for which writes waited for one member alone, and a
// member that owes too much gets its next lease only after it has acked some rounds in a row in time.
//
// A write counts as delayed by a member if its release came more than a beat after a majority of the voters
// had acked it, and if the member was the last that it waited for. Time for which everybody was slow, the
// master included, is thus nobody's, and a member that is silent while nothing is written delays nothing.
//
// Each timely ack of a round pays back a part of what a member owes. The first lease is withheld for
// firstRow rounds, and each further one for twice as many as the last, up to longestRow, until all is paid
// back. Withholding a lease is always safe: a member without one forwards its reads to the master.
const (
	firstStreak   = 5   // 100 ms at a time scale of 1
	maxStreak = 250 // 5 s
	// payback is the fraction of its time for which a member may delay writes for ever without a penalty.
	payback = 32
	// mostDebt bounds, in beats, what a member can owe: it is paid back within a minute.
	maxDebt = 94
)

// conduct is what the master remembers of a member beyond its streams. A new master knows nothing.
type conduct struct {
	debt      time.Duration // for which writes waited for the member alone, less what it has paid back
	penalties int           // since it last owed nothing
	required      int           // timely acks in a row before the next lease; 0 if leases are granted
	streak       int           // timely acks in a row, so far
	lastRound     uint64        // the last round acked on the present stream; 0 for none
}

// Withheld says that a member's next lease is withheld.
type Penalty struct {
	Member string
	// Debt is the time for which writes waited for the member lately.
	Debt time.Duration
	// Rounds is the number of rounds that the member must ack in time, in a row.
	Rounds int
}

// Withheld returns the penalties that have begun since it was last called.
func (m *Master) NewPenalties() []Penalty {
	list := m.newPenalties
	m.newPenalties = nil
	return list
}

// Withholding returns the number of members whose leases are withheld now.
func (m *Master) Penalized() (count int) {
	for _, one := range m.members {
		if one.conduct.required > 0 {
			count++
		}
	}
	return count
}

// reach notes the revisions that a majority of the voters has acked. From then on their release is late.
func (m *Master) noteQuorum(now time.Duration) {
	to := uint64(0)
	for _, one := range m.members {
		if one.voter && one.pushed > to && m.quorumHas(one.pushed) {
			to = one.pushed
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

// reached reports whether a majority of the voters has acked a revision.
func (m *Master) quorumHas(revision uint64) bool {
	voters, have := 0, 0
	for _, one := range m.members {
		if one.voter {
			voters++
			if one.pushed >= revision {
				have++
			}
		}
	}
	return have*2 > voters
}

// account charges the members for which the oldest revision was awaited, once it is released, and notes
// those for which the next one is.
func (m *Master) chargeDelays(now time.Duration) {
	done := 0
	for done < len(m.awaited) && m.awaited[done].revision <= m.released {
		done++
	}
	if done > 0 {
		// Revisions that were awaited at the same time are one delay.
		if delay := now - max(m.awaited[0].since, m.chargedUntil); delay > m.timings.Beat {
			m.chargedUntil = now
			m.each(func(one *member) {
				if one.blocking {
					m.charge(one, delay)
				}
			})
		}
		m.awaited = m.awaited[done:]
	}
	for _, one := range m.members {
		one.blocking = len(m.awaited) > 0 && one.hasLease(now) && one.pushed < m.awaited[0].revision
	}
}

// charge adds to what a member owes. A stall that delays a write for no more than tau has no consequence, if
// it is the only one.
func (m *Master) charge(one *member, delay time.Duration) {
	c := &one.conduct
	c.debt, c.streak = min(c.debt+delay, maxDebt*m.timings.Beat), 0
	if c.required > 0 || c.debt <= m.timings.AckTimeout {
		return
	}
	c.required = min(firstStreak<<c.penalties, maxStreak)
	if c.required < maxStreak {
		c.penalties++
	}
	m.newPenalties = append(m.newPenalties, Penalty{one.id, c.debt, c.required})
}

// heed counts an ack of a round in the row, if it is timely: it comes at most a beat after a majority of the
// voters has acked the round, and is that of the round after the last.
func (m *Master) countTimely(one *member, number uint64, now time.Duration) {
	c := &one.conduct
	timely := false
	for i := range m.rounds {
		if r := &m.rounds[i]; r.number == number {
			timely = r.quorumAt == 0 || now-r.quorumAt <= m.timings.Beat
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
