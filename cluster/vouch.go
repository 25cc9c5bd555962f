package cluster

import (
	"context"

	"laurel/score"
	"laurel/witness"
)

// voucher signs what this member says of its own state.
type voucher struct {
	*replica
}

// AppliedRevision returns the revision of this member's own state.
func (v *voucher) AppliedRevision() uint64 { return v.machine.Revision() }

// AwaitApplied waits until this member's own state has a revision.
func (v *voucher) AwaitApplied(ctx context.Context, revision uint64) error {
	return v.machine.Await(ctx, revision)
}

// Vouch completes a statement in answer to a question, and signs it with this member's key
// in the roster. In a group that is not sworn readers know no such keys, and the error is a
// problem.
func (v *voucher) Vouch(q *witness.Question, s *witness.Statement) error {
	access := v.machine.Access()
	if v.witness == nil || !access.Settings.Sworn {
		return score.Problemf(score.NotFound, "the group is not sworn, so its frontends do not sign what they answer; "+
			"ask with GET")
	}
	key, err := witness.NewKey(v.opts.ID, v.witness)
	if err != nil {
		return err
	}
	s.Store = access.Settings.Lineage
	return key.Vouch(q, s)
}
