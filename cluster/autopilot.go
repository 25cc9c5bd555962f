package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/autopilot"
	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/cluster/upgrade"
	"laurel/score"
	"laurel/trust/access"
)

// patience is how far the log of a healthy member may be behind the master's, at a time
// scale of 1.
const patience = 5 * time.Second

func (m *Member) newHealth(reports *status.Reports) *status.Health {
	return status.NewHealth(&status.Health{
		Source: m.source, Reports: reports, Policy: m.policy, Epoch: m.servingEpoch,
		Sworn:  func() bool { return m.machine.Access().Settings.Sworn },
		Remove: m.membership.removeDead, Go: m.run, Contact: m.metrics.MemberContact, Logger: m.log,
	}, m.scaled(patience))
}

// policy returns the policy of the group. Stabilize is scaled, as the polls are.
func (r *replica) policy() autopilot.Policy {
	if p := r.opts.hooks.policy; p != nil {
		return *p
	}
	p, set := autopilot.Default, r.machine.Access().Settings
	if d, err := time.ParseDuration(set.CleanUpAfter); err == nil {
		p.CleanUpAfter = d
	}
	if d, err := time.ParseDuration(set.Stabilize); err == nil {
		p.Stabilize = d
	}
	p.Stabilize, p.MinVoters = r.scaled(p.Stabilize), set.MinVoters
	return p
}

// Autopilot returns how the members are, and which of them are to be removed.
func (m *membership) Autopilot() score.Autopilot { return m.health.Autopilot() }

// removeDead removes a member that was silent for a time. If it cannot, it returns only
// when it is time to try again.
func (m *membership) removeDead(id raft.ServerID, silent time.Duration) {
	ctx, cancel := context.WithTimeout(m.ctx, m.scaled(join.Timeout))
	defer cancel()
	name, silent := peer.MemberID(id), silent.Round(time.Second)
	// While this waited for its turn an operator may have removed another member, or may have
	// forbidden it.
	due := func() bool { return m.health.Removes(id, m.servers()) }
	err := m.evict(ctx, id, due, fmt.Sprintf("autopilot removes %s, silent for %s", name, silent))
	if err == nil {
		return
	}
	m.log.Warn("could not remove a dead frontend", "member", name, "silent", silent, "err", err)
	select {
	case <-m.ctx.Done():
	case <-time.After(m.policy().Stabilize):
	}
}

// evict removes a member that does not answer, if it is in the group and due. note is for the
// audit trail.
func (m *membership) evict(ctx context.Context, id raft.ServerID, due func() bool, note string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if !due() {
		return nil
	}
	leaver, in := peer.Find(m.servers(), id)
	if !in {
		return nil
	}
	if p := m.checkSilent(ctx, leaver); p != nil {
		return p
	}
	if p := m.checkLeave(ctx, &leaver, m.others(id), false); p != nil {
		return p
	}
	if err := m.access.ChangeAccess(ctx, access.Change{By: m.opts.ID, Note: note}); err != nil {
		return err
	}
	if err := m.drop(ctx, &leaver); err != nil {
		return err
	}
	m.removed(&leaver)
	return nil
}

// replace removes the dead member with the id of a frontend that joins, if there is one. The
// frontend's join token must permit it, or an operator ask for it. A member that is silent
// for a moment only may be about to return, so it is not dead yet.
func (m *membership) replace(ctx context.Context, joiner status.Status, id string, byOperator bool) error {
	if m.leadership() == nil {
		return peer.NotMaster()
	}
	servers := m.servers()
	i := slices.IndexFunc(servers, func(s raft.Server) bool {
		return peer.MemberID(s.ID) == id && s.ID != joiner.Member
	})
	if i < 0 {
		return nil
	}
	old := servers[i].ID
	if !byOperator && !m.issuer.MayReplace(joiner.Certificate, id) {
		return score.Problemf(score.Forbidden, "the join token does not let %q take the place of the frontend with "+
			"this id; an operator can make one that does", id).At("replace")
	}
	// The dead one stays if this one could not join.
	if p := upgrade.CheckJoiner(joiner, m.machine.Access().Settings.Format()); p != nil {
		return p
	}
	if p := m.checkSilent(ctx, servers[i]); p != nil {
		return p
	}
	silent, least := m.health.Silent(old), m.policy().Stabilize
	if silent < least {
		return score.Problemf(score.NotReady, "the frontend %q was heard %s ago; it can be replaced when it has been "+
			"silent for %s", id, silent.Round(time.Second), least).At("replace")
	}
	due := func() bool { return true }
	return m.evict(ctx, old, due, fmt.Sprintf("%s takes the place of %s, silent for %s", joiner.Member, old,
		silent.Round(time.Second)))
}

// checkSilent returns a problem if a member answers, or nobody knows.
func (m *membership) checkSilent(ctx context.Context, s raft.Server) *score.Problem {
	if answer, answers, p := m.askAgain(ctx, s); p != nil || !answers || answer.Member != s.ID {
		return p
	}
	return score.Problemf(score.IDConflict, "the frontend %q answers at %s, so it is not dead; stop it, or remove it",
		peer.MemberID(s.ID), s.Address).At("id")
}
