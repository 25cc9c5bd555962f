package cluster

import (
	"cmp"
	"context"

	"github.com/hashicorp/raft"

	"laurel/cluster/certify"
	"laurel/cluster/enroll"
	"laurel/cluster/forward"
	"laurel/cluster/poll"
	"laurel/cluster/push"
	"laurel/cluster/readindex"
	"laurel/cluster/status"
	"laurel/cluster/upgrade"
)

// wire creates the parts of the member and connects them.
func (m *Member) wire(reports *status.Reports) {
	r := m.replica
	m.proposer = &proposer{replica: r}
	m.accessControl = &accessControl{replica: r, proposer: m.proposer}
	m.elections = &elections{r, m.accessControl, m.pushConfig(reports)}
	m.poster.withoutRoom = m.source.WithoutRoom
	m.poster.access, m.poster.proposer, m.poster.enforcer = m.accessControl, m.proposer, m.enforcer
	m.Forwarder = forward.New(forward.Config{
		Self: m.opts.Peer, Leader: m.leader, Port: m.port, Scale: m.scaled, Logger: m.log,
		Answers: func() bool { return m.leadership() != nil || m.frontend.Leased() },
	})
	m.reader = reader{r}
	m.Voucher = certify.NewVoucher(m.machine, m.opts.ID, m.witness)
	m.rounds = readindex.New(readindex.Config{
		Context: m.ctx, Self: m.self, Raft: m.raft, Port: m.port, Epoch: m.servingEpoch,
		Timeout: cmp.Or(m.opts.hooks.roundTimeout, m.scaled(roundTimeout)), Began: m.metrics.Rounds,
	})
	m.pushes = push.NewReceiver(m.ctx, m.elections.pushConfig)
	m.polls = poll.NewReader(m.pollConfig())
	m.archivist = &archivist{r, m.rounds, m.polls.Released}

	m.removal = &status.RemovalCheck{
		Source: m.source, Reports: reports, Logger: m.log, Removed: func() { m.end(ErrRemoved) },
	}
	m.poller = status.NewPoller(&status.Poller{
		Reports: reports, Source: m.source, Port: m.port, Every: m.scaled(status.PollEvery),
		Timeout: m.scaled(forward.Timeout), Foreign: m.metrics.ForeignAnswers, Logger: m.log,
		Twin:       func(addr string) { m.end(&TwinError{m.opts.Dir, addr}) },
		MayRecover: m.auth.MayRecover,
		Superseded: m.removal.Supersede,
	})
	m.readiness = &readiness{replica: r, rounds: m.rounds, roster: m.roster, poller: m.poller}
	m.divergence = &status.DivergenceCheck{
		Source: m.source, Reports: reports, Logger: m.log,
		Diverged: func(reason string) { m.end(m.diverged(reason)) },
	}
	if f := m.opts.hooks.diverged; f != nil {
		m.divergence.Diverged = f
	}
	m.transfers = &transfers{replica: r, poller: m.poller, proposer: m.proposer}
	m.drains = &drains{
		replica: r, poller: m.poller, transfers: m.transfers, ordering: make(chanMutex, 1), lacksRoom: m.lacksRoom,
	}
	m.issuer = m.newIssuer(reports)
	m.membership = &membership{
		replica: r, access: m.accessControl, auth: m.auth, poller: m.poller, transfers: m.transfers,
		issuer: m.issuer, rounds: m.rounds, changing: make(chanMutex, 1),
	}
	m.membership.health = m.newHealth(reports)
	m.raiser = upgrade.New(upgrade.Config{
		Context: m.ctx, Self: m.self, Newest: m.opts.maxFormat(), Servers: m.servers, Last: reports.Last,
		Access: m.Access, Leads: m.Master, Change: m.ChangeAccess,
		After: cmp.Or(m.opts.hooks.raiseAfter, m.scaled(upgrade.After)), Clock: m.clock, Go: m.run, Logger: m.log,
	})
	m.accessControl.raiser, m.accessControl.changing = m.raiser, m.membership.changing
}

func (m *Member) newIssuer(reports *status.Reports) *enroll.Issuer {
	return &enroll.Issuer{
		Self: m.self, Auth: m.auth, Port: m.port, ValidID: validID,
		IsMaster:     func() bool { return m.leadership() != nil },
		OtherMaster:  func() string { return m.leader.Other(m.opts.Peer) },
		ChangeAccess: m.ChangeAccess,
		IsVoter: func(id raft.ServerID) (voter, known bool) {
			s, in, leads := m.committed(id)
			return in && s.Suffrage == raft.Voter, leads
		},
		Connected: func(id raft.ServerID) bool {
			l := m.elected.Load()
			return id == m.self || l != nil && l.push.Connected(id)
		},
		Certificates: func(id raft.ServerID) (enroll.Certificates, bool) {
			s, fresh := reports.Last(id)
			return s.Certificates, fresh
		},
	}
}

func (m *Member) pollConfig() poll.Config {
	return poll.Config{
		Context: m.ctx, Machine: m.machine, Frontend: m.frontend, Port: m.port, Leader: m.leader, Rounds: m.rounds,
		Clock: m.clock, Bytes: answersBytes, Timeout: m.scaled(poll.Timeout),
		MasterTimeout: m.scaled(forward.MasterTimeout), Leads: m.Master, Mode: m.CacheMode,
		Polls: m.metrics.Polls, Age: m.metrics.PulledAge,
		Released: func(ctx context.Context, revision uint64) bool {
			l := m.leadership()
			return l != nil && l.push.AwaitReleased(ctx, revision)
		},
	}
}

func (m *Member) pushConfig(reports *status.Reports) push.Config {
	return push.Config{
		Self: m.self, Raft: m.raft, Log: m.storage.Log, Machine: m.machine, Frontend: m.frontend,
		Port: m.port, Transport: m.transport, Clock: m.clock, Timings: m.timings(), Mutation: m.opts.hooks.mutation,
		Protocols: func(id raft.ServerID) (oldest, newest uint64) {
			s, _ := reports.Last(id)
			return s.Protocols()
		},
		Scale: m.scaled, Go: m.run, StreamsLost: m.metrics.StreamsLost, LeasesWithheld: m.metrics.LeasesWithheld,
		HellosRefused: m.metrics.HellosRefused, Logger: m.log,
	}
}
