package enroll

import (
	"bytes"
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/trust/access"
)

// RecoverOperator has the master make the operator whom somebody on the machine of this
// member, a voter, has asked for. Repeating it is harmless. The error is a *score.Problem
// if the master refuses.
func (i *Issuer) RecoverOperator(ctx context.Context, r access.Recovery) error {
	if i.Auth == nil || i.IsMaster() {
		return i.makeOperator(ctx, i.Self, r)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return i.callMaster(ctx, OperatorPath, bytes.NewReader(body), nil)
}

// ServeOperator answers the RecoverOperator of another voter.
func (i *Issuer) ServeOperator(w http.ResponseWriter, r *http.Request) error {
	var body access.Recovery
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxRequest), &body); err != nil {
		return invalid("", "read the request for an operator: %v", err)
	}
	return i.makeOperator(r.Context(), raft.ServerID(peer.FromContext(r.Context())), body)
}

// makeOperator makes an operator in the name of a voter. Each voter holds the key of the
// authority and may be elected, so it could do the same as the master.
func (i *Issuer) makeOperator(ctx context.Context, voter raft.ServerID, r access.Recovery) error {
	if p := i.requireMaster(); p != nil {
		return p
	}
	if p := i.requireVoter(voter, "can have an operator made"); p != nil {
		return p
	}
	id := peer.MemberID(voter)
	err := i.ChangeAccess(ctx, access.Change{At: i.Auth.Identity.Now().UTC(), By: id, Recover: &r})
	if err != nil {
		return err
	}
	i.Auth.Logger.Warn("made an operator, as was asked on the machine of a voter", "member", id, "token", r.ID)
	return nil
}
