package witness

import "errors"

// What can be wrong with a text, a certificate or a proof. Errors wrap one of these kinds
// and say more.
var (
	ErrMalformed = errors.New("malformed")
	ErrSignature = errors.New("not signed by the key")
	ErrExpired   = errors.New("the policy has expired; get the current one")
	ErrQuorum    = errors.New("too few frontends of the policy have signed")
	ErrStale     = errors.New("the certificate is too old")
	ErrFuture    = errors.New("the certificate is of the future; look at the clock")
	ErrOlder     = errors.New("an older round than one seen before")
	ErrAnswer    = errors.New("the proof is not one of this answer")
)

// ForkError means that two certificates of one size differ: more frontends are corrupt than
// the quorum allows for. Both notes together prove it to anybody.
type ForkError struct{ Seen, Other []byte }

func (e *ForkError) Error() string {
	return "two certificates contradict each other: several frontends are corrupt"
}
