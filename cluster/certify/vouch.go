package certify

import (
	"context"
	"crypto/ed25519"

	"laurel/fsm"
	"laurel/score"
	"laurel/witness"
)

// Voucher signs what a frontend says of its own state.
type Voucher struct {
	machine *fsm.Machine
	id      string
	key     ed25519.PrivateKey
}

// NewVoucher returns the voucher of the frontend id, which has a key in the roster; nil in
// an insecure group.
func NewVoucher(m *fsm.Machine, id string, key ed25519.PrivateKey) *Voucher {
	return &Voucher{m, id, key}
}

// AppliedRevision returns the revision of this frontend's own state.
func (v *Voucher) AppliedRevision() uint64 { return v.machine.Revision() }

// AwaitApplied waits until this frontend's own state has a revision.
func (v *Voucher) AwaitApplied(ctx context.Context, revision uint64) error {
	return v.machine.Await(ctx, revision)
}

// Vouch completes a statement in answer to a question, and signs it with this frontend's key
// in the roster. In a group that is not sworn readers know no such keys, and the error is a
// problem.
func (v *Voucher) Vouch(q *witness.Question, s *witness.Statement) error {
	access := v.machine.Access()
	if v.key == nil || !access.Settings.Sworn {
		return score.Problemf(score.NotFound, "the group is not sworn, so its frontends do not sign what they answer; "+
			"ask with GET")
	}
	key, err := witness.NewKey(v.id, v.key)
	if err != nil {
		return err
	}
	s.Store = access.Settings.Lineage
	return key.Vouch(q, s)
}
