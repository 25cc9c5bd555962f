package enroll

import (
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
)

// A frontend deletes its request for an operator when it is refused, so a master that has
// lost its leadership meanwhile must not refuse it.
func TestOnlyAMasterRefusesToMakeAnOperator(t *testing.T) {
	for _, c := range []struct {
		known bool
		want  score.Code
	}{{true, score.Forbidden}, {false, score.NoMaster}} {
		i := Issuer{
			Auth:     &peer.Authenticator{},
			IsMaster: func() bool { return true },
			IsVoter:  func(raft.ServerID) (voter, known bool) { return false, c.known },
		}
		err := i.makeOperator(t.Context(), "f1@x", access.Recovery{})
		if code := score.CodeOf(err); code != c.want {
			t.Errorf("known %t: %v; want %s", c.known, err, c.want)
		}
	}
}
