package cluster

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"laurel/cluster/peer"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// Access is who may do what, as far as this member has applied the log. It does not change; ask again for what it is now.
func (m *Member) Access() *access.State { return m.machine.Access() }

// Verifier is what checks signatures here, for whoever takes events in.
func (m *Member) Verifier() *signing.Verifier { return m.machine.Verifier() }

// ChangeAccess makes one change of who may do what, and returns when it is committed and applied here. Every frontend refuses what it
// forbids from its place in the log on: posts that the master takes after ChangeAccess has returned come behind it. What followers decide
// by themselves, before a post or without one, they decide anew when they have applied it, normally within 50 ms. Without a time in it
// the change gets this member's clock.
//
// Only the master can. The error is a *score.Problem: no_master elsewhere, why the state machine refuses, or outcome_unknown; then see
// the audit trail.
func (m *Member) ChangeAccess(ctx context.Context, change access.Change) error {
	if change.At.IsZero() {
		change.At = time.Now().UTC()
	}
	entry, err := entry.EncodeAccessChange(change)
	if err != nil {
		return score.Problemf(score.InvalidEvent, "%v", err)
	}
	if m.leads() == nil {
		return peer.NotMaster()
	}
	if p := checkAccessChange(&change); p != nil {
		return p
	}
	return m.commitAccess(ctx, entry)
}

// checkAccessChange checks what a state machine cannot, because other versions of it might see it otherwise.
func checkAccessChange(c *access.Change) *score.Problem {
	if c.Grant != nil {
		for _, t := range c.Grant.Types {
			if !slices.Contains(score.Types, t) {
				p := score.Problemf(score.InvalidEvent, "there is no type of event %q", t)
				p.Field = "grant.types"
				return p
			}
		}
	}
	if len(c.AddAuthority) > 0 {
		if cert, err := x509.ParseCertificate(c.AddAuthority); err != nil || !cert.IsCA {
			p := score.Problemf(score.InvalidEvent, "it is no certificate of an authority (%v)", err)
			p.Field = "add_authority"
			return p
		}
	}
	return nil
}

func (m *Member) commitAccess(ctx context.Context, entry []byte) error {
	future := m.raft.Apply(entry, enqueue)
	err := m.await(ctx, future)
	m.wedged(err)
	if err != nil {
		return changeProblem("access", err)
	}
	outcome, ok := future.Response().(fsm.Outcome)
	if !ok || len(outcome) != 1 || len(outcome[0]) != 1 {
		return score.Problemf(score.OutcomeUnknown, "the change of the access is committed, but this frontend could not apply it; see the audit trail")
	}
	if p := outcome[0][0].Problem; p != nil {
		return p
	}
	return nil
}

// unguarded tells that the store does not yet refuse what a secure group must.
func (m *Member) unguarded() bool { return m.opts.Guarded && !m.machine.Access().Guarded }

// guard has the store of a secure group guarded before this leadership takes its first post.
func (l *leadership) guard() {
	m := l.of
	for m.unguarded() && l.ctx.Err() == nil {
		entry, err := entry.EncodeAccessChange(access.Change{At: time.Now().UTC(), By: m.opts.ID, Guard: true})
		if err == nil {
			err = m.commitAccess(l.ctx, entry)
		}
		if err == nil {
			m.log.Info("the store is guarded: events must be signed, or come with a token")
			return
		}
		m.log.Warn("the store cannot be guarded yet, and takes no events", "error", err)
		select {
		case <-l.ctx.Done():
		case <-time.After(retryPause):
		}
	}
}
