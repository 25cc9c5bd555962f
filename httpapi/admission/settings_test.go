package admission

import (
	"testing"

	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

func TestReaderWithoutATokenIsAskedForOneOnlyIfTheGroupIsKnownToBePrivate(t *testing.T) {
	state := access.NewState()
	gate := New(Options{Access: func() *access.State { return state }, Secure: true}).ClientGate()
	code := func(n Permission) score.Code {
		if p := gate.check(n, &handler.Caller{}); p != nil {
			return p.Code
		}
		return ""
	}
	if got := code(PermitRead); got != score.NotReady {
		t.Errorf("without settings a reader is refused with %q; want %q", got, score.NotReady)
	}
	if got := code(PermitOperate); got != score.Unauthorized {
		t.Errorf("without settings a stranger who operates is refused with %q; want %q", got, score.Unauthorized)
	}
	state = access.NewState()
	state.Settings.Incarnation, state.Settings.Private = "gaul", true
	if got := code(PermitRead); got != score.Unauthorized {
		t.Errorf("of a private group a reader is refused with %q; want %q", got, score.Unauthorized)
	}
}
