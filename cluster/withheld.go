package cluster

import "github.com/hashicorp/raft"

// tellWithheld logs and counts the frontends that get no lease for a while, because they made writes wait.
// l.mu must be held.
func (l *leadership) tellWithheld() {
	m := l.of
	for _, w := range l.master.NewPenalties() {
		id := memberID(raft.ServerID(w.Member))
		m.metrics.withheld.WithLabelValues(id).Inc()
		m.log.Warn("a frontend made writes wait, and gets its next lease only after it has answered in time for a while",
			"member", id, "delayed", w.Debt, "rounds", w.Rounds)
	}
}

// withholding returns the number of frontends whose leases are withheld; 0 at a member that is not the master.
func (m *Member) withholding() int {
	l := m.reign.Load()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.master.Penalized()
}
