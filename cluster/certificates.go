package cluster

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/certify"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/cluster/spotcheck"
	"laurel/cluster/standing"
	"laurel/cluster/status"
	"laurel/cluster/sworn"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/witness"
)

// newCertifier returns this member's part in the certificates of a sworn group.
func (m *Member) newCertifier() (*certify.Certifier, error) {
	return certify.New(certify.Config{
		ID: m.opts.ID, Key: m.witness, State: sworn.StateOf(m.opts.Dir, m.witness),
		Machine: certify.MachineOf(m.machine), Access: m.machine.Access, Leads: m.Master,
		Propose: func(ctx context.Context, number uint64) error {
			if f := m.opts.hooks.unsealing; f != nil && f() {
				return context.Canceled
			}
			return m.proposer.seal(ctx, number)
		},
		Peers: func() map[string]string {
			peers := map[string]string{}
			for _, s := range m.servers() {
				peers[peer.MemberID(s.ID)] = string(s.Address)
			}
			return peers
		},
		Send: func(ctx context.Context, addr string, message []byte) error {
			return m.port.Call(ctx, addr, http.MethodPost, certify.Path, bytes.NewReader(message), nil)
		},
		Compare: func(revision uint64, answers map[string][]byte) { m.frontend.Compare(revision, answers) },
		GoBack:  m.enforcer.GoBack, StartOver: m.enforcer.StartOver,
		Metrics: m.opts.Metrics, Logger: m.log,
	})
}

// seal proposes the seal of a round, and returns when it is applied.
func (p *proposer) seal(ctx context.Context, number uint64) error {
	response, err := p.propose(ctx, entry.EncodeSeal(number), nil)
	if outcome, ok := response.(fsm.Outcome); ok && len(outcome) == 1 && outcome[0][0].Problem != nil {
		return outcome[0][0].Problem
	}
	return err
}

// newEnforcer returns what acts on verdicts. The members are not connected yet, and its
// certifier is not made.
func (m *Member) newEnforcer() *standing.Enforcer {
	keeper := standing.Open(standing.Config{
		Dir: m.opts.Dir, PutOut: m.metrics.MemberPutOut, Logger: m.log, Changed: func() { m.port.Recheck() },
	})
	return &standing.Enforcer{
		Self: m.opts.ID, Keeper: keeper, Access: m.sworn.State, Machine: m.machine, Store: m.storage,
		Master:    m.followedIn,
		False:     m.falseToReaders,
		StallTime: cmp.Or(m.opts.hooks.stallTime, m.scaled(standing.StallTime)),
		Voters: func(not string) []raft.Server {
			if index, _ := m.roster.Lists(m.self); m.poller.Reports.Configured(not) > index {
				return nil
			}
			return m.voters()
		},
		Votes: func(voter raft.ServerID) (raftlog.Votes, time.Time) {
			s, _ := m.poller.Reports.Last(voter)
			return s.Votes, s.Asked
		},
		SealedElsewhere: func(not string) uint64 { return m.poller.Reports.Sealed(not) },
		Scale:           m.scaled, End: m.end, Fail: m.failApply, Logger: m.log,
	}
}

// newChecker returns what asks the other members as a reader would.
func (m *Member) newChecker() *spotcheck.Checker {
	return spotcheck.New(spotcheck.Config{
		Others: func() map[string]string {
			urls := map[string]string{}
			for id, s := range m.reported() {
				if s.URL != "" {
					urls[id] = s.URL
				}
			}
			return urls
		},
		Policy: func() *witness.Policy {
			if access := m.machine.Access(); access.Settings.Sworn {
				return certify.PolicyOf(access)
			}
			return nil
		},
		Sample: func() (string, bool) { return m.certifier.Sample() },
		Prove: func(ctx context.Context, key string) ([]byte, string, error) {
			return m.certifier.Prove(ctx, key)
		},
		Client: spotcheck.NewClient(m.opts.Identity.PublicClientConfig),
		Every:  m.scaled(spotcheck.Every), Logger: m.log,
	})
}

// reported returns what the other members with a key in the roster last reported, by their
// ids.
func (m *Member) reported() map[string]status.Status {
	access, reports := m.machine.Access(), map[string]status.Status{}
	for _, s := range m.servers() {
		last, fresh := m.source.Reports.Last(s.ID)
		if id := peer.MemberID(s.ID); fresh && s.ID != m.self && access.KeyOf(id) != nil {
			reports[id] = last
		}
	}
	return reports
}

// falseToReaders returns the members that answer readers falsely, as so many have found that
// one of these is honest.
func (m *Member) falseToReaders() []string {
	accused := map[string][]string{m.opts.ID: m.checker.Accused()}
	for id, s := range m.reported() {
		accused[id] = s.False
	}
	return spotcheck.Liars(len(m.machine.Access().Roster), accused)
}

// diverged returns the error with which this member ends because most voters report another
// state than it has.
func (m *Member) diverged(reason string) error {
	if err := m.enforcer.Unproven(reason); err != nil {
		return err
	}
	return m.storage.MarkDiverged(reason)
}

// followedIn returns Raft's term and the member that it follows in that; "" for none.
func (r *replica) followedIn() (term uint64, name string) {
	term = r.raft.CurrentTerm()
	name = peer.MemberID(r.followed())
	if r.raft.CurrentTerm() != term {
		return 0, ""
	}
	return term, name
}
