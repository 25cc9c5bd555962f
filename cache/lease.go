package cache

import "time"

// beat begins a round.
func (m *Master) beat(now time.Duration) {
	m.nextBeat = now + m.timings.Beat
	m.round++
	m.rounds = dropWhile(m.rounds, func(r round) bool { return r.sent+m.timings.Lease <= now })
	m.rounds = append(m.rounds, round{number: m.round, sent: now, acked: map[string]bool{}})
	m.each(func(mb *member) {
		if mb.welcomed {
			m.send(mb, &Beat{Round: m.round, Released: m.released})
		}
	})
}

// takeAck counts an ack for its round, the writes that wait and the member's next lease.
func (m *Master) takeAck(mb *member, a *Ack, now time.Duration) {
	if !mb.welcomed {
		return
	}
	m.noteHeld(a.Held)
	if a.Round != 0 {
		m.countTimely(mb, a.Round, now)
		if mb.voter {
			m.countVote(mb, a.Round, now)
		}
	}
	if !mb.started {
		return
	}
	if a.Pushed > mb.pushed && a.Pushed <= m.pushed {
		mb.pushed = a.Pushed
		mb.unacked = dropWhile(mb.unacked, func(p pending) bool { return p.revision <= a.Pushed })
		m.noteQuorum(now)
	}
	m.release(now)
	if a.Round != 0 || !mb.hasLease(now) {
		m.grant(mb, a, now)
	}
}

// countVote notes a voter's ack of a round. A round that a majority of the voters has
// acked gives the master its own lease.
func (m *Master) countVote(mb *member, number uint64, now time.Duration) {
	for i := range m.rounds {
		r := &m.rounds[i]
		if r.number != number {
			continue
		}
		r.acked[mb.id] = true
		if m.majority(func(voter *member) bool { return r.acked[voter.id] }) {
			m.leaseEnd = max(m.leaseEnd, r.sent+m.timings.Lease)
			if r.quorumAt == 0 {
				r.quorumAt = now
			}
		}
	}
}

// grant answers an ack with a lease that lasts no longer than the master's own. A member
// gets none if it lacks what is released, is slow to ack, or has a penalty.
func (m *Master) grant(mb *member, a *Ack, now time.Duration) {
	left := shorter(m.leaseEnd - now)
	switch {
	case !m.serving, !m.granting, m.handover.active, mb.removing, mb.recalling, left <= 0:
		return
	case mb.conduct.required > 0:
		return
	case mb.pushed < m.released, mb.oldestUnacked(now) > m.timings.AckTimeout:
		return
	}
	mb.leaseEnd = max(mb.leaseEnd, now+longer(longer(m.leaseEnd-now)))
	m.send(mb, &Grant{At: a.At, Remaining: left})
}

// hasLease reports whether the member may hold a lease, so that writes must wait for it.
func (mb *member) hasLease(now time.Duration) bool { return mb.leaseEnd > now }

// oldestUnacked returns for how long a push has not been acked; 0 if all are.
func (mb *member) oldestUnacked(now time.Duration) time.Duration {
	if len(mb.unacked) == 0 {
		return 0
	}
	return now - mb.unacked[0].since
}

// release releases the revisions that every member with a lease has acked.
func (m *Master) release(now time.Duration) {
	if !m.serving {
		return
	}
	to := m.pushed
	for _, mb := range m.members {
		if mb.hasLease(now) && !m.ignores(mb, now) {
			to = min(to, mb.pushed)
		}
	}
	if to > m.released {
		m.released = to
		m.each(func(mb *member) {
			if mb.started {
				m.send(mb, &Release{to})
			}
		})
	}
	m.chargeDelays(now)
}

// ignores reports whether a Mutation makes the master release without a member's ack.
func (m *Master) ignores(mb *member, now time.Duration) bool {
	return m.mutation.has(MutationReleaseBeforeAcks) ||
		m.mutation.has(MutationDropSilent) && mb.oldestUnacked(now) > m.timings.Beat
}

// handover is the state of a master that hands over on purpose. While it is active there
// are no new rounds and leases. Once every lease is returned or over, the master
// announces to the voters that none depends on their acks. So the next master need not
// wait for any.
type handover struct {
	active    bool
	announced bool
	round     uint64 // the last round before the announcement
}

// BeginHandOver begins to hand over. Writes go on.
func (m *Master) BeginHandOver(now time.Duration) {
	if m.handover.active {
		return
	}
	m.handover.active = true
	m.each(m.recall)
	m.advance(now)
}

// announceRetirement tells the voters that all leases are over, once they are. If the
// master never served, those of older epochs may stand, so it announces nothing.
func (m *Master) announceRetirement(now time.Duration) {
	if !m.handover.active || m.handover.announced || !m.serving || !m.NoLeases(now) {
		return
	}
	m.handover.announced, m.handover.round = true, m.round
	m.leaseEnd, m.rounds = 0, nil
	m.each(func(mb *member) {
		mb.retired = false
		if mb.voter && mb.welcomed {
			m.send(mb, &Retire{m.round})
		}
	})
}

// HandedOver reports whether a majority of the voters knows that no lease stands.
func (m *Master) HandedOver() bool {
	return m.handover.announced && m.majority(func(mb *member) bool { return mb.retired })
}

// CancelHandOver takes BeginHandOver back. New rounds grant new leases.
func (m *Master) CancelHandOver(now time.Duration) {
	m.handover = handover{}
	m.rounds, m.leaseEnd = nil, 0
	m.nextBeat = now
}

// BeginRemoval takes a member's lease for good. Removable reports when that is over.
func (m *Master) BeginRemoval(id string, now time.Duration) {
	if mb := m.members[id]; mb != nil {
		mb.removing = true
		m.recall(mb)
		m.advance(now)
	}
}

// Removable reports whether a member has no lease and will get none.
func (m *Master) Removable(id string, now time.Duration) bool {
	mb := m.members[id]
	return mb == nil || mb.removing && !mb.hasLease(now)
}

// CancelRemoval takes BeginRemoval back.
func (m *Master) CancelRemoval(id string) {
	if mb := m.members[id]; mb != nil {
		mb.removing = false
	}
}

// recall asks a member to return its lease. It gets no new one before it has answered:
// the answer would be taken for the return of a lease that was granted after the Recall.
func (m *Master) recall(mb *member) {
	if mb.leaseEnd > 0 && mb.stream != 0 && !mb.recalling {
		mb.recalling = true
		m.send(mb, &Recall{})
	}
}
