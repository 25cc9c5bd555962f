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
)

// accessControl changes the access control in the store.
type accessControl struct {
	*replica
	proposer *proposer
}

// Access returns the access control, as far as this member has applied the log. The value
// does not change; call Access again for later changes.
func (a *accessControl) Access() *access.State { return a.machine.Access() }

// ChangeAccess makes a change of the access control, and returns when it is committed and
// applied here. From its place in the log on, every frontend refuses what it forbids: a
// post that the master accepts after ChangeAccess has returned comes after it. What
// followers decide without the log changes when they have applied it, normally within
// 50 ms.
//
// Only the master can. The error is a *score.Problem: no_master at other members, the
// refusal of the state machine, or outcome_unknown; then look at the audit trail.
func (a *accessControl) ChangeAccess(ctx context.Context, change access.Change) error {
	if change.At.IsZero() {
		change.At = time.Now().UTC()
	}
	encoded, err := entry.EncodeAccessChange(change)
	if err != nil {
		return score.Problemf(score.InvalidEvent, "%v", err)
	}
	if a.leadership() == nil {
		return peer.NotMaster()
	}
	if p := checkAccessChange(&change); p != nil {
		return p
	}
	return a.commit(ctx, encoded)
}

// checkAccessChange checks what the state machine must not, because other versions of it
// might decide otherwise.
func checkAccessChange(c *access.Change) *score.Problem {
	if c.Grant != nil {
		for _, t := range c.Grant.Types {
			if !slices.Contains(score.Types, t) {
				return score.Problemf(score.InvalidEvent, "unknown event type %q", t).At("grant.types")
			}
		}
	}
	if len(c.AddAuthority) > 0 {
		if cert, err := x509.ParseCertificate(c.AddAuthority); err != nil || !cert.IsCA {
			return score.Problemf(score.InvalidEvent, "not a certificate of an authority (%v)", err).At("add_authority")
		}
	}
	return nil
}

func (a *accessControl) commit(ctx context.Context, encoded []byte) error {
	response, err := a.proposer.propose(ctx, encoded)
	if err != nil {
		return changeProblem("access", err)
	}
	outcome, ok := response.(fsm.Outcome)
	if !ok || len(outcome) != 1 || len(outcome[0]) != 1 {
		return score.Problemf(score.OutcomeUnknown,
			"the change of the access control is committed, but this frontend could not apply it; "+
				"check the audit trail")
	}
	if p := outcome[0][0].Problem; p != nil {
		return p
	}
	return nil
}

// unguarded reports whether the store does not refuse yet what a secure group must
// refuse.
func (a *accessControl) unguarded() bool { return a.opts.Guarded && !a.machine.Access().Guarded }

// guard makes the store of a secure group guarded, before a leadership accepts its first
// post. It retries until ctx ends.
func (a *accessControl) guard(ctx context.Context) {
	for a.unguarded() && ctx.Err() == nil {
		encoded, err := entry.EncodeAccessChange(access.Change{At: time.Now().UTC(), By: a.opts.ID, Guard: true})
		if err == nil {
			err = a.commit(ctx, encoded)
		}
		if err == nil {
			a.log.Info("the store is guarded: events must be signed or come with a token")
			return
		}
		a.log.Warn("the store cannot be guarded yet and accepts no events", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}
