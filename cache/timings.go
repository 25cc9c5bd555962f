package cache

import "time"

// Timings of the push protocol. All frontends of a group have the same.
type Timings struct {
	Beat  time.Duration // between two rounds
	Lease time.Duration // L: how long a round lets the master grant
	// AckTimeout is how long an ack of a push may take before a frontend gets no new lease.
	AckTimeout time.Duration
}

// DefaultTimings are for a local network and a time scale of 1. A lease lasts ten beats, so that a few lost moments cost
// nobody its lease; a write waits for a frontend that hangs for at most AckTimeout + Lease.
var DefaultTimings = Timings{Beat: 20 * time.Millisecond, Lease: 200 * time.Millisecond, AckTimeout: 40 * time.Millisecond}

// Scaled stretches all timings, for slow networks.
func (t Timings) Scaled(by float64) Timings {
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * by) }
	return Timings{scale(t.Beat), scale(t.Lease), scale(t.AckTimeout)}
}

// drift is rho: by how much, at the most, the clocks of two machines may run apart. Crystals are a thousand times better.
const drift = 0.01

// longer is d as a clock that runs too fast may see it, shorter as one that runs too slow.
func longer(d time.Duration) time.Duration  { return d + time.Duration(float64(d)*drift) }
func shorter(d time.Duration) time.Duration { return d - time.Duration(float64(d)*drift) }

// Mutation switches one rule of the protocol off, so that a test sees that its checker would notice. It is for tests alone; zero breaks nothing.
type Mutation uint16

// The rules of the push protocol (docs/architecture.md). MutationReadStateMachine and MutationFloorBeforeLease are broken by who asks: this package has no state machine, and no
// moment passes in it.
const (
	MutationReleaseBeforeAcks Mutation = 1 << iota // release before the acks
	MutationSkipLeaseWait                          // a new master waits for no older lease
	MutationForgetOwnAcks                          // a deposed master forgets its own acks
	MutationSkipLeaseCheck                         // answer without a look at the lease
	MutationLeaseFromGrant                         // count a lease from the grant's arrival
	MutationKeepRecords                            // keep the records across epochs
	MutationIgnoreRelease                          // answer above what is released
	MutationDropSilent                             // drop a silent frontend from the set at once
	MutationIgnoreFloor                            // load without waiting for the state machine
	MutationReadStateMachine                       // the master reads its state machine
	MutationFloorBeforeLease                       // a direct answer: look at P first, and at the lease after
)

func (b Mutation) has(rule Mutation) bool { return b&rule != 0 }
