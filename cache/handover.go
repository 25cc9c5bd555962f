package cache

import "time"

// handing is the state of handing over on purpose. It goes: no more rounds and grants; every lease is back or over, and so is the master's own;
// the voters hear that no lease stands on their acks, so that the next master need not wait.
type handing struct {
	under bool
	told  bool
	round uint64
}

// HandOver begins to hand over. Writes go on.
func (m *Master) BeginHandOver(now time.Duration) {
	if m.handing.under {
		return
	}
	m.handing.under = true
	m.each(m.recall)
	m.advance(now)
}

// retire tells the voters that all leases are over, once they are. A master that never served has none, but older ones may stand.
func (m *Master) retire(now time.Duration) {
	if !m.handing.under || m.handing.told || !m.serving || !m.NoLeases(now) {
		return
	}
	m.handing.told, m.handing.round = true, m.round
	m.end, m.rounds = 0, nil
	m.each(func(one *member) {
		one.retired = false
		if one.voter && one.welcome {
			m.send(one, &Retire{m.round})
		}
	})
}

// HandedOver tells whether a majority of the voters knows that no lease stands.
func (m *Master) HandedOver() bool {
	voters, know := 0, 0
	for _, one := range m.members {
		if one.voter {
			voters++
			if one.retired {
				know++
			}
		}
	}
	return m.handing.told && know*2 > voters
}

// Resume takes HandOver back: leadership stayed here. New rounds give new leases.
func (m *Master) CancelHandOver(now time.Duration) {
	m.handing = handing{}
	m.rounds, m.end = nil, 0
	m.nextAt = now
}

// Dismiss takes a member's lease for good, before it is removed from the group. Dismissed tells when it is over.
func (m *Master) BeginRemoval(id string, now time.Duration) {
	if one := m.members[id]; one != nil {
		one.leaving = true
		m.recall(one)
		m.advance(now)
	}
}

// Dismissed tells whether a member has no lease and will get none.
func (m *Master) Removable(id string, now time.Duration) bool {
	one := m.members[id]
	return one == nil || one.leaving && !one.holds(now)
}

// Keep takes Dismiss back: the member stays in the group.
func (m *Master) CancelRemoval(id string) {
	if one := m.members[id]; one != nil {
		one.leaving = false
	}
}

// recall asks a lease back. Until the answer there are no new leases: it would be taken for the return of one that was granted after the Recall.
func (m *Master) recall(one *member) {
	if one.until > 0 && one.stream != 0 && !one.recalled {
		one.recalled = true
		m.send(one, &Recall{})
	}
}
