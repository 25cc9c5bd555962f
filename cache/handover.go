package cache

import "time"

// handover is the state of a master that hands over on purpose. While it is active the
// master begins no rounds and grants no leases. Once every lease is returned or over, and
// with them the master's own, the master announces to the voters that no lease stands on
// their acks. So the next master need not wait for any.
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

// announceRetirement tells the voters that all leases are over, once they are. A master
// that never served granted no leases, but those of older epochs may stand, so it
// announces nothing.
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

// CancelHandOver takes BeginHandOver back: this member stays the master. New rounds grant
// new leases.
func (m *Master) CancelHandOver(now time.Duration) {
	m.handover = handover{}
	m.rounds, m.leaseEnd = nil, 0
	m.nextBeat = now
}

// BeginRemoval takes a member's lease for good, before the member is removed from the
// group. Removable reports when the lease is over.
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

// CancelRemoval takes BeginRemoval back: the member stays in the group.
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
