package cache

import "time"

// beat begins a round.
func (m *Master) beat(now time.Duration) {
	m.nextAt = now + m.timings.Beat
	m.round++
	m.forgetRounds(now)
	m.rounds = append(m.rounds, round{number: m.round, sent: now, acked: map[string]bool{}})
	m.each(func(one *member) {
		if one.welcome {
			m.send(one, &Beat{Round: m.round, Released: m.released})
		}
	})
}

// forgetRounds drops those that are too old to give a lease.
func (m *Master) forgetRounds(now time.Duration) {
	old := 0
	for old < len(m.rounds) && m.rounds[old].sent+m.timings.Lease <= now {
		old++
	}
	m.rounds = append(m.rounds[:0:0], m.rounds[old:]...)
}

// acked takes in what a frontend has: for the round, for the writes that wait, and for its next lease.
func (m *Master) acked(one *member, a *Ack, now time.Duration) {
	if !one.welcome {
		return
	}
	m.hold(a.Held)
	if a.Round != 0 {
		m.heed(one, a.Round, now)
		if one.voter {
			m.count(one, a.Round, now)
		}
	}
	if !one.started {
		return
	}
	if a.Pushed > one.pushed && a.Pushed <= m.pushed {
		one.pushed = a.Pushed
		done := 0
		for done < len(one.waits) && one.waits[done].to <= a.Pushed {
			done++
		}
		one.waits = one.waits[done:]
		m.reach(now)
	}
	m.release(now)
	if a.Round != 0 || !one.holds(now) {
		m.grant(one, a, now)
	}
}

// count notes an ack of a round. One that a majority of the voters acked gives the master its lease.
func (m *Master) count(one *member, number uint64, now time.Duration) {
	for i := range m.rounds {
		r := &m.rounds[i]
		if r.number != number {
			continue
		}
		r.acked[one.id] = true
		voters, agree := 0, 0
		for id, other := range m.members {
			if other.voter {
				voters++
				if r.acked[id] {
					agree++
				}
			}
		}
		if agree*2 > voters {
			m.end = max(m.end, r.sent+m.timings.Lease)
			if r.agreed == 0 {
				r.agreed = now
			}
		}
	}
}

// grant gives a lease for an ack: never for longer than the master's own, and to none that is behind what is
// released, slow to ack, or has yet to show that it does not make writes wait again.
func (m *Master) grant(one *member, a *Ack, now time.Duration) {
	left := shorter(m.end - now)
	switch {
	case !m.serving, !m.granting, m.handing.under, one.leaving, one.recalled, left <= 0:
		return
	case one.conduct.need > 0:
		return
	case one.pushed < m.released, len(one.waits) > 0 && now-one.waits[0].at > m.timings.AckTimeout:
		return
	}
	one.until = max(one.until, now+longer(longer(m.end-now)))
	m.send(one, &Grant{At: a.At, Remaining: left})
}

// holds tells whether writes must wait for the member.
func (one *member) holds(now time.Duration) bool { return one.until > now }

// release lets be seen what every frontend with a lease has.
func (m *Master) release(now time.Duration) {
	if !m.serving {
		return
	}
	to := m.pushed
	for _, one := range m.members {
		if one.holds(now) && !m.forgives(one, now) {
			to = min(to, one.pushed)
		}
	}
	if to > m.released {
		m.released = to
		m.each(func(one *member) {
			if one.started {
				m.send(one, &Release{to})
			}
		})
	}
	m.account(now)
}

// forgives is a rule broken on purpose.
func (m *Master) forgives(one *member, now time.Duration) bool {
	return m.rules.has(MutationReleaseBeforeAcks) || m.rules.has(MutationDropSilent) && len(one.waits) > 0 && now-one.waits[0].at > m.timings.Beat
}
