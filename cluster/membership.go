package cluster

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/enroll"
	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/cluster/readindex"
	"laurel/cluster/status"
	"laurel/cluster/upgrade"
	"laurel/internal/address"
	"laurel/score"
)

const (
	changeTimeout = 5 * time.Second // for one change of the configuration
	catchUpPause  = 50 * time.Millisecond
	// silentTimeout is how long a member is asked before it is taken for silent: a dead one, or
	// the first of two processes with the same data.
	silentTimeout = time.Second
)

// chanMutex is a mutex for long waits. It is a channel, because virtual time
// (testing/synctest) stops while a goroutine waits for a sync.Mutex, and what its holder
// waits for would never happen.
type chanMutex chan struct{}

func (m chanMutex) Lock()   { m <- struct{}{} }
func (m chanMutex) Unlock() { <-m }

// membership adds members to the group and removes them. The members are those of Raft's
// configuration, at the peer addresses that it has. The address for clients is not
// stored; members report it to each other.
type membership struct {
	*replica
	access    *accessControl
	auth      *peer.Authenticator
	poller    *status.Poller
	transfers *transfers
	issuer    *enroll.Issuer
	rounds    *readindex.Rounds
	health    *status.Health
	changing  chanMutex // one change at a time
}

// Join adds a member, or gives one that is back its new address, or a vote. The frontend
// must be running: the master asks it for its id, and in a secure group gives it a
// member's certificate before it changes the configuration. Repeating it is harmless. Only
// the master can; the error is a *score.Problem. byOperator is false if the frontend asks
// for itself.
func (m *membership) Join(ctx context.Context, n score.NewMember, byOperator bool) error {
	ctx, cancel := context.WithTimeout(ctx, m.scaled(join.Timeout))
	defer cancel()
	if p := checkNewMember(n); p != nil {
		return p
	}
	if p := m.checkReach(n); p != nil {
		return p
	}
	m.port.Reconnect() // an open connection may have the certificate that the frontend had before
	// The configuration may have a dead member at that address, whose place it is to take.
	joiner, err := m.poller.AskAnyone(ctx, n.Peer)
	if err != nil {
		return score.Problemf(score.NotReady,
			"the frontend does not answer the master at its peer address %s: %v", n.Peer, err).At("peer")
	}
	if peer.MemberID(joiner.Member) != n.ID || n.Instance != "" && string(joiner.Member) != n.ID+"@"+n.Instance {
		return score.Problemf(score.IDConflict,
			"the frontend at %s is %q, not %q", n.Peer, peer.MemberID(joiner.Member), n.ID).At("peer")
	}
	if p := m.checkTwin(ctx, joiner, n); p != nil {
		return p
	}
	if n.Replace {
		if err := m.replace(ctx, joiner, n.ID, byOperator); err != nil {
			return err
		}
	}
	done, err := m.add(ctx, joiner, n, byOperator)
	if done || err != nil {
		return err
	}
	if err := m.awaitCatchUp(ctx, n.Peer); err != nil {
		return err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	err = m.change(func() raft.IndexFuture {
		return m.raft.AddVoter(joiner.Member, raft.ServerAddress(n.Peer), 0, m.scaled(changeTimeout))
	})
	if err == nil {
		m.log.Info("promoted a frontend to voter", "member", n.ID, "peer", n.Peer)
	}
	return err
}

func checkNewMember(n score.NewMember) *score.Problem {
	if !validID(n.ID) {
		return score.Problemf(score.InvalidEvent,
			"got %q; want at most %d letters, digits and ._~-", n.ID, maxID).At("id")
	}
	if err := address.CheckPeer(n.Peer); err != nil {
		return score.Problemf(score.InvalidEvent,
			"got %.80q; want host:port on which the other members reach the frontend: %v", n.Peer, err).At("peer")
	}
	return nil
}

// checkReach returns a problem if the members and a frontend that is new could not reach
// each other: a loopback address is that of the machine that uses it. A member may move.
func (m *membership) checkReach(n score.NewMember) *score.Problem {
	servers := m.servers()
	if slices.ContainsFunc(servers, func(s raft.Server) bool { return peer.MemberID(s.ID) == n.ID }) {
		return nil
	}
	for _, s := range servers {
		loopback := address.IsLoopback(address.Hostname(string(s.Address)))
		if loopback != address.IsLoopback(address.Hostname(n.Peer)) {
			return score.Problemf(score.StatusConflict, "%q has the peer address %s, and %q is at %s: "+
				"one of them is a loopback address, which other machines cannot reach; "+
				"start each with a --peer address at which all others reach it",
				n.ID, n.Peer, peer.MemberID(s.ID), s.Address).At("peer")
		}
	}
	return nil
}

// checkTwin returns a problem if another process than the joiner answers as the same
// member at the address that the group has for it. The first of the two stays.
func (m *membership) checkTwin(ctx context.Context, joiner status.Status, n score.NewMember) *score.Problem {
	known, in := peer.Find(m.servers(), joiner.Member)
	if !in || string(known.Address) == n.Peer {
		return nil
	}
	first, answers, p := m.askAgain(ctx, known)
	if p != nil {
		return p
	}
	if !answers || first.Member != joiner.Member || first.Process == joiner.Process {
		return nil
	}
	return score.Problemf(score.IDConflict, "another process with the same data answers at %s as %q: "+
		"one of the two directories is a copy; end the frontend at %s and delete its directory, "+
		"or end the first one if the frontend has moved", known.Address, n.ID, n.Peer).At("instance")
}

// askAgain asks a member for its status, again and again for a moment: a busy frontend may
// answer the next time. answers is false if it does not. The problem is that ctx ended first,
// which says nothing about the member.
func (m *membership) askAgain(ctx context.Context, s raft.Server) (_ status.Status, answers bool, _ *score.Problem) {
	return askAgain(ctx, s, m.scaled(silentTimeout), m.poller.Ask)
}

// asker asks the frontend at a peer address for its status.
type asker func(ctx context.Context, addr string) (status.Status, error)

// askAgain asks for as long as limit. If this process was held up meanwhile, perhaps together
// with the member, it begins anew.
func askAgain(
	ctx context.Context, s raft.Server, limit time.Duration, ask asker,
) (_ status.Status, answers bool, _ *score.Problem) {
	for {
		begun := time.Now()
		answer, err := askFor(ctx, limit, string(s.Address), ask)
		switch {
		case err == nil:
			return answer, true, nil
		case ctx.Err() != nil:
			return answer, false, score.Problemf(score.NotReady, "the request ended while the master asked %q at %s "+
				"whether it is there; repeat it", peer.MemberID(s.ID), s.Address)
		case time.Since(begun) < limit+limit/10:
			return answer, false, nil
		}
	}
}

// askFor asks until there is an answer, nothing listens at the address, or the limit is over.
func askFor(ctx context.Context, limit time.Duration, addr string, ask asker) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		answer, err := ask(ctx, addr)
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(limit / 20):
		}
	}
}

// add adds a frontend to the configuration, or changes its address. done is true if
// nothing is left to do.
func (m *membership) add(
	ctx context.Context, joiner status.Status, n score.NewMember, byOperator bool,
) (done bool, err error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.leadership() == nil {
		return false, peer.NotMaster()
	}
	if p := upgrade.CheckJoiner(joiner, m.machine.Access().Settings.Format()); p != nil {
		return false, p
	}
	// The frontend may not have heard of its removal.
	joiner.Joined = joiner.Joined || m.auth.Removed(joiner.Member)
	known, p := findJoiner(m.servers(), joiner, n)
	if p != nil {
		return false, m.refuseForGood(ctx, p)
	}
	err = m.issuer.Promote(ctx, enroll.Candidate{
		Certificate: joiner.Certificate, Peer: n.Peer, URL: n.URL, Known: known, Voter: n.Voter, ByOperator: byOperator,
	})
	if err != nil {
		return false, err
	}
	addr := raft.ServerAddress(n.Peer)
	voter := known != nil && known.Suffrage == raft.Voter
	switch {
	case known == nil:
		m.log.Info("adding a frontend", "member", n.ID, "peer", n.Peer)
	case known.Address != addr:
		m.log.Info("a frontend has a new peer address", "member", n.ID, "peer", n.Peer, "old", known.Address)
	default:
		return voter || !n.Voter, nil
	}
	set := m.raft.AddNonvoter
	if voter {
		set = m.raft.AddVoter
	}
	err = m.change(func() raft.IndexFuture { return set(joiner.Member, addr, 0, m.scaled(changeTimeout)) })
	return err != nil || voter || !n.Voter, err
}

// refuseForGood returns a refusal at which a joiner gives up, once this member has proven
// that it is the master still. One that was paused may have a successor, who has removed
// a member that it knows.
func (m *membership) refuseForGood(ctx context.Context, p *score.Problem) error {
	if err := m.rounds.Confirm(ctx); err != nil {
		return err
	}
	return p
}

// findJoiner returns the server of a frontend that joins; nil if it is new. The problem
// says why it cannot join.
func findJoiner(
	servers []raft.Server, joiner status.Status, n score.NewMember,
) (known *raft.Server, refused *score.Problem) {
	refuse := func(field, format string, args ...any) (*raft.Server, *score.Problem) {
		return nil, score.Problemf(score.IDConflict, format, args...).At(field)
	}
	for _, s := range servers {
		switch {
		case s.ID == joiner.Member && s.Suffrage == raft.Voter && !n.Voter:
			return nil, score.Problemf(score.StatusConflict, "%q has a vote, which it keeps for as long as it is in "+
				"the group; to have it answer without a vote, remove it and let it join again as a non-voter, "+
				"with an empty data directory", n.ID).At("voter")
		case s.ID == joiner.Member:
			known = &s
		case peer.MemberID(s.ID) == n.ID:
			return refuse("id", "the id %q is taken by a frontend with other data, at %s; "+
				"choose another id, or remove that frontend first; if it is dead, --replace takes its place",
				n.ID, s.Address)
		case string(s.Address) == n.Peer:
			return refuse("peer", "the peer address %s is taken by the frontend %q", n.Peer, peer.MemberID(s.ID))
		}
	}
	if known == nil && joiner.Joined {
		// Its log belongs to another group, or ends where others decided to go on without
		// it.
		return refuse("instance", "the frontend %q has the data of a group of which it is not a member: "+
			"it was removed, or it belongs to another group; "+
			"to join as a new member, start it with an empty data directory", n.ID)
	}
	return known, nil
}

// change makes one change of the configuration and waits until it is committed.
// m.changing must be held.
func (m *membership) change(f func() raft.IndexFuture) error {
	lead := m.leadership()
	if lead == nil {
		return peer.NotMaster()
	}
	lead.push.UpdateConfiguration()
	if !lead.push.Await(m.ctx, (*cache.Master).CanChangeVoters) {
		return peer.NotMaster()
	}
	if err := m.await(m.ctx, f()); err != nil {
		return changeProblem("membership", err)
	}
	committed := lead.push.UpdateConfiguration()
	lead.members.Store(&committed)
	return nil
}

// changeProblem returns the problem for an error of Raft about a change of the group.
func changeProblem(what string, err error) error {
	if notAppended(err) {
		return peer.NotMaster()
	}
	return score.Problemf(score.OutcomeUnknown,
		"the change of the %s may or may not be committed (%v); check the status of the group", what, err)
}

// awaitCatchUp waits until a new member has applied what this member has applied now.
func (m *membership) awaitCatchUp(ctx context.Context, addr string) error {
	lead, goal := m.leadership(), m.machine.Applied()
	for lead != nil && lead == m.leadership() {
		s, err := m.poller.Ask(ctx, addr)
		switch {
		case err == nil && s.Applied >= goal:
			return nil
		case !slices.ContainsFunc(m.servers(), func(s raft.Server) bool { return string(s.Address) == addr }):
			return score.Problemf(score.NotFound,
				"the frontend at %s was removed from the group while it was catching up", addr)
		}
		select {
		case <-time.After(catchUpPause):
		case <-ctx.Done():
			return score.Problemf(score.NotReady, "the frontend has joined without a vote and is still catching up "+
				"(%d of %d log entries); repeat the request for its vote", s.Applied, goal)
		}
	}
	return peer.NotMaster()
}
