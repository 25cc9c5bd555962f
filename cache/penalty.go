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
	firstRow   = 5   // 100 ms at a time scale of 1
	longestRow = 250 // 5 s
	// payback is the fraction of its time for which a member may delay writes for ever without a penalty.
	payback = 32
	// mostDebt bounds, in beats, what a member can owe: it is paid back within a minute.
	mostDebt = 94
)

// conduct is what the master remembers of a member beyond its streams. A new master knows nothing.
type conduct struct {
	debt      time.Duration // for which writes waited for the member alone, less what it has paid back
	penalties int           // since it last owed nothing
	need      int           // timely acks in a row before the next lease; 0 if leases are granted
	row       int           // timely acks in a row, so far
	round     uint64        // the last round acked on the present stream; 0 for none
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
	list := m.withheld
	m.withheld = nil
	return list
}

// Withholding returns the number of members whose leases are withheld now.
func (m *Master) Penalized() (count int) {
	for _, one := range m.members {
		if one.conduct.need > 0 {
			count++
		}
	}
	return count
}

// reach notes the revisions that a majority of the voters has acked. From then on their release is late.
func (m *Master) reach(now time.Duration) {
	to := uint64(0)
	for _, one := range m.members {
		if one.voter && one.pushed > to && m.reached(one.pushed) {
			to = one.pushed
		}
	}
	last := m.released
	if n := len(m.awaited); n > 0 {
		last = m.awaited[n-1].to
	}
	if to > last && to <= m.pushed {
		m.awaited = append(m.awaited, waiting{to, now})
	}
}

// reached reports whether a majority of the voters has acked a revision.
func (m *Master) reached(revision uint64) bool {
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
func (m *Master) account(now time.Duration) {
	done := 0
	for done < len(m.awaited) && m.awaited[done].to <= m.released {
		done++
	}
	if done > 0 {
		// Revisions that were awaited at the same time are one delay.
		if delay := now - max(m.awaited[0].at, m.charged); delay > m.timings.Beat {
			m.charged = now
			m.each(func(one *member) {
				if one.blocks {
					m.charge(one, delay)
				}
			})
		}
		m.awaited = m.awaited[done:]
	}
	for _, one := range m.members {
		one.blocks = len(m.awaited) > 0 && one.holds(now) && one.pushed < m.awaited[0].to
	}
}

// charge adds to what a member owes. A stall that delays a write for no more than tau has no consequence, if
// it is the only one.
func (m *Master) charge(one *member, delay time.Duration) {
	c := &one.conduct
	c.debt, c.row = min(c.debt+delay, mostDebt*m.timings.Beat), 0
	if c.need > 0 || c.debt <= m.timings.AckTimeout {
		return
	}
	c.need = min(firstRow<<c.penalties, longestRow)
	if c.need < longestRow {
		c.penalties++
	}
	m.withheld = append(m.withheld, Penalty{one.id, c.debt, c.need})
}

// heed counts an ack of a round in the row, if it is timely: it comes at most a beat after a majority of the
// voters has acked the round, and is that of the round after the last.
func (m *Master) heed(one *member, number uint64, now time.Duration) {
	c := &one.conduct
	timely := false
	for i := range m.rounds {
		if r := &m.rounds[i]; r.number == number {
			timely = r.agreed == 0 || now-r.agreed <= m.timings.Beat
		}
	}
	if !timely || number != c.round+1 {
		c.row = 0
	}
	c.round = number
	if !timely {
		return
	}
	if c.row++; c.row >= c.need {
		c.need = 0
	}
	if c.debt -= min(c.debt, m.timings.Beat/payback); c.debt == 0 {
		c.penalties = 0
	}
}
