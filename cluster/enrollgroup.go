package cluster

import (
	"context"

	"github.com/hashicorp/raft"

	"laurel/cluster/enroll"
	"laurel/cluster/status"
	"laurel/trust/access"
)

// enrollGroup is the group as package enroll sees it.
type enrollGroup struct {
	*replica
	elections *elections
	access    *accessControl
	reports   *status.Reports
}

func (g enrollGroup) IsMaster() bool         { return g.elections.current() != nil }
func (g enrollGroup) OtherMaster() string    { return g.otherMaster() }
func (g enrollGroup) Servers() []raft.Server { return g.servers() }
func (g enrollGroup) Access() *access.State  { return g.machine.Access() }

func (g enrollGroup) IsVoter(id raft.ServerID) bool {
	s, in, _ := g.elections.committed(id)
	return in && s.Suffrage == raft.Voter
}

func (g enrollGroup) Connected(id raft.ServerID) bool {
	l := g.elections.elected.Load()
	return id == g.self || l != nil && l.push.Connected(id)
}

func (g enrollGroup) Certificates(id raft.ServerID) (enroll.Certificates, bool) {
	s, fresh := g.reports.Last(id)
	return s.Certificates, fresh
}

func (g enrollGroup) ChangeAccess(ctx context.Context, c access.Change) error {
	return g.access.change(ctx, c)
}
