package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
)

// Leave removes a member and tells it to stop. It needs force to leave the group without
// a second copy of the data, or without a majority that answers. Only the master can; the
// error is a *score.Problem.
func (m *membership) Leave(ctx context.Context, id string, force bool) error {
	leaver, err := m.remove(ctx, id, force)
	if err != nil {
		return err
	}
	if leaver.ID == m.self {
		return m.leaveSelf(ctx, id)
	}
	m.removed(leaver)
	return nil
}

// removed logs that a member was removed, and tells it.
func (m *membership) removed(leaver *raft.Server) {
	m.log.Info("removed a frontend from the group", "member", peer.MemberID(leaver.ID))
	m.warnOfKeyHolders()
	// The member would find out by itself; told, it stops at once.
	go func() {
		ctx, cancel := context.WithTimeout(m.ctx, m.scaled(roundTimeout))
		defer cancel()
		m.port.Call(ctx, string(leaver.Address), http.MethodPost, removedPath, nil, nil)
	}()
}

// others returns the voters without one member.
func (m *membership) others(id raft.ServerID) []raft.Server {
	return slices.DeleteFunc(m.voters(), func(s raft.Server) bool { return s.ID == id })
}

// warnOfKeyHolders logs which removed members hold the authority's private key.
func (m *membership) warnOfKeyHolders() {
	if ids := m.machine.Access().KeyHolders(); len(ids) > 0 {
		m.log.Warn("removed frontends hold the private key of the group's authority, and can make certificates with "+
			"it; to end that run laurel cluster ca rotate, and then laurel cluster ca finish", "members", ids)
	}
}

// remove removes a member from the configuration if it may leave, unless it is this one.
func (m *membership) remove(ctx context.Context, id string, force bool) (leaver *raft.Server, err error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.leadership() == nil {
		return nil, peer.NotMaster()
	}
	found, in := peer.FindID(m.servers(), id)
	if !in {
		return nil, score.Problemf(score.NotFound, "no member of the group has the id %q", id)
	}
	leaver = &found
	if p := m.checkLeave(ctx, leaver, m.others(leaver.ID), force); p != nil {
		return nil, p
	}
	if leaver.ID == m.self {
		return leaver, nil
	}
	return leaver, m.drop(ctx, leaver)
}

// drop removes another member from the configuration. m.changing must be held.
func (m *membership) drop(ctx context.Context, leaver *raft.Server) error {
	lead := m.leadership()
	if lead == nil {
		return peer.NotMaster()
	}
	if m.opts.Identity != nil {
		// Before the change of the configuration: if this master is lost in between, no
		// removed member can still connect.
		err := m.access.ChangeAccess(ctx, access.Change{
			By: m.opts.ID, RemoveMember: string(leaver.ID), HeldKeys: leaver.Suffrage == raft.Voter,
		})
		if err != nil {
			return err
		}
	}
	lead.push.Revoke(ctx, leaver.ID)
	err := m.change(func() raft.IndexFuture { return m.raft.RemoveServer(leaver.ID, 0, m.scaled(changeTimeout)) })
	if err != nil {
		lead.push.Update(func(master *cache.Master, _ time.Duration) { master.CancelRemoval(string(leaver.ID)) })
	}
	m.port.Recheck()
	return err
}

// checkLeave returns a problem if a member must not leave. stay has the other voters.
func (m *membership) checkLeave(
	ctx context.Context, leaver *raft.Server, stay []raft.Server, force bool,
) *score.Problem {
	id := peer.MemberID(leaver.ID)
	switch {
	case leaver.Suffrage != raft.Voter:
		return nil
	case len(stay) == 0:
		return score.Problemf(score.StatusConflict,
			"%q is the last voter of the group and cannot leave; to end the group, stop it and delete its data", id)
	case force:
		return nil
	case len(stay) == 1:
		return score.Problemf(score.StatusConflict, "without %q only %q is left: there is no second copy of the data, "+
			"and no other master when it fails; to do it anyway, use force", id, peer.MemberID(stay[0].ID))
	}
	reachable, _ := m.transfers.reachable(ctx, stay)
	answer := len(reachable)
	if slices.ContainsFunc(stay, func(s raft.Server) bool { return s.ID == m.self }) {
		answer++
	}
	if answer*2 <= len(stay) {
		return score.Problemf(score.StatusConflict, "without %q only %d of %d voters answer, which is no majority, "+
			"and the group would stop; start the others first; to do it anyway, use force", id, answer, len(stay))
	}
	return nil
}

// leaveSelf transfers the leadership and lets the next master remove this member.
func (m *membership) leaveSelf(ctx context.Context, id string) (err error) {
	if err := m.transfers.Transfer(ctx, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.scaled(transferTimeout))
	defer cancel()
	path := join.MembersPath + "/" + url.PathEscape(id) + "?force=true"
	timedOut := m.leader.Try(ctx, retryPause, func(master string, _ <-chan struct{}) (done bool) {
		if master == "" || master == m.opts.Peer {
			return false
		}
		err = m.port.Call(ctx, master, http.MethodDelete, path, nil, nil)
		// The answer to the attempt that removed this member may be lost with its connection.
		if _, removed := errors.AsType[*peer.RemovedError](err); removed || score.CodeOf(err) == score.NotFound {
			err = nil
		}
		return err == nil || peer.IsAnswer(err)
	})
	if timedOut != nil {
		return score.Problemf(score.OutcomeUnknown, "%q has transferred its leadership, "+
			"but the next master did not remove it in time; check the status of the group", id)
	}
	return err
}
