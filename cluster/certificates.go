package cluster

import (
	"bytes"
	"context"
	"net/http"

	"laurel/cluster/certify"
	"laurel/cluster/peer"
	"laurel/cluster/sworn"
	"laurel/fsm"
	"laurel/fsm/entry"
)

// newCertifier returns this member's part in the certificates of a sworn group.
func (m *Member) newCertifier() (*certify.Certifier, error) {
	return certify.New(certify.Config{
		ID: m.opts.ID, Key: m.witness, State: sworn.StateOf(m.opts.Dir, m.witness),
		Machine: certify.MachineOf(m.machine), Access: m.machine.Access, Leads: m.Master,
		Propose: func(ctx context.Context, number uint64) error { return m.proposer.seal(ctx, number) },
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
		GoBack: m.putOut.goBack, Metrics: m.opts.Metrics, Logger: m.log,
	})
}

// seal proposes the seal of a round, and returns when it is applied.
func (p *proposer) seal(ctx context.Context, number uint64) error {
	response, err := p.propose(ctx, entry.EncodeSeal(number))
	if outcome, ok := response.(fsm.Outcome); ok && len(outcome) == 1 && outcome[0][0].Problem != nil {
		return outcome[0][0].Problem
	}
	return err
}
