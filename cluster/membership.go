package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/score"
	"laurel/trust/access"
)

// Membership is Raft's configuration and nothing else: whoever is in it is a member, at the peer address that stands there. Where clients
// reach a member its neighbours ask it themselves.

const (
	// joinLimit bounds a whole join: a new voter first catches up without a vote, so that it never holds a majority back.
	joinLimit    = time.Minute
	changeLimit  = 5 * time.Second // one change of the configuration
	catchUpPause = 50 * time.Millisecond
	maxID        = 64
)

// Join takes a member in, gives one that is back its new address, or a vote. The frontend must be running: it is asked who it is. Asking
// again is harmless. Only the master can; the error is a *score.Problem.
func (m *Member) Join(ctx context.Context, n score.NewMember) error {
	ctx, cancel := context.WithTimeout(ctx, m.scaled(joinLimit))
	defer cancel()
	if p := checkNewMember(n); p != nil {
		return p
	}
	status, err := m.statusOf(ctx, n.Peer)
	if err != nil {
		p := score.Problemf(score.NotReady, "no frontend answers the master at the peer address %s: %v", n.Peer, err)
		p.Field = "peer"
		return p
	}
	who := status.Member
	if memberID(who) != n.ID || n.Instance != "" && who != raftlog.NewServerID(n.ID, n.Instance) {
		p := score.Problemf(score.IDConflict, "the frontend at %s is %q, not %q", n.Peer, memberID(who), n.ID)
		p.Field = "peer"
		return p
	}
	done, err := m.admit(status, n)
	if done || err != nil {
		return err
	}
	if err := m.awaitCatchUp(ctx, n.Peer); err != nil {
		return err
	}
	err = m.change(func() raft.IndexFuture {
		return m.raft.AddVoter(who, raft.ServerAddress(n.Peer), 0, m.scaled(changeLimit))
	})
	if err == nil {
		m.log.Info("a frontend has a vote now", "frontend", n.ID, "peer", n.Peer)
	}
	return err
}

// validID tells whether s can be a member's id.
func validID(s string) bool {
	return score.ValidPath(s) && len(s) <= maxID && !strings.Contains(s, "/")
}

func checkNewMember(n score.NewMember) *score.Problem {
	host, _, err := net.SplitHostPort(n.Peer)
	var p *score.Problem
	switch {
	case !validID(n.ID):
		p = score.Problemf(score.InvalidEvent, "got %q; want at most %d letters, digits and ._~-", n.ID, maxID)
		p.Field = "id"
	case err != nil || host == "":
		p = score.Problemf(score.InvalidEvent, "got %q; want host:port on which the other members reach the frontend", n.Peer)
		p.Field = "peer"
	}
	return p
}

// admit brings the frontend into the configuration at its address; done tells that nothing more is to be done.
func (m *Member) admit(who peerStatus, n score.NewMember) (done bool, err error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.leads() == nil {
		return false, peer.NotMaster()
	}
	// It may not have heard of its removal.
	who.Joined = who.Joined || m.auth.Removed(who.Member)
	known, p := seat(m.servers(), who, n)
	if p != nil {
		return false, p
	}
	addr := raft.ServerAddress(n.Peer)
	nonvoter := func() raft.IndexFuture { return m.raft.AddNonvoter(who.Member, addr, 0, m.scaled(changeLimit)) }
	switch {
	case known == nil:
		m.log.Info("a frontend joins", "frontend", n.ID, "peer", n.Peer)
		err = m.changeLocked(nonvoter)
		return err != nil || !n.Voter, err
	case known.Address != addr && known.Suffrage == raft.Voter:
		m.log.Info("a frontend has a new peer address", "frontend", n.ID, "peer", n.Peer, "was", known.Address)
		return true, m.changeLocked(func() raft.IndexFuture { return m.raft.AddVoter(who.Member, addr, 0, m.scaled(changeLimit)) })
	case known.Address != addr:
		m.log.Info("a frontend has a new peer address", "frontend", n.ID, "peer", n.Peer, "was", known.Address)
		err = m.changeLocked(nonvoter)
	}
	return err != nil || !n.Voter || known.Suffrage == raft.Voter, err
}

// seat finds the frontend among the servers, nil if it is new, or says what keeps it from being taken in.
func seat(servers []raft.Server, who peerStatus, n score.NewMember) (known *raft.Server, refused *score.Problem) {
	refuse := func(field, format string, args ...any) (*raft.Server, *score.Problem) {
		p := score.Problemf(score.IDConflict, format, args...)
		p.Field = field
		return nil, p
	}
	for _, s := range servers {
		switch {
		case s.ID == who.Member:
			known = &s
		case memberID(s.ID) == n.ID:
			return refuse("id", "the id %q is taken: a frontend with other data has it, at %s; choose another id, or take that one out first (laurel cluster leave %s)", n.ID, s.Address, n.ID)
		case string(s.Address) == n.Peer:
			return refuse("peer", "the peer address %s is taken by the frontend %q", n.Peer, memberID(s.ID))
		}
	}
	if known == nil && who.Joined {
		// Its log is not the beginning of this group's, or it ends where others decided to do without it.
		return refuse("instance", "the frontend %q has the data of a group of which it is no member: it was removed, or it belongs to another group; to join as a new member, start it with an empty data directory", n.ID)
	}
	return known, nil
}

func (m *Member) change(f func() raft.IndexFuture) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return m.changeLocked(f)
}

// changeLocked makes one change of the configuration and waits until it is committed. m.changing must be held.
func (m *Member) changeLocked(f func() raft.IndexFuture) error {
	lead := m.leads()
	if lead == nil {
		return peer.NotMaster()
	}
	lead.push.UpdateConfiguration()
	if !lead.push.Await(m.ctx, 2*m.timings().Lease, (*cache.Master).CanChangeVoters) {
		return peer.NotMaster()
	}
	if err := m.await(m.ctx, f()); err != nil {
		return changeProblem("membership", err)
	}
	lead.committed()
	return nil
}

// changeProblem says what became of a change of the group for which Raft gives an error.
func changeProblem(what string, err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return peer.NotMaster()
	}
	return score.Problemf(score.OutcomeUnknown, "the change of the %s may or may not be committed (%v); see laurel cluster status", what, err)
}

func (m *Member) awaitCatchUp(ctx context.Context, addr string) error {
	lead, goal := m.leads(), m.machine.Applied()
	for lead != nil && lead == m.leads() {
		status, err := m.statusOf(ctx, addr)
		switch {
		case err == nil && status.Applied >= goal:
			return nil
		case !slices.ContainsFunc(m.servers(), func(s raft.Server) bool { return string(s.Address) == addr }):
			return score.Problemf(score.NotFound, "the frontend at %s was taken out of the group again while it was catching up", addr)
		}
		select {
		case <-time.After(catchUpPause):
		case <-ctx.Done():
			return score.Problemf(score.NotReady, "the frontend has joined without a vote and is still catching up (%d of %d log entries); ask again for its vote", status.Applied, goal)
		}
	}
	return peer.NotMaster()
}

// Leave takes a member out of the group and tells it to stop. What leaves the group without a second copy, or without a majority that
// answers, needs force. A master that is to leave hands leadership over first. Only the master can; the error is a *score.Problem.
func (m *Member) Leave(ctx context.Context, id string, force bool) error {
	leaver, err := m.remove(ctx, id, force)
	if err != nil {
		return err
	}
	if leaver.ID == m.self {
		return m.leaveMyself(ctx, id)
	}
	m.log.Info("a frontend has left the group", "frontend", id)
	// It would find out by itself; told, it stops at once.
	go func() {
		ctx, cancel := context.WithTimeout(m.ctx, m.scaled(roundLimit))
		defer cancel()
		m.port.Call(ctx, string(leaver.Address), http.MethodPost, "/peer/v1/removed", nil, nil)
	}()
	return nil
}

// remove takes the member out of the configuration if it may leave, unless it is this one.
func (m *Member) remove(ctx context.Context, id string, force bool) (leaver *raft.Server, err error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.leads() == nil {
		return nil, peer.NotMaster()
	}
	var stay []raft.Server
	for _, s := range m.servers() {
		switch {
		case memberID(s.ID) == id:
			leaver = &s
		case s.Suffrage == raft.Voter:
			stay = append(stay, s)
		}
	}
	if leaver == nil {
		return nil, score.Problemf(score.NotFound, "no member of the group has the id %q", id)
	}
	if p := m.mayLeave(ctx, leaver, stay, force); p != nil {
		return nil, p
	}
	if leaver.ID == m.self {
		return leaver, nil
	}
	lead := m.leads()
	if lead == nil {
		return nil, peer.NotMaster()
	}
	if m.opts.Identity != nil {
		// Before: should this master be lost, nobody is left who is out of the group but can still come in.
		if err := m.ChangeAccess(ctx, access.Change{By: m.opts.ID, RemoveMember: string(leaver.ID)}); err != nil {
			return nil, err
		}
	}
	lead.push.Revoke(ctx, leaver.ID)
	err = m.changeLocked(func() raft.IndexFuture { return m.raft.RemoveServer(leaver.ID, 0, m.scaled(changeLimit)) })
	if err != nil {
		lead.push.Update(func(master *cache.Master, _ time.Duration) { master.CancelRemoval(string(leaver.ID)) })
	}
	m.port.Recheck()
	return leaver, err
}

func (m *Member) mayLeave(ctx context.Context, leaver *raft.Server, stay []raft.Server, force bool) *score.Problem {
	switch {
	case leaver.Suffrage != raft.Voter:
		return nil
	case len(stay) == 0:
		return score.Problemf(score.StatusConflict, "%q is the last voter of the group and cannot leave; to end the group, stop it and delete its data", memberID(leaver.ID))
	case force:
		return nil
	case len(stay) == 1:
		return score.Problemf(score.StatusConflict, "without %q only %q would be left: no second copy of the data, and nobody to take over when it fails; use --force if that is what you want", memberID(leaver.ID), memberID(stay[0].ID))
	}
	answer := len(m.answering(ctx, stay))
	if slices.ContainsFunc(stay, func(s raft.Server) bool { return s.ID == m.self }) {
		answer++
	}
	if answer*2 <= len(stay) {
		return score.Problemf(score.StatusConflict, "without %q only %d of %d voters would answer, which is no majority, and the group would stop; bring the others back first, or use --force", memberID(leaver.ID), answer, len(stay))
	}
	return nil
}

// leaveMyself hands over and lets the next master do the rest.
func (m *Member) leaveMyself(ctx context.Context, id string) error {
	if err := m.Transfer(ctx, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.scaled(transferLimit))
	defer cancel()
	for {
		master, changed := m.masters.now()
		if master != "" && master != m.opts.Peer {
			err := m.port.Call(ctx, master, http.MethodDelete, "/v1/cluster/members/"+url.PathEscape(id)+"?force=true", nil, nil)
			var p *score.Problem
			if err == nil || errors.As(err, &p) && p.Code != score.NoMaster {
				return err
			}
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return score.Problemf(score.OutcomeUnknown, "%q has handed leadership over, but the next master did not take it out of the group in time; see laurel cluster status", id)
		}
	}
}

// statusOf asks the frontend at a peer address who it is and how far it has come. With an error the status is empty, but that
// of a *peer.RemovedError has Member and Roster.
func (m *Member) statusOf(ctx context.Context, addr string) (peerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, m.scaled(forwardLimit))
	defer cancel()
	var s peerStatus
	if addr == m.opts.Peer {
		return m.status(""), nil
	}
	var by raft.ServerID
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) {
		by = peer.FromConn(g.Conn)
	}})
	err := m.port.Call(ctx, addr, http.MethodGet, "/peer/v1/status?from="+url.QueryEscape(string(m.self)), nil, &s)
	var removed *peer.RemovedError
	switch {
	case errors.As(err, &removed):
		// It says no more to one that was removed; who it is its certificate says.
		s = peerStatus{Member: by, Roster: &listing{Index: removed.Index}}
	case err != nil:
		s = peerStatus{}
	case s.Member == "":
		s, err = peerStatus{}, fmt.Errorf("it does not say who it is")
	case m.opts.Identity != nil && s.Member != by:
		s, err = peerStatus{}, fmt.Errorf("it says that it is %q, but its certificate is for %q", s.Member, by)
	}
	return s, err
}

// memberID returns the id of the member with a server id, id@instance.
func memberID(s raft.ServerID) string {
	id, _, _ := strings.Cut(string(s), "@")
	return id
}
